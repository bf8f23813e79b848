"""Every YAML that is shipped says how it is run, fits the schema, runs, and says all the law wants said."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from small_stand_in import small

from affect.evaluation.metrics import CLASSIFICATION, LEVELS, metrics_of
from affect.evaluation.selection import READS_TARGET
from affect.evaluation.trivial import trivial_of
from affect.preprocessing.normalisation import setting
from datamodules.corpora.base import Corpus
from experiments.check import check
from experiments.components import arguments
from experiments.config import Experiment
from experiments.load import load
from experiments.network import alignment_of
from experiments.run import main

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
CONFIGS = sorted((EXPERIMENTS / "configs").rglob("*.yaml"))
every_config = pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.relative_to(EXPERIMENTS).as_posix())


def test_every_yaml_is_in_a_folder_that_is_tested() -> None:
    """Where the tests below find it; one elsewhere needs a test of its own, and its folder named here."""
    # the latter by test_comparison.py and test_sweep.py
    tested = [EXPERIMENTS / folder for folder in ("configs", "tables", "sweeps")]
    stray = [p for p in EXPERIMENTS.rglob("*.y*ml") if not any(p.is_relative_to(folder) for folder in tested)]
    assert stray == []
    assert len(CONFIGS) >= 2


@every_config
def test_every_config_fits_the_schema(path: Path, tmp_path: Path) -> None:
    own = load(path)
    for corpus in own.data.corpus:
        arguments(corpus, Corpus, "data.corpus")
    checked = check(load(path, tiny(own, tmp_path)))
    assert check(checked) == checked
    assert checked.name == path.stem or path.parent != EXPERIMENTS / "configs"


@every_config
def test_a_config_that_was_written_down_is_the_same_experiment(path: Path, tmp_path: Path) -> None:
    """With every default in it, as it lies beside the results."""
    checked = check(load(path, tiny(load(path), tmp_path)))
    written = tmp_path / "config.yaml"
    written.write_text(yaml.safe_dump(checked.model_dump(mode="json"), sort_keys=False, allow_unicode=True))
    again = check(load(written))
    assert again.model_dump(mode="json") == checked.model_dump(mode="json")


@every_config
def test_a_config_says_how_it_is_run(path: Path) -> None:
    """A header with the question and the command."""
    header = path.read_text(encoding="utf-8").partition("name:")[0]
    assert f"experiments/run.py --config {path.relative_to(EXPERIMENTS.parent).as_posix()}" in header


def tiny(experiment: Experiment, root: Path) -> list[str]:
    """The overrides that put three invented people where each corpus was."""
    window = experiment.data.window
    each = experiment.protocol.init_args.get("parts", 1) is None  # every trial of a person, a window each, left out
    seconds = 1.0 if window.short == "repeat" else max(4.0, (1 if each else 2) * window.seconds)
    corpora = [
        small(
            corpus.class_path.rpartition(".")[2].removeprefix("StandIn"),
            root,
            seconds,
            "face" in experiment.data.streams,
            corpus.init_args.get("segments", 1),
            16 if each else 6,  # of six, one class may be gone with the one that is left out
        )
        for corpus in experiment.data.corpus
    ]
    fewer = {"parts": 2, "groups": 3, "source_people": 1, "pairs": [[1, 2], [3, 2], [1, 3]]}
    protocol = [f"--protocol.{key}={value}" for key, value in fewer.items() if key in experiment.protocol.init_args]
    sections = {"model": experiment.model} | {f"methods.{name}": method for name, method in experiment.methods.items()}
    random = [  # what an earlier experiment would have left is not there
        f"--{key}.transfer.{stream}.weights=null"
        for key, section in sections.items()
        for stream, transfer in section.transfer.items()
        if transfer.weights
    ]
    many = len(experiment.methods) > 2 and len(experiment.normalisation) > 1
    one = ["--normalisation=source"] if many else []
    few = ["--search.budget=2"] if experiment.search else []
    return [f"--data.corpus={json.dumps(corpora)}", *protocol, *random, *one, *few]


@every_config
@pytest.mark.filterwarnings("ignore")
def test_every_config_runs_end_to_end(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    experiment = load(path)
    quickly = ["--trainer.max_epochs=1", "--seeds=[0]", "--wandb.mode=disabled", "--launcher.local.workers=1"]
    places = [f"--data.cache={tmp_path / 'cache'}", f"--output={tmp_path / 'runs'}"]
    code = main([f"--config={path}", *tiny(experiment, tmp_path / "corpora"), *places, *quickly])
    printed = capsys.readouterr()
    assert code == 0, printed.err
    experiment = load(path, [o for o in tiny(experiment, tmp_path / "corpora") if o.startswith("--normalisation")])
    (written,) = (tmp_path / "runs").glob(f"{experiment.name}-*/summary.json")
    text = written.read_text(encoding="utf-8")
    if experiment.pretraining:
        assert len(list((tmp_path / "runs/runs").glob("*/*.json"))) > 1  # numbers, and a card for each encoder
        return
    check_summary(json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in summary.json")), experiment)
    assert (written.parent / "table.txt").read_text(encoding="utf-8") in printed.out
    assert all(name in printed.out for name in experiment.methods)


def check_summary(summary: dict[str, Any], experiment: Experiment) -> None:
    """All that the law wants said with every figure."""
    assert summary["selection"] == experiment.selection
    assert summary["seeds"] == [0]
    assert summary["subjects"] >= 3
    assert len(summary["targets"]) == len(experiment.data.target)
    for block, component in zip(summary["targets"].values(), experiment.data.target, strict=True):
        assert block["class_path"] == component.class_path
        assert block["init_args"].items() >= component.init_args.items()
        check_block(block, summary["subjects"], experiment)


def check_block(block: dict[str, Any], people: int, experiment: Experiment) -> None:
    """What is said of one target."""
    classes = block["classes"]
    if classes:
        assert block["chance"] == {"balanced_accuracy": pytest.approx(1 / len(classes)), "auroc": 0.5}
    else:
        assert block["chance"] == {"ccc": 0, "pearson": 0}
    priors = block["priors"]
    assert len(priors["subjects"]) == people
    for facts in (priors["all"], *priors["subjects"].values()):
        assert list(facts) == (classes or ["mean", "sd", "low", "high"])
        assert not classes or sum(facts.values()) == pytest.approx(1, abs=0.01)
    named = [(row["method"], row["normalisation"]) for row in block["methods"].values()]
    assert sorted(named) == sorted((m, n) for n in experiment.normalisation for m in experiment.methods)
    assert tuple(block["trivial"]) == trivial_of(classes)
    for row in block["methods"].values():
        aligns = alignment_of(experiment, row["method"])
        sees = aligns.sees if aligns else "nothing"
        given = experiment.protocol.init_args.get("calibration", 0)
        expected = setting(row["normalisation"], "windows" if experiment.selection in READS_TARGET else sees, given)
        assert row["setting"] == expected
        assert row["selection"] == experiment.selection
        for level in LEVELS:
            for metric in metrics_of(classes):
                check_statistic(row[level][metric], metric, people, row["method"] != "source-only")


def check_statistic(found: Any, metric: str, people: int, compared: bool) -> None:
    """Mean, interval, a value for each person, and the paired difference with its p."""
    if metric in ("auroc", "ccc", "pearson") and (found is None or found["people"] < people):
        return  # people of a single class, or value, have none
    assert found["low"] <= found["mean"] <= found["high"]
    assert found["people"] == len(found["subjects"]) == people
    assert metric not in CLASSIFICATION or all(0 <= value <= 1 for value in found["subjects"].values())
    assert found["mean"] == pytest.approx(sum(found["subjects"].values()) / people)
    assert ("vs_source_only" in found) == compared
    if compared:
        against = found["vs_source_only"]
        assert 0 <= against["p"] <= 1
        assert against["helped"] + against["hurt"] <= people
        difference = against["difference"]
        assert difference["low"] <= difference["mean"] <= difference["high"]
