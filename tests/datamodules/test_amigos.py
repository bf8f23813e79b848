"""AMIGOS's reader and its stand-in."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matlab73 import write_mat73
from scipy.io import loadmat, savemat

from affect.errors import UserError
from datamodules.corpora.amigos import COLUMNS, EEG, OFFICIAL, Amigos
from datamodules.corpora.base import Trial
from datamodules.formats.matfile import read_mat
from datamodules.quality import check_rating, inspect
from datamodules.standin.amigos import StandInAmigos, write_amigos

VARIABLES = ["VideoIDs", "joined_data", "labels_ext_annotation", "labels_selfassessment"]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("amigos")
    write_amigos(folder, subjects=8, seconds=2.0)
    return folder


@pytest.fixture
def root(written: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return shutil.copytree(written, tmp_path / "amigos")


def file_of(root: Path, subject: str) -> Path:
    return root / "Data_Preprocessed" / f"Data_Preprocessed_{subject}" / f"Data_Preprocessed_{subject}.mat"


def error_of(act: Callable[[], object]) -> UserError:
    with pytest.raises(UserError) as caught:
        act()
    return caught.value


def read(root: Path, subject: str = "P01", videos: Any = "short") -> list[Any]:
    corpus = Amigos(str(root), videos=videos)
    return list(corpus.trials(subject, corpus.streams))


def changed(root: Path, subject: str = "P01", **cells: tuple[int, Any]) -> Path:
    """The root, after cells of that subject's file were replaced: variable → (number, value)."""
    path = file_of(root, subject)
    content = read_mat(path, VARIABLES)
    for name, (number, value) in cells.items():
        content[name][0, number] = value
    savemat(path, content)
    return root


# ---- the reader


def test_every_number_of_the_file_arrives(written: Path) -> None:
    corpus = Amigos(str(written))
    corpus.ensure()
    assert corpus.subjects() == [f"P{n:02d}" for n in range(1, 9)]
    official = loadmat(file_of(written, "P05"))
    trials = read(written, "P05", "all")
    assert [trial.stimulus for trial in trials] == [f"video{v}" for v in OFFICIAL]
    assert [trial.session for trial in trials] == ["short"] * 16 + ["long"] * 4
    for i, trial in enumerate(trials):
        data, rated = official["joined_data"][0, i], official["labels_selfassessment"][0, i].ravel()
        stacked = np.concatenate([trial.streams[name].data for name in COLUMNS])
        assert stacked.dtype == np.float32
        assert np.array_equal(stacked, data.T.astype(np.float32))
        assert [trial.streams[name].data.shape[0] for name in COLUMNS] == [14, 2, 1]
        assert {trial.streams[name].rate for name in COLUMNS} == {128.0}
        assert trial.streams["eeg"].channels == EEG
        assert (trial.subject, trial.onset) == ("P05", 5.0)
        names = ["valence", "arousal", "dominance", "liking", "familiarity", "neutral", "disgust", "happiness"]
        assert [*trial.ratings] == [*names, "surprise", "anger", "fear", "sadness"]
        assert trial.ratings["arousal"] == rated[0]  # the corpus has arousal first
        assert trial.ratings["valence"] == rated[1]
        assert [*trial.ratings.values()][2:] == list(rated[2:])
        for name, value in trial.ratings.items():
            check_rating(name, value, corpus.ratings[name], trial.where)
        for name in COLUMNS:
            assert inspect(trial.streams[name], name, trial.where).problem is None


def test_videos_are_chosen_and_part_of_the_key(written: Path) -> None:
    short, long, both = (read(written, "P01", videos) for videos in ("short", "long", "all"))
    assert [t.stimulus for t in short] + [t.stimulus for t in long] == [t.stimulus for t in both]
    assert [t.stimulus for t in long] == ["videoN1", "videoP1", "videoB1", "videoU1"]
    assert Amigos("x", videos="long").settings() != Amigos("x").settings()


