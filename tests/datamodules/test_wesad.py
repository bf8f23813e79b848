"""WESAD's reader and its stand-in."""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from affect.errors import UserError
from datamodules.corpora.wesad import STATES, STREAMS, Wesad
from datamodules.formats.restricted_pickle import StoredArray
from datamodules.quality import check_rating, inspect
from datamodules.standin.wesad import StandInWesad, write_wesad

PLACES = {name: (sensor.place, sensor.key) for name, sensor in STREAMS.items()}
RATES = {"bvp": 64, "wrist_eda": 4, "wrist_temp": 4, "wrist_acc": 32}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wesad")
    write_wesad(folder, subjects=3, seconds=2.0)
    return folder


@pytest.fixture
def root(written: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return shutil.copytree(written, tmp_path / "wesad")


def error_of(act: Callable[[], object]) -> UserError:
    with pytest.raises(UserError) as caught:
        act()
    return caught.value


def read(root: Path, subject: str = "S2", *streams: str) -> list[Any]:
    return list(Wesad(str(root)).trials(subject, streams or Wesad.streams))


def official(root: Path, subject: str = "S2") -> dict[str, Any]:
    content: dict[str, Any] = pickle.loads((root / subject / f"{subject}.pkl").read_bytes(), encoding="latin1")
    return content


def put(root: Path, content: object) -> Path:
    (root / "S2/S2.pkl").write_bytes(pickle.dumps(content, protocol=2))
    return root


# ---- the reader


def test_every_sample_of_a_state_arrives(written: Path) -> None:
    corpus = Wesad(str(written))
    corpus.ensure()
    assert corpus.subjects() == ["S2", "S3", "S4"]
    raw = official(written, "S3")
    label = raw["label"]
    assert set(label) == {0, 1, 2, 3, 4, 6, 7}
    trials = read(written, "S3")
    assert [t.stimulus for t in trials] == ["baseline", "amusement", "meditation1", "stress", "meditation2"]
    for trial in trials:
        number = 1 + STATES.index(trial.ratings["state"])
        samples = np.flatnonzero(label == number)
        if number == 4:
            samples = np.array_split(samples, 2)[int(trial.stimulus[-1]) - 1]
        assert [*trial.streams] == [*STREAMS]
        assert (trial.subject, trial.onset) == ("S3", 0.0)
        for name, source in trial.streams.items():
            signal, rate = source(), RATES.get(name, 700)
            place, key = PLACES[name]
            stretch = slice(samples[0] * rate // 700, (samples[-1] + 1) * rate // 700)
            assert np.array_equal(signal.data, raw["signal"][place][key][stretch].T.astype(np.float32))
            assert (signal.rate, signal.seconds, signal.data.dtype) == (rate, 2.0, np.float32)
            assert inspect(signal, name, trial.where).problem is None
        for name, value in trial.ratings.items():
            check_rating(name, value, corpus.ratings[name], trial.where)
    assert trials[0].streams["acc"]().channels == ("x", "y", "z")
    assert (trials[0].streams["eda"]().unit, trials[0].streams["wrist_acc"]().unit) == ("µS", "g/64")


def test_only_what_is_asked_for_is_decoded(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []
    whole = StoredArray.numpy
    monkeypatch.setattr(StoredArray, "numpy", lambda self: decoded.append(self.shape) or whole(self))
    trials = read(written, "S2", "wrist_eda", "ecg")
    assert [*trials[0].streams] == ["ecg", "wrist_eda"]
    assert len(decoded) == 1  # the labels
    trials[0].streams["wrist_eda"]()
    assert len(decoded) == 2


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_files_that_were_pickled_again(root: Path, protocol: int) -> None:
    """Users shrink the files so: a third of the size."""
    before = read(root, "S2", "bvp")[1].streams["bvp"]().data
    content = official(root)
    (root / "S2/S2.pkl").write_bytes(pickle.dumps(content, protocol))
    assert np.array_equal(read(root, "S2", "bvp")[1].streams["bvp"]().data, before)


def test_the_folder_above_will_do(written: Path, tmp_path: Path) -> None:
    shutil.copytree(written, tmp_path / "WESAD")
    (tmp_path / "WESAD/wesad_readme.pdf").touch()
    (tmp_path / "WESAD/S9").mkdir()
    assert Wesad(str(tmp_path)).subjects() == ["S2", "S3", "S4"]


def test_gaps_that_are_official_and_others(root: Path) -> None:
    for number in (*range(5, 12), 13):
        (root / f"S{number}").mkdir()
        (root / f"S{number}/S{number}.pkl").touch()
    assert Wesad(str(root)).subjects()[-1] == "S13"  # without S1 and S12
    shutil.rmtree(root / "S3")
    error = error_of(Wesad(str(root)).subjects)
    assert "['S3']" in error.found
    assert Wesad(str(root), subjects=["S10", "S2"]).subjects() == ["S2", "S10"]
    assert "no wesad recording" in error_of(Wesad(str(root / "S2")).subjects).found


Change = Callable[[dict[str, Any]], Any]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda c: c.pop("label"), "'label': missing"),
        (lambda c: c.update(label=c["label"][:, None]), "'label': int32 of shape"),
        (lambda c: c.update(label=c["label"][:-700]), "'ECG': float64 of shape"),
        (lambda c: c.update(subject="S3"), "the recording of 'S3'"),
        (lambda c: c.pop("signal"), "'ECG': missing"),
        (lambda c: c.update(signal=[1]), "'ECG': missing"),
        (lambda c: c["signal"]["chest"].pop("ECG"), "'ECG': missing"),
        (lambda c: c["signal"]["chest"].update(ECG=c["signal"]["chest"]["ECG"][:, 0]), "'ECG': float64 of shape"),
        (lambda c: c["signal"]["chest"].update(ECG=c["signal"]["chest"]["ECG"][1:]), "'ECG': float64 of shape"),
        (lambda c: c["signal"]["chest"].update(ECG=[0.0]), "'ECG': a list"),
        (lambda c: c["signal"]["wrist"].update(BVP=c["signal"]["wrist"]["BVP"][::2]), "'BVP': float64 of shape"),
        (lambda c: c["signal"]["wrist"].update(ACC=c["signal"]["wrist"]["ACC"][:, :2]), "'ACC': float64 of shape"),
    ],
)
def test_wrong_content_is_named(root: Path, change: Change, found: str) -> None:
    content = official(root)
    change(content)
    error = error_of(lambda: read(put(root, content)))
    assert found in error.found
    assert "S2.pkl" in error.where


