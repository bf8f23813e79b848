"""eegmat's reader, its stand-in, and the one place that writes stand-ins."""

import json
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import edfio
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from affect.errors import UserError
from datamodules.corpora.eegmat import EEG_CHANNELS, Eegmat
from datamodules.quality import check_rating, inspect
from datamodules.standin.eegmat import StandInEegmat, write_eegmat
from datamodules.standin.folder import folder_of, write_once

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("eegmat")
    write_eegmat(folder, subjects=4, seconds=4.0)
    return folder


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return shutil.copytree(written, tmp_path / "eegmat")


def write_official(path: Path, unit: str = "mV", drop: str = "") -> None:
    """As PhysioNet has it: EDF+, 500 Hz, A2-A1, ECG in mV, 2 s of padding; here in another order, channel k of k µV."""
    sine = np.sin(2 * np.pi * (5.1 * np.arange(2000) / 500 + 0.1))
    sine = np.concatenate([sine, np.full(500, sine[-1]), np.zeros(500)])
    signals = [
        edfio.EdfSignal(sine * k, 500, label=f"EEG {name}", physical_dimension="uV", physical_range=(-30, 30))
        for k, name in reversed(list(enumerate((*EEG_CHANNELS, "A2-A1"), start=1)))
        if name != drop
    ]
    ecg = edfio.EdfSignal(sine * 0.7, 500, label="ECG ECG", physical_dimension=unit, physical_range=(-1, 1))
    edfio.Edf([ecg, *signals], annotations=[edfio.EdfAnnotation(0, None, "start")]).write(path)


def error_of(act: Callable[[], object]) -> UserError:
    with pytest.raises(UserError) as caught:
        act()
    return caught.value


def test_round_trip(written: Path) -> None:
    corpus = Eegmat(str(written))
    corpus.ensure()
    assert corpus.subjects() == ["Subject00", "Subject01", "Subject02", "Subject03"]
    rest, arithmetic = corpus.trials("Subject02", ["eeg", "ecg"])
    for trial, task in ((rest, "rest"), (arithmetic, "arithmetic")):
        assert (trial.subject, trial.stimulus, dict(trial.ratings)) == ("Subject02", task, {"task": task})
        check_rating("task", task, corpus.ratings["task"], trial.where)
        eeg, ecg = trial.streams["eeg"], trial.streams["ecg"]
        assert eeg.data.shape == (19, 512)
        assert ecg.data.shape == (1, 512)
        assert (eeg.rate, eeg.unit, eeg.channels) == (128.0, "µV", EEG_CHANNELS)
        assert eeg.data.dtype == np.float32
        assert inspect(eeg, "eeg", trial.where).problem is None
        assert inspect(ecg, "ecg", trial.where).problem is None
        assert 1 < eeg.data.std() < 100
        assert 300 < ecg.data.max() < 1000
        assert trial.group.keys() == {"age", "sex", "count_quality"}
    assert rest.where != arithmetic.where
    assert [f.name for f in corpus.files("Subject02")] == ["Subject02_1.edf", "Subject02_2.edf", "subject-info.csv"]