def test_gaps_of_the_corpus_are_gaps_of_the_trials(written: Path) -> None:
    assert all(not trial.streams and np.isnan(trial.ratings["valence"]) for trial in read(written, "P08", "long"))
    lost = read(written, "P03")[10]
    assert not lost.streams
    assert 1 <= lost.ratings["valence"] <= 9
    unrated = read(written, "P04")[7]
    assert np.isnan([*unrated.ratings.values()]).all()
    assert len(unrated.ratings) == 12
    assert unrated.streams["eeg"].data.any()
    dead = read(written, "P01")[5]
    assert "ECG_R" in inspect(dead.streams["ecg"], "ecg", dead.where).problem.found
    assert inspect(dead.streams["eeg"], "eeg", dead.where).problem is None


def test_the_same_trials_whatever_is_asked_for(written: Path) -> None:
    corpus = Amigos(str(written), videos="all")
    for subject in ("P01", "P03", "P08"):
        everything = list(corpus.trials(subject, corpus.streams))
        for streams in ([], ["ecg"], ["eda", "face"]):
            some = list(corpus.trials(subject, streams))
            assert [(t.where, str(t.ratings)) for t in some] == [(t.where, str(t.ratings)) for t in everything]
            assert all(set(t.streams) <= set(streams) for t in some)


def test_segments_of_the_annotation_lie_where_they_were_rated(root: Path) -> None:
    """56 s: the annotators saw 0–20 s, then 5–25 and 25–45 s, then the last 20 s."""
    rated = np.array([[1, -0.1, 0.1], [2, -0.2, 0.2], [3, -0.3, 0.3], [4, -0.4, 0.4]])
    changed(root, joined_data=(0, np.ones((56 * 128, 17))), labels_ext_annotation=(0, rated))
    signal = read(root)[0].streams["annotation"]()
    assert (signal.rate, signal.channels) == (0.2, ("valence", "arousal"))
    expected = np.repeat([0.1, 0.2, 0.3, 0.4], [1, 4, 4, 3]).astype(np.float32)  # the last one from 45 to 60 s
    assert np.array_equal(signal.data, [-expected, expected])


def test_a_bad_annotation_costs_the_annotation(root: Path) -> None:
    trial = read(changed(root, labels_ext_annotation=(0, np.ones((4, 2)))))[0]
    assert "labels_ext_annotation: float64 of shape (4, 2)" in error_of(trial.streams["annotation"]).found
    assert "eeg" in trial.streams
    assert "annotation" not in read(changed(root, labels_ext_annotation=(0, np.zeros((0, 0)))))[0].streams


def test_faces_are_found_below_the_root(root: Path) -> None:
    films = ["Exp1_P01_face/P1_10_face.mov", "Face_videos/P01_N1_face.MOV", "Exp1_P02_face/P02_10_face.mov"]
    for name in [*films, "Exp1_P01_face/P1_9_face.txt", "Exp1_P01_face/P1_9_rgb.mov", "Exp1_P11_face/P11_9_face.mov"]:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).touch()
    with_face = {t.stimulus: t for t in read(root, videos="all") if "face" in t.streams}
    assert list(with_face) == ["video10", "videoN1"]
    video = with_face["video10"].streams["face"]()
    assert video.path == root / films[0]
    assert (video.start, video.seconds) == (0.0, with_face["video10"].streams["eeg"].seconds)
    corpus = Amigos(str(root))
    assert corpus.files_of("P01", "face") == [file_of(root, "P01"), root / films[0]]  # short videos only
    assert corpus.files_of("P01", "eeg") == corpus.files("P01") == [file_of(root, "P01")]
    (root / "P01_10_face.mp4").touch()
    assert "second film" in error_of(lambda: read(root)).found


def arrange(root: Path, how: str) -> Path:
    """The folder a user might point at, the files lying there in some way."""
    files = sorted(root.rglob("*.mat"))
    if how == "official":
        return root
    if how == "inside":
        return root / "Data_Preprocessed"
    home = root.parent / "Émotions 数据"
    for file in files:
        folder = home / file.stem if how == "folders" else home / "Data_Preprocessed" if how == "named" else home
        folder.mkdir(parents=True, exist_ok=True)
        file.rename(folder / file.name)
    return home