def test_a_sensor_nobody_asks_for_may_be_missing(root: Path) -> None:
    """People delete the chest's acceleration, a third of the file."""
    content = official(root)
    del content["signal"]["chest"]["ACC"]
    assert len(read(put(root, content), "S2", "ecg", "wrist_acc")) == 5


def test_the_wrist_may_be_a_second_off(root: Path) -> None:
    content = official(root)
    content["signal"]["wrist"]["EDA"] = content["signal"]["wrist"]["EDA"][:-4]
    assert read(put(root, content), "S2", "wrist_eda")[-1].streams["wrist_eda"]().seconds == 2.0


def test_another_object_and_a_truncated_file(root: Path, tmp_path: Path) -> None:
    assert "nobody" in error_of(lambda: read(put(root, [1, 2]))).found
    path = root / "S3/S3.pkl"
    path.write_bytes(path.read_bytes()[:-100])
    assert "cannot be read to the end" in error_of(lambda: read(root, "S3")).found
    trials = read(root, "S4", "ecg")
    os.truncate(root / "S4/S4.pkl", 1000)  # after it was opened
    assert "changed" in error_of(trials[0].streams["ecg"]).found


def test_a_pickle_that_would_run_something(root: Path, tmp_path: Path) -> None:
    (root / "S2/S2.pkl").write_bytes(b"cos\nmkdir\n(S'" + str(tmp_path / "ran").encode() + b"'\ntR.")
    assert "os.mkdir" in error_of(lambda: read(root)).found
    assert not (tmp_path / "ran").exists()


# ---- self-reports and facts