def test_recordings_cut_into_segments_are_the_recordings(written: Path) -> None:
    whole, cut = Eegmat(str(written)), Eegmat(str(written), segments=4)
    segments = list(cut.trials("Subject02", ["eeg", "ecg"]))
    assert [trial.stimulus for trial in segments] == ["rest"] * 4 + ["arithmetic"] * 4
    assert len({trial.where for trial in segments}) == 8
    for i, trial in enumerate(whole.trials("Subject02", ["eeg", "ecg"])):
        for stream, recorded in trial.streams.items():
            parts = [one.streams[stream].data for one in segments[4 * i : 4 * i + 4]]
            assert {part.shape for part in parts} == {(len(recorded.channels), recorded.data.shape[1] // 4)}
            np.testing.assert_array_equal(np.concatenate(parts, axis=1), recorded.data[:, : 4 * parts[0].shape[1]])
    assert cut.settings() != whole.settings()  # another cache


def test_reads_only_the_asked_streams(written: Path) -> None:
    corpus = Eegmat(str(written))
    assert [t.streams.keys() for t in corpus.trials("Subject00", ["ecg"])] == [{"ecg"}] * 2
    assert [len(t.streams) for t in corpus.trials("Subject00", [])] == [0, 0]


def test_official_rate_ear_channel_units_and_order(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_official(folder / "Subject00_1.edf")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trial = next(Eegmat(str(folder)).trials("Subject00", ["eeg", "ecg"]))
    eeg, ecg = trial.streams["eeg"], trial.streams["ecg"]
    assert (eeg.rate, eeg.data.shape, eeg.channels) == (500.0, (19, 2000), EEG_CHANNELS)
    np.testing.assert_allclose(eeg.data.max(axis=1), np.arange(1, 20), atol=0.01)  # every channel by its name
    assert ecg.data.max() == pytest.approx(700, abs=0.1)
    assert capfd.readouterr() == ("", "")


def test_streams_last_alike_whichever_are_asked(folder: Path) -> None:
    write_official(folder / "Subject00_1.edf")
    lengths = [
        [s.data.shape[1] for s in next(Eegmat(str(folder)).trials("Subject00", names)).streams.values()]
        for names in (["eeg"], ["ecg"], ["ecg", "eeg"])
    ]
    assert lengths == [[2000], [2000], [2000, 2000]]


def test_subject_info_with_mark_semicolons_and_more_columns(folder: Path) -> None:
    text = "Subject;Age;Gender;;Recording year;Number of subtractions;Count quality;\n"
    text += "".join(f"Subject{i:02d};2{i};{'FM'[i % 2]};2;2011;9,7;{i % 2};2\n" for i in range(4))
    (folder / "subject-info.csv").write_text(text, encoding="utf-8-sig")
    groups = [dict(next(Eegmat(str(folder)).trials(f"Subject0{i}", [])).group) for i in (0, 1)]
    assert groups[0] == {"age": 20.0, "sex": "female", "count_quality": "bad"}
    assert groups[1] == {"age": 21.0, "sex": "male", "count_quality": "good"}


def test_people_left_out_of_files_and_table_are_no_gap(folder: Path) -> None:
    table = (folder / "subject-info.csv").read_text().splitlines(keepends=True)
    (folder / "subject-info.csv").write_text("".join(r for r in table if not r.startswith("Subject01")))
    for k in (1, 2):
        (folder / f"Subject01_{k}.edf").unlink()
    assert Eegmat(str(folder)).subjects() == ["Subject00", "Subject02", "Subject03"]


def test_missing_recordings_are_told_and_may_be_meant(folder: Path) -> None:
    (folder / "Subject01_2.edf").unlink()
    (folder / "Subject02_1.edf").unlink()
    (folder / "Subject02_2.edf").unlink()
    error = error_of(Eegmat(str(folder)).subjects)
    assert "['Subject01', 'Subject02']" in error.found
    chosen = ["Subject03", "Subject00"]
    assert Eegmat(str(folder), subjects=chosen).subjects() == sorted(chosen)
    assert "Subject01" in error_of(Eegmat(str(folder), subjects=["Subject01"]).subjects).found


def test_bad_subject_info(folder: Path) -> None:
    path = folder / "subject-info.csv"
    for text, word in (("", "not a table"), ("Subject,Age\nSubject00,3\n", "count quality")):
        path.write_text(text)
        error = error_of(Eegmat(str(folder)).subjects)
        assert error.where == str(path)
        assert word in error.found
    path.write_text("Subject,Age,Gender,Count quality\nSubject00,20,F,1\n")
    assert "Subject01" in error_of(lambda: list(Eegmat(str(folder)).trials("Subject01", []))).found
    path.unlink()
    error = error_of(Eegmat(str(folder)).subjects)
    assert (error.where, error.found) == (str(path), "no such file")


@pytest.mark.parametrize("size", [0, 100, 256, 3000, 5376, 20_000, -1])
def test_truncated_edf(folder: Path, size: int) -> None:
    path = folder / "Subject00_1.edf"
    path.write_bytes(path.read_bytes()[:size])
    assert error_of(lambda: next(Eegmat(str(folder)).trials("Subject00", ["eeg"]))).where == str(path)


def test_corrupt_edf(folder: Path) -> None:
    path = folder / "Subject00_1.edf"
    good = path.read_bytes()
    for bad in (b"no EDF " * 1000, good[:236] + b"-1      " + good[244:], good[:244] + b"xxxxxxxx" + good[252:]):
        path.write_bytes(bad)
        assert error_of(lambda: next(Eegmat(str(folder)).trials("Subject00", ["eeg"]))).where == str(path)


def test_other_channels_or_units(folder: Path) -> None:
    write_official(folder / "Subject00_1.edf", drop="Fz")
    error = error_of(lambda: next(Eegmat(str(folder)).trials("Subject00", ["eeg"])))
    assert error.found.startswith("no channel ['Fz']")
    assert "'A2-A1'" in error.found
    write_official(folder / "Subject00_1.edf", unit="degC")
    assert "degC" in error_of(lambda: next(Eegmat(str(folder)).trials("Subject00", ["ecg"]))).found


def test_empty_and_absent_folder(tmp_path: Path) -> None:
    assert "no eegmat recording" in error_of(Eegmat(str(tmp_path)).subjects).found
    assert "no such folder" in error_of(Eegmat(str(tmp_path / "none")).ensure).found


def test_stand_in_is_the_same_again_and_says_what_it_is(tmp_path: Path) -> None:
    few, same, more = (
        StandInEegmat(str(tmp_path / at), subjects=n, seconds=2) for at, n in (("a", 2), ("b", 2), ("a", 3))
    )
    for corpus in (few, same, more):
        corpus.ensure()
    assert few.root != more.root
    assert few.root.name == same.root.name
    assert json.loads((few.root / "standin.json").read_text())["stand_in"] is True
    for path in few.files("Subject00") + few.files("Subject01"):
        assert path.read_bytes() == (same.root / path.name).read_bytes()
        assert path.suffix == ".csv" or path.read_bytes() == (more.root / path.name).read_bytes()
    before = (few.root / "Subject00_1.edf").stat()
    few.ensure()
    assert (few.root / "Subject00_1.edf").stat() == before


def accuracy(corpus: Eegmat) -> float:
    """Balanced accuracy on unseen people from log band powers, standardised per person."""
    corpus.ensure()
    rows, label, person = [], [], []
    for subject in corpus.subjects():
        own = []
        for trial in corpus.trials(subject, ["eeg"]):
            windows = trial.streams["eeg"].data.reshape(19, -1, 256).transpose(1, 0, 2)
            power = np.abs(np.fft.rfft(windows * np.hanning(256))) ** 2  # bins of 0.5 Hz
            own.append(np.log(np.stack([power[..., a:b].mean(-1) for a, b in ((8, 16), (16, 26), (26, 60))], -1)))
            label += [trial.ratings["task"]] * len(windows)
            person += [subject] * len(windows)
        features = np.concatenate(own).reshape(-1, 57)
        rows.append((features - features.mean(0)) / features.std(0))
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01))
    guess = cross_val_predict(model, np.concatenate(rows), label, groups=person, cv=LeaveOneGroupOut())
    return float(balanced_accuracy_score(label, guess))


def test_strength_sets_the_effect(tmp_path: Path) -> None:
    assert np.mean([accuracy(StandInEegmat(str(tmp_path), 6, 32, strength=1, seed=s)) for s in range(2)]) > 0.65
    nothing = [accuracy(StandInEegmat(str(tmp_path), 6, 32, strength=0, seed=s)) for s in range(4)]
    assert 0.42 < np.mean(nothing) < 0.58


WRITER = """
import os, signal, sys, time
from pathlib import Path
from datamodules.standin.folder import write_once

def write(folder):
    (folder / "half").write_text("half")
    with open(sys.argv[1] + "/count", "a") as count:
        count.write("x")
    time.sleep(0.3)
    if sys.argv[2] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    (folder / "whole").write_text("whole")

write_once(Path(sys.argv[1]) / "root", "toy", {"n": 1}, write)
"""


def start(folder: Path, how: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", WRITER, str(folder), how], cwd=REPOSITORY)


def test_two_writers_at_once_write_once_and_a_killed_one_leaves_nothing(tmp_path: Path) -> None:
    there = folder_of(tmp_path / "root", "toy", {"n": 1})
    assert start(tmp_path, "die").wait() == -signal.SIGKILL
    assert not there.exists()
    (tmp_path / "count").unlink()
    assert [p.wait() for p in [start(tmp_path, "live"), start(tmp_path, "live")]] == [0, 0]
    assert (tmp_path / "count").read_text() == "x"
    assert sorted(p.name for p in there.iterdir()) == ["half", "standin.json", "whole"]
    assert [p.name for p in there.parent.iterdir() if not p.name.endswith(".lock")] == [there.name]


def test_failed_write_is_no_stand_in(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        raise OSError(28, "No space left on device")

    assert "No space left" in error_of(lambda: write_once(tmp_path, "toy", {}, fail)).found
    assert not folder_of(tmp_path, "toy", {}).exists()
    (tmp_path / "file").touch()
    assert error_of(lambda: write_once(tmp_path / "file", "toy", {}, fail)).where == str(tmp_path / "file")


@pytest.mark.real
def test_real_corpus(real_data: Path) -> None:
    corpus = Eegmat(str(real_data / "eegmat"))
    subjects = corpus.subjects()
    assert len(subjects) in (24, 36)  # trimmed copy, official download
    trials = [t for s in subjects for t in corpus.trials(s, corpus.streams)]
    assert [t.stimulus for t in trials] == ["rest", "arithmetic"] * len(subjects)
    for trial in trials:
        for name, stream in trial.streams.items():
            assert inspect(stream, name, trial.where).problem is None
            assert stream.seconds > 60
        assert 5 < np.median(trial.streams["eeg"].data.std(axis=1)) < 40
        assert 10 < trial.streams["ecg"].data.std() < 2000
    assert {t.group["sex"] for t in trials} == {"female", "male"}
    assert {t.group["count_quality"] for t in trials} == {"good", "bad"}