@pytest.mark.parametrize("how", ["official", "inside", "folders", "named", "flat"])
def test_any_usual_folder_will_do(root: Path, how: str) -> None:
    home = arrange(root, how)
    corpus = Amigos(str(home))
    assert len(corpus.subjects()) == 8
    assert len(read(home, "P02")) == 16
    assert corpus.files("P02")[0].is_file()


def test_hdf5_and_compression_change_nothing(written: Path, root: Path) -> None:
    path = file_of(root, "P03")
    content = read_mat(path, VARIABLES)
    for write in (lambda: write_mat73(path, content), lambda: savemat(path, content, do_compression=True)):
        write()
        for one, other in zip(read(written, "P03", "all"), read(root, "P03", "all"), strict=True):
            assert str(one.ratings) == str(other.ratings)
            assert one.streams.keys() == other.streams.keys()
            for name in one.streams:
                a, b = (s() if callable(s) else s for s in (one.streams[name], other.streams[name]))
                assert np.array_equal(a.data, b.data)


def test_missing_people_are_told_and_may_be_meant(root: Path) -> None:
    file_of(root, "P02").unlink()
    file_of(root, "P04").unlink()
    error = error_of(Amigos(str(root)).subjects)
    assert "['P02', 'P04']" in error.found
    assert "P08" in error.found
    assert Amigos(str(root), subjects=["P03", "P01"]).subjects() == ["P01", "P03"]
    shutil.copy(file_of(root, "P01"), root / "Data_Preprocessed_P01.mat")
    assert "second file of P01" in error_of(Amigos(str(root)).subjects).found
    shutil.rmtree(root / "Data_Preprocessed")
    (root / "Data_Preprocessed_P01.mat").unlink()
    assert "no amigos recording" in error_of(Amigos(str(root)).subjects).found


@pytest.mark.parametrize(
    ("cells", "found"),
    [
        ({"joined_data": (2, np.ones((2000, 14)))}, "float64 of shape (2000, 14)"),
        ({"joined_data": (2, np.ones((17, 2000)))}, "(17, 2000)"),
        ({"joined_data": (2, np.ones((640, 17)))}, "(640, 17)"),
        ({"joined_data": (2, "lost")}, "a str"),
        ({"labels_selfassessment": (2, np.ones((1, 5)))}, "labels_selfassessment: float64 of shape (1, 5)"),
        ({"VideoIDs": (2, "")}, "without a name"),
    ],
)
def test_a_bad_cell_costs_its_trial(root: Path, cells: dict[str, tuple[int, Any]], found: str) -> None:
    trials = read(changed(root, **cells))
    (bad,) = [t for t in trials if isinstance(t, UserError)]
    assert found in bad.found
    assert str(file_of(root, "P01")) in bad.where
    assert sum(isinstance(t, Trial) for t in trials) == 15


def test_a_video_number_may_be_a_number(root: Path) -> None:
    assert [t.stimulus for t in read(changed(root, VideoIDs=(1, np.array([[5.0]]))))][:3] == [
        "video4",
        "video5",
        "video9",
    ]


@pytest.mark.parametrize("change", ["unknown", "twice", "few", "renamed", "no cells", "cut off"])
def test_a_bad_file_is_told(root: Path, change: str) -> None:
    path = file_of(root, "P01")
    content = read_mat(path, VARIABLES)
    found = {"few": "VideoIDs", "renamed": "['joined_data']", "no cells": "joined_data: float64", "cut off": "bytes"}
    if change in ("unknown", "twice"):
        content["VideoIDs"][0, 3] = {"unknown": "77", "twice": "4"}[change]
    elif change == "few":
        content["VideoIDs"] = content["VideoIDs"][:, :19]
    elif change == "renamed":
        content["data"] = content.pop("joined_data")
    elif change == "no cells":
        content["joined_data"] = np.ones((20, 17))
    savemat(path, content)
    if change == "cut off":
        path.write_bytes(path.read_bytes()[:-1000])
    error = error_of(lambda: read(root))
    assert found.get(change, "VideoIDs") in error.found
    assert error.where == str(path)


