"""Tables: every one shipped is valid, mistakes are told, what is done is not done again, figures are what they say."""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from affect.reporting.formats import markdown
from experiments import comparison as tables
from experiments.components import arguments
from experiments.load import load
from experiments.reproductions import Moons
from experiments.reproductions.study import Row, Study, finished
from experiments.reproductions.study import run as run_study
from scripts.table import main

SHIPPED = sorted((tables.ROOT / "experiments" / "tables").glob("*.yaml"))
MOONS = {"seeds": (0, 1), "draws": ("paper",), "epochs": 20}
SMALL = """
title: small
study: {class_path: experiments.reproductions.Moons, init_args: {seeds: [0, 1], draws: [paper], epochs: 20}}
metrics: [target accuracy]
methods: {plain: NN, DANN: DANN}
published:
  - {source: a paper, protocol: as it says, metric: target accuracy, figures: {DANN: {"the paper's points": 0.5}}}
notes: [as small as can be]
"""


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_table_is_valid(path: Path) -> None:
    """Its schema, the arguments of its study or its experiments, and its header: what, command, cost, expected."""
    table = tables.load_table(path, [])
    if table.study:
        arguments(table.study, Study, "study")
    for one in table.experiments:
        load(tables.ROOT / one.config, one.overrides)
    head = path.read_text(encoding="utf-8").partition("\ntitle:")[0]
    assert all(line.startswith("#") for line in head.splitlines())
    assert f"scripts/table.py experiments/tables/{path.name}" in head
    assert "# Cost:" in head
    assert "Expected" in head


def test_the_amazon_tables_hold_the_means_of_the_paper() -> None:
    """A slip in one of 72 figures shows in the mean."""
    for name, means in (("dann_amazon", (0.7597, 0.7607, 0.7628)), ("dann_amazon_msda", (0.8018, 0.8027, 0.8132))):
        (one,) = tables.load_table(tables.ROOT / f"experiments/tables/{name}.yaml", []).published
        assert list(one.figures) == ["SVM", "NN", "DANN"]
        for figures, mean in zip(one.figures.values(), means, strict=True):
            assert len(figures) == 12
            assert np.mean(list(figures.values())) == pytest.approx(mean, abs=6e-5)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("--colour=red", "no such key"),
        ("--published=[{protocol: p, metric: target accuracy, figures: {DANN: {a: 0.5}}}]", "source"),
        ("--published=[{source: '', protocol: p, metric: target accuracy, figures: {DANN: {a: 0.5}}}]", "source"),
        ("--published=[{source: s, protocol: p, metric: speed, figures: {DANN: {a: 0.5}}}]", "not among `metrics`"),
        ("--beats={DANN: CDAN}", "CDAN"),
        ("--experiments=[{config: experiments/configs/eegmat.yaml}]", "either `study` or `experiments`"),
        ("--study.seed=[1]", "did you mean 'seeds'"),
        ("--study.epochs=many", "epochs"),
        ("--study=affect.errors.UserError", "a Study"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str], change: str, told: str) -> None:
    path = tmp_path / "table.yaml"
    path.write_text(SMALL)
    assert main([str(path), change, f"--output={tmp_path}"]) == 2
    assert told in capsys.readouterr().err


