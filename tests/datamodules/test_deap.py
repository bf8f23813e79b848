"""DEAP's reader and its stand-in; test_deap_beside.py has what lies beside the recordings."""

import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from affect.errors import UserError
from datamodules.corpora.deap import EEG, STREAMS, Deap
from datamodules.quality import check_rating, inspect
from datamodules.standin import python2_pickle
from datamodules.standin.deap import StandInDeap, write_deap

REPOSITORY = Path(__file__).parents[2]
INNER = "data_preprocessed_python"
# The bytes a Python 2.7 session writes for the official shapes, memo and back references included, cut at the payloads.
PYTHON2 = (
    b"\x80\x02}q\x00(U\x06labelsq\x01cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85q\x04"
    b"U\x01bq\x05\x87q\x06Rq\x07(K\x01K(K\x04\x86q\x08cnumpy\ndtype\nq\tU\x02f8q\nK\x00K\x01\x87q\x0bRq\x0c(K\x03"
    b"U\x01<q\rNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x0eb\x89T\x00\x05\x00\x00",
    b"q\x0ftq\x10bU\x04dataq\x11h\x02h\x03K\x00\x85q\x12h\x05\x87q\x13Rq\x14(K\x01K(K(M\x80\x1f\x87q\x15h\x0c\x89T"
    + struct.pack("<i", 40 * 40 * 8064 * 8),
    b"q\x16tq\x17bu.",
)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("deap")
    write_deap(folder, subjects=3, trials=4, seconds=2.0)
    return folder


@pytest.fixture
def root(written: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return shutil.copytree(written, tmp_path / "deap")


def error_of(act: Callable[[], object]) -> UserError:
    with pytest.raises(UserError) as caught:
        act()
    return caught.value


def read(corpus: Deap, subject: str = "s01") -> list[Any]:
    return list(corpus.trials(subject, tuple(STREAMS)))


def dump(root: Path, content: object) -> Deap:
    (root / INNER / "s01.dat").write_bytes(pickle.dumps(content, protocol=2))
    return Deap(str(root))


# ---- the reader


def test_every_number_of_the_file_arrives(written: Path) -> None:
    corpus = Deap(str(written))
    corpus.ensure()
    assert corpus.subjects() == ["s01", "s02", "s03"]
    official = pickle.loads((written / INNER / "s02.dat").read_bytes(), encoding="latin1")
    assert official["data"].shape == (4, 40, 640)
    trials = read(corpus, "s02")
    assert [trial.stimulus for trial in trials] == ["video01", "video02", "video03", "video04"]
    for trial, data, labels in zip(trials, official["data"], official["labels"], strict=True):
        assert trial.subject == "s02"
        assert trial.onset == 3.0
        assert [trial.ratings[name] for name in ("valence", "arousal", "dominance", "liking")] == list(labels)
        stacked = np.concatenate([trial.streams[name].data for name in STREAMS])
        assert stacked.dtype == np.float32
        assert np.array_equal(stacked, data.astype(np.float32))
        assert trial.streams["eeg"].channels == EEG
        assert (trial.streams["eda"].unit, trial.streams["eda"].rate) == ("Ohm", 128.0)
        for name, signal in trial.streams.items():
            assert inspect(signal, name, trial.where).problem is None
        for name, value in trial.ratings.items():
            check_rating(name, value, corpus.ratings[name], trial.where)


def test_a_python2_file_of_official_size(tmp_path: Path) -> None:
    labels, data = np.random.default_rng(0).uniform(1, 9, (40, 4)), np.random.default_rng(1).normal(size=(40, 8064))
    with (tmp_path / "s01.dat").open("wb") as file:
        file.write(PYTHON2[0] + labels.tobytes() + PYTHON2[1] + data.tobytes())  # the first trial; the rest is a hole
        file.seek((40 - 1) * data.nbytes, os.SEEK_CUR)
        file.write(PYTHON2[2])
    corpus = Deap(str(tmp_path))  # the folder of the files themselves will do
    assert corpus.subjects() == ["s01"]
    trial = next(corpus.trials("s01", ["eeg", "temp"]))
    assert [*trial.streams] == ["eeg", "temp"]
    assert trial.ratings["liking"] == labels[0, 3]
    assert np.array_equal(trial.streams["eeg"].data, data[:32].astype(np.float32))
    assert np.array_equal(trial.streams["temp"].data, data[39:].astype(np.float32))


def test_gaps_and_picks(root: Path) -> None:
    (root / INNER / "s02.dat").unlink()
    error = error_of(Deap(str(root)).subjects)
    assert "s02" in error.found
    assert "--data.corpus.subjects" in error.remedy
    assert Deap(str(root), subjects=["s03", "s01"]).subjects() == ["s01", "s03"]
    assert "s02" in error_of(Deap(str(root), subjects=["s02"]).subjects).found
    assert "no such folder" in error_of(Deap(str(root / "nowhere")).ensure).found


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"data": np.zeros((4, 40, 639))}, "float64 of shape (4, 40, 639)"),
        ({"data": np.zeros((40, 4, 640))}, "(40, 4, 640)"),
        ({"data": np.zeros((4, 40, 640), int)}, "int64"),
        ({"labels": np.zeros((4, 3))}, "'labels': float64 of shape (4, 3)"),
        ({"labels": [1.0, 2.0]}, "a list"),
        ({"labels": None}, "'labels': missing"),
    ],
)
def test_wrong_content_is_named(root: Path, change: dict[str, Any], found: str) -> None:
    corpus = dump(root, {"data": np.zeros((4, 40, 640)), "labels": np.ones((4, 4)), **change})
    error = error_of(lambda: read(corpus))
    assert found in error.found
    assert "s01.dat" in error.where


