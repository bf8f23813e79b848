"""Tables of experiments: stored results to the byte, nothing mixed or half-written, each shipped one on stand-ins."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from small_stand_in import small

from affect.evaluation.metrics import score
from affect.evaluation.trivial import trivial
from affect.reporting.formats import FORMATS, html
from affect.reporting.page import Picture
from experiments import comparison as tables
from experiments.comparison import ROOT, Table
from experiments.load import load
from experiments.report.of_table import figures_of
from scripts.table import main

STORED = Path(__file__).parent / "stored"
SHIPPED = sorted((ROOT / "experiments/tables").glob("*.yaml"))
OF_EXPERIMENTS = [path for path in SHIPPED if "experiments" in yaml.safe_load(path.read_text(encoding="utf-8"))]
GOLDEN = {"md": "md", "latex": "tex", "html": "html", "csv": "csv"}


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the golden table, to be spoilt."""
    folder = tmp_path / "tests/experiments/stored"
    shutil.copytree(STORED, folder)
    monkeypatch.chdir(tmp_path)
    return folder


def ask(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, the table and what else is said."""
    code = main(list(arguments))
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.mark.parametrize("form", GOLDEN)
def test_the_golden_table(stored: Path, capsys: pytest.CaptureFixture[str], form: str) -> None:
    """From stored results, in every format, to the byte."""
    code, out, err = ask(capsys, str(stored / "table.yaml"), f"--format={form}")
    assert (code, err) == (0, "")
    assert out == (STORED / f"golden.{GOLDEN[form]}").read_text(encoding="utf-8")


def test_bold_is_what_holds_after_holm_over_the_table(stored: Path) -> None:
    """Worse, however surely, is never bold; p is corrected over all tasks; source-only stands beside."""
    table = tables.load_table(stored / "table.yaml", ["--methods={DANN: dann/subject}", "--beats={}"])
    found = tables.collect(table, stored, False, 1)[0]
    assert list(dict.fromkeys(f.method for f in found.figures))[:2] == ["DANN", "source-only/subject"]
    assert found.best("accuracy") == {("DANN", "EEG, valence"), ("DANN", "EEG, arousal")}
    tests = [f.against for f in found.figures if f.against and f.metric == "accuracy"]
    assert len(tests) == 4
    assert min(t.p_holm for t in tests) == pytest.approx(4 * min(t.p for t in tests))
    hurt = next(t for t in tests if t.effect < 0 and t.p_holm < 0.05)
    assert not hurt.better
    assert hurt.hurt > hurt.helped


def test_different_code_or_data_is_refused_or_marked(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(stored / "table.yaml")
    code, _, err = ask(capsys, path, "--experiments.1.folder=tests/experiments/stored/old-dddd")
    assert code == 2
    assert "different code (aaaa1111: eeg; dddd2222: old)" in err
    assert "--allow-mixed" in err
    summary = stored / "skin-aaaa/summary.json"
    summary.write_text(summary.read_text().replace("c0ffee00", "deadbeef"))
    code, _, err = ask(capsys, path)
    assert code == 2
    assert "different data of deap (c0ffee00: eeg; deadbeef: skin)" in err
    for form in FORMATS:
        code, out, _ = ask(capsys, path, "--allow-mixed", f"--format={form}")
        assert code == 0
        assert "MIXED: different data of deap" in out


def test_half_written_results_are_named_and_not_used(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = stored / "runs/run03"
    run.mkdir(parents=True)
    code, out, err = ask(capsys, str(stored / "table.yaml"))
    assert (code, out) == (1, "")
    assert "missing: EEG: 1 half-written runs, the first" in err
    (run / "done").touch()
    text = (stored / "eeg-aaaa/summary.json").read_text()
    (stored / "eeg-aaaa/summary.json").write_text(text[: len(text) // 2])
    code, out, err = ask(capsys, str(stored / "table.yaml"))
    assert code == 1
    assert "EEG, valence" not in out
    assert "skin, valence" in out
    assert "missing: EEG: " in err


def test_a_corpus_that_is_not_at_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where to get it, gated or open; AFFECT_DATA says where data/ is."""
    monkeypatch.setenv("AFFECT_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)  # where no data/ is
    for name, told in {
        "deap_2012": ("https://www.eecs.qmul.ac.uk/mmv/datasets/deap/", "licence agreement"),
        "eegmat_adaptation": ("https://physionet.org", "scripts/download.py eegmat"),
    }.items():
        code, out, err = ask(capsys, str(ROOT / f"experiments/tables/{name}.yaml"))
        assert (code, out) == (1, "")
        assert all(text in err for text in (*told, str(tmp_path), "--stand-in"))


def test_a_table_names_one_place_of_results() -> None:
    for wrong in ({}, {"config": "a.yaml", "folder": "runs/a"}, {"folder": "runs/a", "overrides": ["--seeds=[0]"]}):
        with pytest.raises(ValueError, match="either `config`"):
            tables.ExperimentRuns(**wrong)  # type: ignore[arg-type]


def test_a_study_has_no_stand_in(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = ask(capsys, str(ROOT / "experiments/tables/dann_moons.yaml"), "--stand-in")
    assert code == 2
    assert "a table of experiments" in err


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("--metrics=[speed]", "one of balanced_accuracy, accuracy"),
        ("--experiments.0.target=fear", "one of valence, arousal"),
    ],
)
def test_what_results_do_not_hold_is_told(
    stored: Path, capsys: pytest.CaptureFixture[str], change: str, told: str
) -> None:
    code, _, err = ask(capsys, str(stored / "table.yaml"), change, "--published=[]")
    assert code == 2
    assert told in err


def test_html_escapes_and_stands_alone(stored: Path) -> None:
    table = tables.load_table(stored / "table.yaml", ["--title=<b>"])
    page = html(tables.collect(table, stored, False, 1)[0])
    assert page.startswith('<section class="comparison">')
    assert "<h2>&lt;b&gt;</h2>" in page
    assert "&lt;signs&gt;" in page


def tiny(table: Table, place: Path) -> list[str]:
    """The overrides that make a table short: few invented people for each corpus, one epoch, few methods."""
    corpora: dict[str, dict[str, object]] = {}
    parts = 1
    overrides = ["--trainer.max_epochs=1", "--seeds=[0]", "--wandb.mode=disabled", "--normalisation=source"]
    overrides += [f"--data.cache={place / 'cache'}", f"--output={place / 'runs'}"]
    found = [load(ROOT / (one.config or ""), one.overrides) for one in table.experiments]
    alike = len({experiment.protocol.class_path for experiment in found}) == 1  # else what one knows another refuses
    people = max(3 if alike else experiment.protocol.init_args.get("groups", 3) for experiment in found)
    for experiment in found:
        each = experiment.protocol.init_args.get("parts", 1) is None
        seconds = 1.0 if experiment.data.window.short == "repeat" else max(4.0, experiment.data.window.seconds)
        for corpus in experiment.data.corpus:
            name = corpus.class_path.rpartition(".")[2]
            parts = max(corpus.init_args.get("segments", 1), parts)
            corpora[name] = small(name, place, seconds, segments=parts, trials=16 if each else 6)["init_args"]
            corpora[name].pop("segments", None)  # each experiment has its own
            corpora[name] |= {} if alike else {"subjects": people}
            overrides += ["--methods={dann: {alignment: affect.alignment.DANN}}"] if len(experiment.methods) > 6 else []
        fewer = {"parts": 2, "groups": 3, "pairs": [[1, 2], [3, 2]]} if alike else {}
        overrides += [f"--protocol.{k}={v}" for k, v in fewer.items() if k in experiment.protocol.init_args]
    places = {"root": str(place), "corpora": corpora, "overrides": list(dict.fromkeys(overrides))}
    return [f"--stand_in={json.dumps(places)}"]


LONG = {"adatime_har", "amigos_2018", "deap_2012", "eegain_loso", "eegmat_adaptation", "libeer_deap", "ravdess_streams"}
"""Tables in slow tests; test_every_config runs their configs all the same."""


@pytest.mark.parametrize(
    "path",
    [pytest.param(p, id=p.stem, marks=[pytest.mark.slow] if p.stem in LONG else []) for p in OF_EXPERIMENTS],
)
@pytest.mark.filterwarnings("ignore")
def test_every_table_runs_on_stand_ins(path: Path, tmp_path: Path) -> None:
    """To a table that says so, with a row for every method and trivial predictor, and no published figure."""
    shown = tables.load_table(path, [])
    table = tables.load_table(path, tiny(shown, tmp_path))
    found, missing = tables.collect(table, tmp_path, make=True, workers=1, stand_in=True)
    assert missing == []
    expected = {name for name, own in shown.methods.items() if own.endswith("/source")}
    for form, written in FORMATS.items():
        text = written(found)
        assert "STAND-IN: invented recordings of" in text
        assert all(name in text for name in (*expected, "majority", "class-ratio", "random")), form
    assert "| published" not in FORMATS["md"](found)
    pictures = [block for block in figures_of(found.folders) if isinstance(block, Picture)]
    assert len(pictures) >= len(found.folders) > 0
    assert {figure.metric for figure in found.figures} == set(shown.metrics)
    assert expected <= {figure.method for figure in found.figures}


HIGH = np.array([0.3, 0.5, 0.65, 0.9])
"""Share of high trials, of the source and of the target alike."""


@pytest.mark.parametrize("q", HIGH)
def test_trivial_rows_agree_with_their_closed_forms(q: float) -> None:
    """Named high with chance s: right in qs + (1 − q)(1 − s), F1 the mean of 2qs / (q + s) and the same of low."""
    n = 20_000
    one = pd.DataFrame({"window": range(n), "trial": range(n), "subject": "s", "label_v": np.arange(n) < round(q * n)})
    for kind, s in {"class-ratio": q, "random": 0.5, "majority": float(q > 0.5)}.items():
        guessed = trivial(kind, one, "v", ["low", "high"], {"low": 1 - q, "high": q})
        found = score(guessed.astype({"label_v": float}), "v", ["low", "high"], "window")["mean"]
        assert found["accuracy"] == pytest.approx(q * s + (1 - q) * (1 - s), abs=0.015)
        assert found["balanced_accuracy"] == pytest.approx(0.5, abs=0.015)
        f1 = q * s / (q + s) + (1 - q) * (1 - s) / (2 - q - s)
        assert found["macro_f1"] == pytest.approx(f1, abs=0.015)


@pytest.mark.slow
def test_deap_2012_at_full_protocol_on_stand_ins(tmp_path: Path) -> None:
    """8 people, each of 40 videos left out once: EEG knows, and the trivial rows are their closed forms.

    With h of n videos high: the majority of the others is right in max(h, n − h) / n of them, and in none if h is
    n / 2; drawn by the others' ratio, in (h (h − 1) + l (l − 1)) / (n (n − 1)).
    """
    places = [f"--data.cache={tmp_path / 'cache'}", f"--output={tmp_path / 'runs'}"]
    own = [f"--stand_in.root={tmp_path}", f"--stand_in.overrides={json.dumps(places)}"]
    table = tables.load_table(ROOT / "experiments/tables/deap_2012.yaml", own)
    ours = tables.collect(table, tmp_path, make=True, workers=2, stand_in=True)[0].of("accuracy")
    (prepared,) = (tmp_path / "runs").glob("deap_2012-*/summary.json")
    targets = json.loads(prepared.read_text())["targets"]
    for task in ("arousal", "valence", "liking"):
        shares = targets[task]["priors"]["subjects"].values()
        high = np.round(40 * np.array([share["high"] for share in shares]))
        low = 40 - high
        majority = np.where(high == low, 0, np.maximum(high, low) / 40)
        ratio = (high * (high - 1) + low * (low - 1)) / (40 * 39)
        three = 3 * np.sqrt(0.25 / (8 * 40))  # standard deviations of a share of 320 draws
        assert ours["majority", task].mean == pytest.approx(majority.mean())
        assert ours["class-ratio", task].mean == pytest.approx(ratio.mean(), abs=three)
        assert ours["random", task].mean == pytest.approx(0.5, abs=three)
        assert ours["EEG", task].mean > 0.7


@pytest.mark.slow
def test_the_latex_compiles(tmp_path: Path) -> None:
    """With Debian's texlive-latex-base, as it is printed for the golden table and with marks."""
    if shutil.which("pdflatex") is None:
        pytest.skip("no pdflatex: apt-get install texlive-latex-base")
    body = (STORED / "golden.tex").read_text(encoding="utf-8")
    document = rf"\documentclass{{article}}\usepackage{{graphicx}}\begin{{document}}{body}\end{{document}}"
    (tmp_path / "table.tex").write_text(document, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "table.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "table.pdf").stat().st_size > 10_000


def test_a_table_has_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of stored results, in one file that loads nothing; nothing finished is said."""
    from scripts.report import main as report

    out = tmp_path / "page.html"
    assert report([str(STORED / "table.yaml"), f"--out={out}"]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    text = out.read_text(encoding="utf-8")
    assert 'class="comparison"' in text
    assert "--run" in text
    assert "http" not in text.replace("http://www.w3.org", "")