def test_a_table_from_nothing_to_print(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Says what is missing, makes it, prints ours beside the published; the second time nothing is made."""
    path, out = tmp_path / "table.yaml", tmp_path / "out"
    path.write_text(SMALL)
    assert main([str(path), f"--output={out}"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "2 of 2 units" in said.err
    assert main([str(path), "--run", f"--output={out}", "--workers=1"]) == 0
    text = capsys.readouterr().out
    stamps = {file: file.stat().st_mtime_ns for file in out.rglob("*.json")}
    assert main([str(path), "--run", f"--output={out}", "--workers=1"]) == 0
    assert capsys.readouterr().out == text
    assert {file: file.stat().st_mtime_ns for file in out.rglob("*.json")} == stamps
    for expected in ("± standard deviation over 2 seeds", "| plain ", "| 0.500 ", "a paper: as it says", "as small as"):
        assert expected in text
    assert "domain accuracy" not in text
    assert main([str(path), "--format=csv", f"--output={out}"]) == 0
    lines = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [line["method"] for line in lines] == ["plain", "DANN"]
    found = finished(Moons(**MOONS), out)  # type: ignore[arg-type]
    mean = np.mean([result["DANN"]["target accuracy"] for result in found.values()])
    assert float(lines[1]["mean"]) == pytest.approx(mean)
    assert float(lines[1]["difference"]) == pytest.approx(mean - 0.5)
    assert (lines[0]["source"], lines[1]["source"]) == ("", "a paper")


def test_half_a_result_is_made_again_and_the_rest_is_kept(tmp_path: Path) -> None:
    study = Moons(**MOONS)  # type: ignore[arg-type]
    whole = run_study(study, tmp_path)
    first, second = (study.folder(tmp_path) / f"{unit}.json" for unit in study.units())
    stamp, text = second.stat().st_mtime_ns, first.read_text()
    first.write_text(text[: len(text) // 2])
    assert list(finished(study, tmp_path)) == ["paper-1"]
    assert run_study(study, tmp_path) == whole
    assert first.read_text() == text
    assert second.stat().st_mtime_ns == stamp


def test_other_seeds_share_what_is_done_and_other_arguments_do_not(tmp_path: Path) -> None:
    run_study(Moons(**MOONS), tmp_path)  # type: ignore[arg-type]
    more: dict[str, Any] = {**MOONS, "seeds": (0, 1, 2)}
    assert list(finished(Moons(**more), tmp_path)) == ["paper-0", "paper-1"]
    assert finished(Moons(**{**MOONS, "weight": 3.0}), tmp_path) == {}  # type: ignore[arg-type]


def test_means_over_tasks_are_of_seeds_that_have_them_all() -> None:
    values = {("a", 0): 0.5, ("b", 0): 0.7, ("a", 1): 0.6, ("b", 1): 1.0, ("a", 2): 0.9}
    rows = [Row("m", task, "accuracy", seed, value) for (task, seed), value in values.items()]
    a, b, mean = tables.summarise(rows)
    assert (a.task, a.n, a.mean) == ("a", 3, pytest.approx(2 / 3))
    assert (b.task, b.n, b.mean) == ("b", 2, pytest.approx(0.85))
    assert (mean.task, mean.n, mean.mean) == ("mean", 2, pytest.approx(0.7))
    assert mean.sd == pytest.approx(np.std([0.6, 0.8], ddof=1))


def test_distance_to_the_paper_and_wins_are_counted() -> None:
    """Over tasks, not over their mean; the paper's own wins beside ours."""
    figures = tables.summarise(
        [
            Row(method, task, "accuracy", 0, value)
            for method, values in {"DANN": (0.8, 0.7, 0.6), "NN": (0.7, 0.7, 0.5)}.items()
            for task, value in zip("abc", values, strict=True)
        ]
    )
    told = {"DANN": {"a": 0.81, "b": 0.72, "c": 0.6}, "NN": {"a": 0.8, "b": 0.73, "c": 0.5}}
    published = tables.PublishedFigures(source="s", protocol="p", metric="accuracy", figures=told)
    text = markdown(tables.Comparison("t", figures, [tables._published(published)], [("DANN", "NN")]))
    assert "DANN: mean |difference| to published 0.0100, largest 0.020" in text
    assert "DANN better than NN on 2 of 3 tasks (published: 2 of 3)" in text
    assert "| mean | 0.700 (0.710) | 0.633 (0.677) |" in text


def test_an_experiment_that_is_not_run_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_summary", lambda experiment, make: "4 of 8 runs")
    runs = tables.ExperimentRuns(config="experiments/configs/quickstart.yaml", task="people")
    table = tables.Table(title="t", experiments=[runs], metrics=["macro_f1"])
    assert tables.collect(table, Path("nowhere"), False, 1)[1] == ["people: 4 of 8 runs"]


@pytest.mark.slow
def test_moons_of_the_paper(tmp_path: Path) -> None:
    """20 seeds on the paper's points: source-only ≤ .85, DANN ≥ .90, the domain unit towards .5.

    Two units at a time give what one by one gives.
    """
    table = tables.load_table(SHIPPED[0].with_name("dann_moons.yaml"), [])
    ours = tables.collect(table, tmp_path / "two", True, 2)[0]
    assert ours == tables.collect(table, tmp_path / "one", True, 1)[0]
    accuracy, domain = (ours.of(metric) for metric in ("target accuracy", "domain accuracy"))
    points = "the paper's points"
    assert accuracy["NN", points].mean <= 0.85
    assert accuracy["DANN", points].mean >= 0.90
    assert abs(domain["DANN", points].mean - 0.5) < 0.03 < abs(domain["NN", points].mean - 0.5)


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dann_amazon", {"SVM": (0.757, 0.763), "NN": (0.754, 0.764), "DANN": (0.758, 0.768)}),
        ("dann_amazon_msda", {"DANN": (0.805, 0.83)}),
    ],
)
def test_amazon_of_the_paper(
    real_data: Path, tmp_path: Path, name: str, expected: dict[str, tuple[float, float]]
) -> None:
    """All 12 pairs by reverse validation: the means, DANN above NN, and near the paper's figures on counts."""
    root = f"--study.root={real_data / 'amazon_reviews'}"
    table = tables.load_table(SHIPPED[0].with_name(f"{name}.yaml"), [root])
    ours = tables.collect(table, tmp_path, True, 2)[0]
    found, told = ours.of("accuracy"), ours.told("accuracy")
    for method, (low, high) in expected.items():
        assert low <= found[method, "mean"].mean <= high
    tasks = [task for method, task in told if method == "DANN" and task != "mean"]
    if name == "dann_amazon":
        assert sum(found["DANN", task].mean > found["NN", task].mean for task in tasks) >= 8
        for method in ("NN", "DANN"):
            assert np.mean([abs(found[method, task].mean - told[method, task]) for task in tasks]) <= 0.012
    else:
        assert found["DANN", "mean"].mean >= found["NN", "mean"].mean + 0.005