def test_without_a_manifest_only_official_sizes_pass(root: Path) -> None:
    assert "'data': missing" in error_of(lambda: read(dump(root, [1, 2]))).found
    (root / "standin.json").write_text("{}")
    assert "standin.json" in error_of(lambda: read(Deap(str(root)), "s02")).where
    (root / "standin.json").unlink()
    assert "(40, 40, 8064)" in error_of(lambda: read(Deap(str(root)), "s02")).expected


@pytest.mark.parametrize("keep", [0, 1, 60, 200, 10_000, -1])
def test_cut_off_files_are_told(root: Path, keep: int) -> None:
    path = root / INNER / "s01.dat"
    path.write_bytes(path.read_bytes()[:keep])
    error = error_of(lambda: read(Deap(str(root))))
    assert error.where == str(path)
    assert f"{path.stat().st_size:,} bytes" in error.found


# ---- the stand-in


def test_same_settings_same_bytes(written: Path, tmp_path: Path) -> None:
    write_deap(tmp_path / "more", subjects=4, trials=4, seconds=2.0)
    write_deap(tmp_path / "other", subjects=1, trials=4, seconds=2.0, seed=1)
    for subject in ("s01", "s02", "s03"):
        path = f"{INNER}/{subject}.dat"
        assert (tmp_path / "more" / path).read_bytes() == (written / path).read_bytes()
    assert (tmp_path / "other" / INNER / "s01.dat").read_bytes() != (written / INNER / "s01.dat").read_bytes()
    facts = json.loads((written / "standin.json").read_text())
    assert facts["stand_in"] is True
    assert facts["trials"] == 4
    assert "files are there" in error_of(lambda: write_deap(written)).found


@pytest.mark.parametrize(
    "setting", [{"subjects": 0}, {"faces": 23}, {"trials": 41}, {"seconds": float("nan")}, {"strength": -1.0}]
)
def test_impossible_settings_are_named(setting: dict[str, Any]) -> None:
    assert error_of(lambda: StandInDeap(**setting)).where == f"data.corpus.{next(iter(setting))}"


