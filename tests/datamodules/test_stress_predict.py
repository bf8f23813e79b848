"""Stress-Predict's reader and its stand-in."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict

from affect.errors import UserError
from datamodules.corpora.base import Trial
from datamodules.corpora.stress_predict import LABELS, ORDER, StressPredict
from datamodules.quality import check_rating, inspect
from datamodules.standin.stress_predict import StandInStressPredict, write_stress_predict


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stress_predict")
    write_stress_predict(folder, subjects=3, seconds=15.0)
    return folder


@pytest.fixture
def root(written: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return shutil.copytree(written, tmp_path / "stress_predict")


def error_of(act: Callable[[], object]) -> UserError:
    with pytest.raises(UserError) as caught:
        act()
    return caught.value


def read(root: Path, subject: str = "S02", *streams: str) -> list[Any]:
    trials = list(StressPredict(str(root)).trials(subject, streams or StressPredict.streams))
    assert all(isinstance(trial, Trial) for trial in trials)
    return trials


def rewrite(root: Path, change: Callable[[list[list[str]]], list[list[str]]]) -> None:
    """The table of labels, as rows of cells, changed."""
    rows = [line.split(",") for line in (root / LABELS).read_text().splitlines()]
    (root / LABELS).write_text("\n".join(",".join(row) for row in change(rows)) + "\n")


def test_seven_stretches_of_everyone(written: Path) -> None:
    corpus = StressPredict(str(written))
    corpus.ensure()
    assert corpus.subjects() == ["S02", "S03", "S04"]
    trials = read(written, "S03")
    assert [t.stimulus for t in trials] == list(ORDER)
    assert [t.ratings["task"] for t in trials] == list(ORDER)
    assert [t.ratings["stress"] for t in trials] == ["no", "yes", "no", "yes", "no", "yes", "no"]
    assert len({t.where for t in trials}) == 7
    for trial in trials:
        for name, value in trial.ratings.items():
            check_rating(name, value, corpus.ratings[name], trial.where)
        signals = {name: source() for name, source in trial.streams.items()}
        assert [*signals] == ["bvp", "eda", "temp", "hr", "acc"]
        seconds = [s.seconds for s in signals.values()]
        assert max(seconds) - min(seconds) <= 1  # nothing sticks out where the session begins and ends
        assert min(seconds) >= 13
        assert all(inspect(s, name, trial.where).problem is None for name, s in signals.items())
    names = [path.name for path in corpus.files("S03")]
    assert names == ["BVP.csv", "EDA.csv", "TEMP.csv", "HR.csv", "ACC.csv", LABELS.name]


def test_stretches_are_cut_where_the_label_changes(root: Path) -> None:
    """Of a stream that says when it was taken, in absolute time; the table is a second early, not the label."""
    start = float((root / "Raw_data/S02/EDA.csv").read_text().split()[0])
    text = "\n".join([f"{start}", "4.0", *(f"{i / 4}" for i in range(4 * 120))]) + "\n"
    (root / "Raw_data/S02/EDA.csv").write_text(text)
    first = [trial.streams["eda"]().data[0] for trial in read(root, "S02", "eda")]
    assert [data[0] for data in first] == [10.0, *(9.0 + 15 * i for i in range(1, 7))]  # the first waits for the HR
    assert [data[-1] for data in first[:-1]] == [8.75 + 15 * i for i in range(1, 7)]


def test_reads_only_the_asked_streams_and_only_when_asked(root: Path) -> None:
    assert [t.streams.keys() for t in read(root, "S02", "hr", "eda")] == [{"eda", "hr"}] * 7
    (root / "Raw_data/S02/EDA.csv").write_text("broken")
    trials = read(root)
    assert trials[0].streams["bvp"]().seconds > 13
    assert "EDA.csv" in error_of(lambda: trials[0].streams["eda"]()).where
    (root / "Raw_data/S02/ACC.csv").unlink()
    assert [*read(root)[0].streams] == ["bvp", "eda", "temp", "hr"]


def test_labels_without_recording_are_told_and_recordings_without_labels_are_not(root: Path) -> None:
    shutil.copytree(root / "Raw_data/S02", root / "Raw_data/S01")  # in the official corpus, unlabelled
    assert StressPredict(str(root)).subjects() == ["S02", "S03", "S04"]
    shutil.rmtree(root / "Raw_data/S03")
    error = error_of(StressPredict(str(root)).subjects)
    assert "['S03']" in error.found
    assert StressPredict(str(root), subjects=["S04", "S02"]).subjects() == ["S02", "S04"]
    rewrite(root, lambda rows: [row for row in rows if row[0] != "3"])
    assert StressPredict(str(root)).subjects() == ["S02", "S04"]  # a copy without this person


def test_other_stretches_than_seven_have_no_task(root: Path) -> None:
    rewrite(root, lambda rows: [row for row in rows if row[0] != "2" or int(row[3]) < 1_644_404_172 + 9 + 60])
    trials = read(root)
    assert [t.stimulus for t in trials] == ["relax", "stress", "relax", "stress"]
    assert [t.ratings["stress"] for t in trials] == ["no", "yes", "no", "yes"]
    assert all(np.isnan(t.ratings["task"]) for t in trials)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "\ufeff" + text.replace("\n", "\r\n"),
        lambda text: text.replace(",", ";").replace(".", ","),
        lambda text: text.replace(",", "\t"),
        lambda text: "\n".join(",".join(reversed(row.split(","))) for row in text.splitlines()) + "\n",
        lambda text: "\n".join(",".join(row.split(",")[i] for i in (0, 3, 4)) for row in text.splitlines()),
    ],
    ids=["mark and Windows lines", "semicolons and decimal commas", "tabs", "other order", "needed columns"],
)
def test_labels_from_a_spreadsheet(written: Path, root: Path, change: Callable[[str], str]) -> None:
    (root / LABELS).write_text(change((root / LABELS).read_text()), encoding="utf-8")
    assert StressPredict(str(root)).subjects() == ["S02", "S03", "S04"]
    for one, other in zip(read(root, "S04"), read(written, "S04"), strict=True):
        assert dict(one.ratings) == dict(other.ratings)
        assert np.array_equal(one.streams["eda"]().data, other.streams["eda"]().data)


def test_broken_labels(root: Path) -> None:
    good = (root / LABELS).read_text()
    lines = good.splitlines()

    def told(text: str) -> UserError:
        (root / LABELS).write_text(text)
        error = error_of(lambda: list(StressPredict(str(root)).trials(StressPredict(str(root)).subjects()[0], [])))
        assert str(root / LABELS) in error.where
        return error

    assert "not a table" in told("").found
    assert "no column ['label']" in told("\n".join(line.rpartition(",")[0] for line in lines)).found
    (root / LABELS).unlink()
    assert error_of(StressPredict(str(root)).subjects).found == "no such file"
    for row, cell, word in ((7, "2", "label 2"), (7, "", "label nan"), (7, "yes", "label 'yes'")):
        changed = [*lines[: row - 2], lines[row - 2].rpartition(",")[0] + "," + cell, *lines[row - 1 :]]
        changed = [lines[0], *changed[1:]]
        error = told("\n".join(changed))
        assert word in error.found
        assert f"row {row - 1}" in error.where
    gap = told("\n".join(lines[:20] + lines[23:]))
    assert "a row for every second" in gap.expected
    assert "row 21" in gap.where
    assert "participant 2.5" in told(good.replace("\n2,", "\n2.5,")).found


def test_a_recording_that_ends_early_costs_its_last_trials(root: Path) -> None:
    for name in ("BVP", "EDA", "TEMP", "HR", "ACC"):
        path = root / f"Raw_data/S02/{name}.csv"
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(lines[: 2 + (len(lines) - 2) // 2]))
    trials = read(root)
    assert trials[1].streams["eda"]().seconds == 15
    assert "before the end of the span" in error_of(lambda: trials[-1].streams["eda"]()).found


def test_empty_and_absent_folder(tmp_path: Path) -> None:
    assert LABELS.name in error_of(StressPredict(str(tmp_path)).subjects).where
    assert "no such folder" in error_of(StressPredict(str(tmp_path / "none")).ensure).found


def test_stand_in_is_the_same_again_and_says_what_it_is(tmp_path: Path) -> None:
    few, same, more = (
        StandInStressPredict(str(tmp_path / at), subjects=n, seconds=5) for at, n in (("a", 2), ("b", 2), ("a", 3))
    )
    for corpus in (few, same, more):
        corpus.ensure()
    assert few.root != more.root
    assert few.root.name == same.root.name
    assert json.loads((few.root / "standin.json").read_text())["stand_in"] is True
    for path in few.files("S02") + few.files("S03"):
        place = path.relative_to(few.root)
        assert path.read_bytes() == (same.root / place).read_bytes()
        assert place == LABELS or path.read_bytes() == (more.root / place).read_bytes()


def accuracy(corpus: StressPredict) -> float:
    """Balanced accuracy on unseen people from levels of heart rate, skin and temperature, standardised per person."""
    corpus.ensure()
    rows, label, person = [], [], []
    for subject in corpus.subjects():
        own = []
        for trial in read(corpus.root, subject, "hr", "eda", "temp"):
            signals = [source().data[0] for source in trial.streams.values()]
            halves = [np.array_split(signal, 2) for signal in signals]
            own += [[part[i].mean() for part in halves] for i in range(2)]
            label += [trial.ratings["stress"]] * 2
        rows.append((own - np.mean(own, axis=0)) / np.std(own, axis=0))
        person += [subject] * len(own)
    guess = cross_val_predict(
        LogisticRegression(class_weight="balanced"), np.concatenate(rows), label, groups=person, cv=LeaveOneGroupOut()
    )
    return float(balanced_accuracy_score(label, guess))


def test_strength_sets_the_effect(tmp_path: Path) -> None:
    def mean(strength: float, seeds: int) -> float:
        invented = (StandInStressPredict(str(tmp_path), 6, 30, strength=strength, seed=s) for s in range(seeds))
        return float(np.mean([accuracy(corpus) for corpus in invented]))

    assert mean(1.0, 4) > 0.65
    assert 0.42 < mean(0.0, 6) < 0.58


@pytest.mark.real
def test_real_corpus(real_data: Path) -> None:
    corpus = StressPredict(str(real_data / "stress_predict"))
    subjects = corpus.subjects()
    assert len(subjects) in (22, 34)  # trimmed copy, official download
    for subject in subjects:
        trials = read(real_data / "stress_predict", subject)
        assert [t.stimulus for t in trials] == list(ORDER)
        for trial in trials:
            signals = {name: source() for name, source in trial.streams.items()}
            assert {"bvp", "eda", "temp", "hr"} <= signals.keys()
            assert all(inspect(s, name, trial.where).problem is None for name, s in signals.items())
            assert min(s.seconds for s in signals.values()) > 85
            assert 40 < signals["hr"].data.mean() < 140
            assert 20 < signals["temp"].data.mean() < 40
