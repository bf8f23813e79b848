"""DREAMER's reader and its stand-in."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matlab73 import write_mat73
from scipy.io import loadmat, savemat

from affect.errors import UserError
from datamodules.corpora.base import Trial
from datamodules.corpora.dreamer import EEG, Dreamer
from datamodules.formats.matfile import read_mat
from datamodules.quality import check_rating, inspect
from datamodules.standin.dreamer import StandInDreamer, write_dreamer


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dreamer")
    write_dreamer(folder, subjects=3, trials=4, seconds=3.0)
    return folder


@pytest.fixture
def root(written: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return shutil.copytree(written, tmp_path / "DREAMER 数据")


def error_of(act: Callable[[], object]) -> UserError:
    with pytest.raises(UserError) as caught:
        act()
    return caught.value


def read(root: Path, subject: str = "s01") -> list[Any]:
    corpus = Dreamer(str(root))
    return list(corpus.trials(subject, corpus.streams))


def changed(root: Path, change: Callable[[dict[str, Any]], object], subject: int | None = 0) -> Path:
    """The root, after its struct, or that of one subject, was changed."""
    content = read_mat(root / "DREAMER.mat", ["DREAMER"])
    change(content["DREAMER"] if subject is None else content["DREAMER"]["Data"][0, subject])
    savemat(root / "DREAMER.mat", content)
    return root


# ---- the reader


def test_every_number_of_the_file_arrives(written: Path) -> None:
    corpus = Dreamer(str(written))
    corpus.ensure()
    assert corpus.subjects() == ["s01", "s02", "s03"]
    official = loadmat(written / "DREAMER.mat")["DREAMER"][0, 0]["Data"][0, 1]
    trials = read(written, "s02")
    assert [trial.stimulus for trial in trials] == ["film01", "film02", "film03", "film04"]
    for i, trial in enumerate(trials):
        assert (trial.subject, trial.onset) == ("s02", 8.0)
        assert [*trial.streams] == ["eeg", "ecg"]
        for name, rate, width in (("eeg", 128, 14), ("ecg", 256, 2)):
            signal = trial.streams[name]
            parts = [official[name.upper()][0, 0][part][0, 0][i, 0] for part in ("baseline", "stimuli")]
            assert (signal.rate, signal.data.shape[0], signal.data.dtype) == (rate, width, np.float32)
            assert np.array_equal(signal.data, np.concatenate(parts).T.astype(np.float32))
            assert inspect(signal, name, trial.where).problem is None
        assert trial.streams["eeg"].channels == EEG
        assert trial.streams["eeg"].seconds == pytest.approx(trial.streams["ecg"].seconds, abs=0.01)
        assert [*trial.ratings] == ["valence", "arousal", "dominance"]
        for name, value in trial.ratings.items():
            assert value == official[f"Score{name.capitalize()}"][0, 0][i, 0]
            check_rating(name, value, corpus.ratings[name], trial.where)
        assert trial.group["age"] == float(official["Age"][0, 0].item())
        assert trial.group["sex"] == official["Gender"][0, 0].item()


def test_the_official_file_is_expected_without_a_manifest(root: Path) -> None:
    (root / "standin.json").unlink()
    corpus = Dreamer(str(root))
    assert corpus.subjects() == [f"s{n:02d}" for n in range(1, 24)]
    error = error_of(lambda: read(root))
    assert "people: 3" in error.found
    assert error.expected == "23"
    (root / "standin.json").write_text("{}")
    assert "standin.json" in error_of(corpus.subjects).where


def test_subjects_are_chosen_and_one_file_is_theirs(written: Path) -> None:
    corpus = Dreamer(str(written), subjects=["s03", "s01"])
    assert corpus.subjects() == ["s01", "s03"]
    assert corpus.files("s01") == corpus.files("s03") == [written / "DREAMER.mat"]
    assert [len(t.streams) for t in corpus.trials("s03", [])] == [0] * 4
    assert [[*t.streams] for t in corpus.trials("s03", ["ecg"])] == [["ecg"]] * 4
    assert "s04" in error_of(Dreamer(str(written), subjects=["s04"]).subjects).found


def test_hdf5_and_compression_change_nothing(written: Path, root: Path) -> None:
    content = read_mat(root / "DREAMER.mat", ["DREAMER"])
    writers: list[Callable[..., None]] = [
        write_mat73,
        lambda path, content: savemat(path, content, do_compression=True),
    ]
    for write in writers:
        write(root / "DREAMER.mat", content)
        for one, other in zip(read(written, "s03"), read(root, "s03"), strict=True):
            assert (one.ratings, one.onset, one.group) == (other.ratings, other.onset, other.group)
            for name in one.streams:
                assert np.array_equal(one.streams[name].data, other.streams[name].data)


def test_streams_begin_together_though_baselines_differ(root: Path) -> None:
    """6.5 s of ECG baseline before 8 s of EEG baseline: the last 6 s of both remain."""
    before = read(root)[0]

    def shorten(person: dict[str, Any]) -> None:
        person["ECG"]["baseline"][0, 0] = person["ECG"]["baseline"][0, 0][-6 * 256 - 128 :]

    after = read(changed(root, shorten))[0]
    assert after.onset == 6.0
    for name, rate in (("eeg", 128), ("ecg", 256)):
        assert np.array_equal(after.streams[name].data, before.streams[name].data[:, 2 * rate :])


def test_age_and_sex_in_any_spelling(root: Path) -> None:
    assert dict(read(changed(root, lambda p: p.update(Age=np.array([[22]]), Gender="F")))[0].group) == {
        "age": 22.0,
        "sex": "female",
    }
    group = read(changed(root, lambda p: p.update(Age="?", Gender=np.zeros((0, 0)))))[0].group
    assert np.isnan(group["age"])
    assert group["sex"] == "unknown"


@pytest.mark.parametrize(
    ("part", "cell", "found"),
    [
        ("stimuli", np.ones((2000, 13)), "eeg stimuli: float64 of shape (2000, 13)"),
        ("stimuli", np.ones((14, 2000)), "(14, 2000)"),
        ("stimuli", np.zeros((0, 14)), "(0, 14)"),
        ("baseline", np.zeros((0, 0)), "eeg baseline: float64 of shape (0, 0)"),
        ("baseline", "text", "a str"),
    ],
)
def test_a_bad_cell_costs_its_trial(root: Path, part: str, cell: Any, found: str) -> None:
    def spoil(person: dict[str, Any]) -> None:
        person["EEG"][part][2, 0] = cell

    trials = read(changed(root, spoil))
    assert [isinstance(t, Trial) for t in trials] == [True, True, False, True]
    assert found in trials[2].found
    assert "s01, film 3" in trials[2].where


@pytest.mark.parametrize(
    ("change", "subject", "found"),
    [
        (lambda p: p.pop("ECG"), 0, "('ecg', 'baseline') of s01"),
        (lambda p: p.update(EEG=p["EEG"]["stimuli"]), 0, "('eeg', 'baseline') of s01"),
        (lambda p: p.update(ScoreArousal=np.ones((3, 1))), 0, "arousal of s01: float64 of shape (3,)"),
        (lambda p: p.update(ScoreArousal="text"), 0, "arousal of s01"),
        (lambda d: d.update(ECG_SamplingRate=512.0), None, "ECG_SamplingRate: 512.0"),
        (lambda d: d.update(noOfVideoSequences=5.0), None, "noOfVideoSequences: 5.0"),
        (lambda d: d.update(Data=d["Data"][:, :2]), None, "people: 2"),
        (lambda d: d.pop("EEG_Electrodes"), None, "EEG_Electrodes: []"),
        (lambda d: d.update(EEG_Electrodes=d["EEG_Electrodes"][:, ::-1]), None, "EEG_Electrodes: ['AF4'"),
    ],
)
def test_other_content_is_named(root: Path, change: Callable[..., object], subject: int | None, found: str) -> None:
    error = error_of(lambda: read(changed(root, change, subject)))
    assert found in error.found
    assert error.where == str(root / "DREAMER.mat")


def test_no_file_another_file_half_a_file(root: Path) -> None:
    path = root / "DREAMER.mat"
    whole = path.read_bytes()
    savemat(path, {"SEED": 1.0})
    assert "no variable ['DREAMER'] among ['SEED']" in error_of(lambda: read(root)).found
    for keep in (0, 100, 1000, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:keep])
        assert error_of(lambda: read(root)).where == str(path)
    path.unlink()
    assert "no dreamer recording" in error_of(Dreamer(str(root)).subjects).found
    assert "no such folder" in error_of(Dreamer(str(root / "nowhere")).ensure).found


# ---- the stand-in


def test_same_settings_same_bytes(written: Path, tmp_path: Path) -> None:
    for name, seed in (("same", 0), ("other", 1)):
        (tmp_path / name).mkdir()
        write_dreamer(tmp_path / name, subjects=3, trials=4, seconds=3.0, seed=seed)
    bytes_of = {
        name: (folder / "DREAMER.mat").read_bytes()
        for name, folder in {"written": written, "same": tmp_path / "same", "other": tmp_path / "other"}.items()
    }
    assert bytes_of["written"] == bytes_of["same"] != bytes_of["other"]
    facts = json.loads((written / "standin.json").read_text())
    assert (facts["stand_in"], facts["subjects"], facts["trials"]) == (True, 3, 4)


@pytest.mark.parametrize("setting", [{"subjects": 0}, {"trials": 1}, {"seconds": float("nan")}, {"shift": -1.0}])
def test_impossible_settings_are_named(setting: dict[str, Any]) -> None:
    assert error_of(lambda: StandInDreamer(**setting)).where == f"data.corpus.{next(iter(setting))}"


def test_raw_as_the_headset_gives_it(written: Path) -> None:
    eeg, ecg = (read(written)[0].streams[name].data.astype(np.float64) for name in ("eeg", "ecg"))
    assert np.allclose(eeg / 0.51, np.round(eeg / 0.51), atol=1e-3)
    assert 4000 < eeg.mean() < 4400
    assert np.array_equal(ecg, np.round(ecg))
    assert ecg.min() >= 0


def power(trials: list[Any], low: float, high: float, channels: list[str]) -> np.ndarray:
    """(trials,) log power of the film."""
    values = []
    for trial in trials:
        eeg = trial.streams["eeg"].data[[EEG.index(c) for c in channels], 9 * 128 :].astype(np.float64)
        f = np.fft.rfftfreq(eeg.shape[1], 1 / 128)
        spectrum = np.abs(np.fft.rfft(eeg * np.hanning(eeg.shape[1]))) ** 2
        values.append(np.log(spectrum[:, (f >= low) & (f < high)].mean()))
    return np.array(values)


def test_strength_is_the_only_path_from_rating_to_signal(tmp_path: Path) -> None:
    corpora = [StandInDreamer(str(tmp_path), subjects=4, trials=14, seconds=8.0, shift=0.0, strength=s) for s in (0, 1)]
    correlation = []
    for corpus in corpora:
        corpus.ensure()
        trials = [trial for subject in corpus.subjects() for trial in corpus.trials(subject, corpus.streams)]
        asymmetry = power(trials, 8, 13, ["F4", "F8", "AF4"]) - power(trials, 8, 13, ["F3", "F7", "AF3"])
        activation = power(trials, 13, 30, ["T7", "T8"]) - power(trials, 8, 13, ["O1", "O2", "P7", "P8"])
        valence, arousal = ([trial.ratings[name] for trial in trials] for name in ("valence", "arousal"))
        assert 0.4 <= np.mean(np.array(valence) > 3) <= 0.6
        correlation += [np.corrcoef(asymmetry, valence)[0, 1], np.corrcoef(activation, arousal)[0, 1]]
    assert np.all(np.abs(correlation[:2]) < 0.34)  # the 1 % point of 56 unrelated pairs
    assert np.all(np.array(correlation[2:]) > 0.5)
    for one, other in zip(*(list(c.trials("s01", c.streams)) for c in corpora), strict=True):
        assert one.ratings == other.ratings
        for name, rate in (("eeg", 128), ("ecg", 256)):
            a, b = one.streams[name].data, other.streams[name].data
            assert np.array_equal(a[:, : 8 * rate], b[:, : 8 * rate])  # the baseline knows nothing
            assert not np.array_equal(a, b)