def test_both_classes_in_every_person(tmp_path: Path) -> None:
    corpus = StandInDeap(str(tmp_path), subjects=12, seconds=1.0)
    corpus.ensure()
    for subject in corpus.subjects():
        ratings = [trial.ratings for trial in corpus.trials(subject, [])]
        for name in ("valence", "arousal"):
            assert 0.3 <= np.mean([float(rating[name]) > 5.0 for rating in ratings]) <= 0.7


def power(trials: list[Any], low: float, high: float, channels: list[str]) -> np.ndarray:
    """(trials,) log power of the stimulus."""
    eeg = np.stack([trial.streams["eeg"].data[[EEG.index(c) for c in channels], 4 * 128 :] for trial in trials])
    f = np.fft.rfftfreq(eeg.shape[-1], 1 / 128)
    spectrum = np.abs(np.fft.rfft(eeg)) ** 2
    return np.asarray(np.log(spectrum[..., (f >= low) & (f < high)].mean(axis=(1, 2))))


def test_strength_is_the_only_path_from_rating_to_signal(tmp_path: Path) -> None:
    none, some = (StandInDeap(str(tmp_path), subjects=4, trials=12, seconds=8.0, shift=0.0, strength=s) for s in (0, 1))
    correlation = []
    for corpus in (none, some):
        corpus.ensure()
        trials = [trial for subject in corpus.subjects() for trial in read(corpus, subject)]
        asymmetry = power(trials, 8, 13, ["F4", "F8", "AF4"]) - power(trials, 8, 13, ["F3", "F7", "AF3"])
        activation = power(trials, 13, 30, ["C3", "Cz", "C4"]) - power(trials, 8, 13, ["O1", "Oz", "O2"])
        valence, arousal = ([trial.ratings[name] for trial in trials] for name in ("valence", "arousal"))
        correlation += [np.corrcoef(asymmetry, valence)[0, 1], np.corrcoef(activation, arousal)[0, 1]]
    assert np.all(np.abs(correlation[:2]) < 0.25)  # 0.28 is the 5 % point of 48 unrelated pairs
    assert np.all(np.array(correlation[2:]) > 0.5)
    for one, other in zip(read(none), read(some), strict=True):
        assert one.ratings == other.ratings
        for name in STREAMS:
            a, b = one.streams[name].data, other.streams[name].data
            assert np.allclose(a[:, : 3 * 128], b[:, : 3 * 128], atol=1e-3)
            assert np.allclose(a, b, atol=1e-3) == (name in {"eog", "emg", "temp"})


def test_two_processes_may_ask_at_once(tmp_path: Path) -> None:
    ask = (
        "import sys; from datamodules.standin.deap import StandInDeap\n"
        "c = StandInDeap(sys.argv[1], subjects=6, trials=8, seconds=5.0); c.ensure(); print(c.root, len(c.subjects()))"
    )
    asked = [
        subprocess.Popen([sys.executable, "-c", ask, str(tmp_path)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    answers = [process.communicate(timeout=60)[0] for process in asked]
    assert answers[0] == answers[1]
    assert answers[0].endswith(" 6\n")
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == [Path(answers[0].split()[0]).name]


def test_half_a_stand_in_is_not_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = StandInDeap(str(tmp_path), subjects=2, trials=2, seconds=1.0)
    whole = python2_pickle.dump

    def killed(file: Any, *args: Any, **kwargs: Any) -> None:
        if file.name.endswith("s02.dat"):
            raise KeyboardInterrupt
        whole(file, *args, **kwargs)

    monkeypatch.setattr(python2_pickle, "dump", killed)
    with pytest.raises(KeyboardInterrupt):
        corpus.ensure()
    assert not corpus.root.exists()
    monkeypatch.undo()
    corpus.ensure()
    assert [len(read(corpus, subject)) for subject in corpus.subjects()] == [2, 2]