def test_self_reports_belong_to_their_conditions(root: Path) -> None:
    (root / "S2/S2_quest.csv").write_text(
        "# Subj;S2;;;\n# ORDER;Base;Fun;Medi 1;TSST;Medi 2;sRead;fRead;;\n# START;7.08;39.55;;\n;;;;\n# PANAS;1;1;3;;\n"
        ";;;;\n# STAI;1;2;;\n;;;\n# DIM;7;2;;\n# DIM;8;5;;\n# DIM;6;1;;\n# DIM;3;9;;\n# DIM;6;3;;\n;;\n# SSSQ;1;1;;\n",
        encoding="utf-8",
    )
    reported = {t.stimulus: (t.ratings["valence"], t.ratings["arousal"]) for t in read(root, "S2", "bvp")}
    assert reported == {
        **{"baseline": (7, 2), "stress": (3, 9), "meditation1": (6, 1), "amusement": (8, 5), "meditation2": (6, 3)}
    }


@pytest.mark.parametrize(
    "text", ["", "# ORDER;Base;TSST\n# DIM;5;2\n", "# ORDER;Base\n# DIM;5;x\n", "# ORDER;Base\n# DIM;5\n"]
)
def test_self_reports_that_are_not_understood(root: Path, text: str) -> None:
    (root / "S2/S2_quest.csv").write_text(text, encoding="utf-8")
    error = error_of(lambda: read(root))
    assert "S2_quest.csv" in error.where
    assert "valence and arousal are then unknown" in error.remedy


def test_notes_and_self_reports_may_be_absent(root: Path) -> None:
    notes = "### Personal information ###\nAge: 27\nHeight (cm): 175\nGender: female\nDominant hand: right\n"
    (root / "S2/S2_readme.txt").write_text(notes, encoding="utf-8")
    assert read(root)[0].group == {"age": 27.0, "sex": "female"}
    (root / "S2/S2_readme.txt").unlink()
    (root / "S2/S2_quest.csv").unlink()
    trial = read(root)[0]
    assert trial.group == {}
    assert (trial.ratings["state"], np.isnan(trial.ratings["valence"])) == ("baseline", True)
    assert [path.name for path in Wesad(str(root)).files("S2")] == ["S2.pkl"]


# ---- the stand-in


def test_same_settings_same_bytes(written: Path, tmp_path: Path) -> None:
    corpus = StandInWesad(str(tmp_path), subjects=12, seconds=0.5)
    corpus.ensure()
    assert corpus.subjects() == [f"S{n}" for n in (*range(2, 12), 13, 14)]
    assert json.loads((corpus.root / "standin.json").read_text())["corpus"] == "wesad"
    again = tmp_path / "again"
    again.mkdir()
    write_wesad(again, subjects=1, seconds=2.0)
    for path in (again / "S2").iterdir():
        assert path.read_bytes() == (written / "S2" / path.name).read_bytes()
    assert (written / "S2/S2.pkl").read_bytes()[:5] == b"(dS's"  # protocol 0, as the real files


def arousal_of(trial: Any) -> list[float]:
    """Of the stretch: pulse in Hz, ln skin conductance, ln muscle tone, breaths in Hz."""
    ecg, eda, emg, resp = (trial.streams[name]().data[0, 2100:] for name in ("ecg", "eda", "emg", "resp"))
    beats = np.flatnonzero((ecg[1:] > 0.55 * ecg.max()) & (ecg[:-1] <= 0.55 * ecg.max()))
    beats = beats[np.diff(beats, prepend=-700) > 200]
    smooth = np.convolve(resp, np.ones(350) / 350, "valid")
    breaths = np.flatnonzero(np.diff(np.sign(smooth)) > 0)
    breaths = breaths[np.diff(breaths, prepend=-700) > 500]
    pulse, breath = (700 / np.diff(at).mean() for at in (beats, breaths))
    return [pulse, float(np.log(eda.mean())), float(np.log(emg.std())), breath]


def test_strength_is_the_only_path_from_state_to_body(tmp_path: Path) -> None:
    gaps = []
    for strength in (0.0, 1.0):
        corpus = StandInWesad(str(tmp_path), subjects=4, seconds=25.0, strength=strength, shift=0.5)
        corpus.ensure()
        for subject in corpus.subjects():
            found = {t.stimulus: np.array(arousal_of(t)) for t in corpus.trials(subject, ["ecg", "eda", "emg", "resp"])}
            gaps.append(found["stress"] - (found["meditation1"] + found["meditation2"]) / 2)
    none, some = np.array(gaps).reshape(2, 4, 4)
    assert np.all(np.abs(none.mean(axis=0)) < 0.15 * np.array([1, 1, 1, 0.3]))
    assert np.all(some > [0.1, 0.2, 0.2, 0.02])