# ---- the stand-in


def test_same_settings_same_bytes(written: Path, tmp_path: Path) -> None:
    write_amigos(tmp_path / "fewer", subjects=2, seconds=2.0)
    write_amigos(tmp_path / "other", subjects=1, seconds=2.0, seed=1)
    for subject in ("P01", "P02"):
        assert file_of(tmp_path / "fewer", subject).read_bytes() == file_of(written, subject).read_bytes()
    assert file_of(tmp_path / "other", "P01").read_bytes() != file_of(written, "P01").read_bytes()


@pytest.mark.parametrize("setting", [{"subjects": 41}, {"seconds": float("nan")}, {"strength": -1.0}])
def test_impossible_settings_are_named(setting: dict[str, Any]) -> None:
    assert error_of(lambda: StandInAmigos(**setting)).where == f"data.corpus.{next(iter(setting))}"


def test_leads_are_dead_only_where_asked(tmp_path: Path) -> None:
    for dead in (0, 3):
        corpus = StandInAmigos(str(tmp_path), subjects=2, seconds=1.0, dead_leads=dead)
        corpus.ensure()
        trials = [t for s in corpus.subjects() for t in corpus.trials(s, ["ecg"])]
        assert sum(bool(inspect(t.streams["ecg"], "ecg", t.where).problem) for t in trials) == dead
    assert StandInAmigos(str(tmp_path), videos="long").root == StandInAmigos(str(tmp_path)).root


def power(trials: list[Any], low: float, high: float, channels: list[str]) -> np.ndarray:
    """(trials,) log power of the stimulus."""
    values = []
    for trial in trials:
        eeg = trial.streams["eeg"].data[[EEG.index(c) for c in channels], 6 * 128 :]
        f = np.fft.rfftfreq(eeg.shape[1], 1 / 128)
        values.append(np.log((np.abs(np.fft.rfft(eeg)) ** 2)[:, (f >= low) & (f < high)].mean()))
    return np.array(values)


def test_strength_is_the_only_path_from_rating_to_signal(tmp_path: Path) -> None:
    corpora = [StandInAmigos(str(tmp_path), subjects=4, seconds=8.0, shift=0.0, strength=s) for s in (0, 1)]
    correlation, skin = [], []
    for corpus in corpora:
        corpus.ensure()
        every = [t for s in corpus.subjects() for t in corpus.trials(s, corpus.streams)]
        trials = [t for t in every if "eeg" in t.streams and not np.isnan(t.ratings["valence"])]
        asymmetry = power(trials, 8, 13, ["F4", "F8", "AF4"]) - power(trials, 8, 13, ["F3", "F7", "AF3"])
        activation = power(trials, 13, 30, ["T7", "T8"]) - power(trials, 8, 13, ["O1", "O2", "P7", "P8"])
        valence, arousal = ([t.ratings[name] for t in trials] for name in ("valence", "arousal"))
        correlation += [np.corrcoef(asymmetry, valence)[0, 1], np.corrcoef(activation, arousal)[0, 1]]
        ends = [np.log(t.streams["eda"].data[0, [0, -1]]) for t in trials]
        skin.append(np.corrcoef([end - start for start, end in ends], arousal)[0, 1])
        seen = [t.streams["annotation"]().data.mean(axis=1) for t in trials]
        assert np.corrcoef([v for v, _ in seen], valence)[0, 1] > 0.5
    assert np.all(np.abs([*correlation[:2], skin[0]]) < 0.32)  # the 1 % point of 62 unrelated pairs
    assert np.all(np.array(correlation[2:]) > 0.5)
    assert skin[1] > 0.5
    for one, other in zip(*(list(c.trials("P02", c.streams)) for c in corpora), strict=True):
        assert one.ratings == other.ratings
        for name in ("eeg", "eda"):
            a, b = one.streams[name].data, other.streams[name].data
            assert np.allclose(a[:, : 5 * 128], b[:, : 5 * 128], atol=1e-3)
            assert not np.allclose(a, b, atol=1e-3)
