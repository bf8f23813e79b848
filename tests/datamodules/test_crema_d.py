"""CREMA-D's reader and its stand-in."""

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from affect.errors import UserError
from datamodules.corpora.base import Trial
from datamodules.corpora.crema_d import EMOTIONS, PEOPLE, CremaD
from datamodules.quality import check_rating, inspect
from datamodules.standin.crema_d import StandInCremaD, write_crema_d

CLIP = "AudioWAV/1001_TIE_ANG_XX.wav"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crema")
    write_crema_d(folder, subjects=3, sentences=2, seconds=0.4, videos=2)
    return folder


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    """A copy to spoil, where paths are not plain."""
    return shutil.copytree(written, tmp_path / "crème brûlée")


def error_of(act: Callable[[], object]) -> UserError:
    with pytest.raises(UserError) as caught:
        act()
    return caught.value


def read(folder: Path, actor: str = "1001") -> list[Trial]:
    return list(CremaD(str(folder)).trials(actor, ["audio", "face"]))  # type: ignore[arg-type]


def bad(folder: Path) -> UserError:
    """The one trial that cannot be used."""
    (error,) = [t for t in read(folder) if isinstance(t, UserError)]
    return error


def test_round_trip(folder: Path) -> None:
    corpus = CremaD(str(folder))
    corpus.ensure()
    assert corpus.subjects() == ["1001", "1002", "1003"]
    trials = read(folder, "1002")
    assert [Path(t.where).name for t in trials] == [f.name for f in corpus.files_of("1002", "audio")]
    for trial in trials:
        _, sentence, emotion, intensity = Path(trial.where).stem.split("_")
        words = {"LO": "low", "MD": "medium", "HI": "high", "XX": "unspecified"}
        assert trial.ratings == {"emotion": EMOTIONS[emotion], "intensity": words[intensity]}
        assert trial.stimulus == sentence
        for name, value in trial.ratings.items():
            check_rating(name, value, corpus.ratings[name], trial.where)
        audio = trial.streams["audio"]()
        assert (audio.rate, audio.channels) == (16_000.0, ("mono",))
        assert inspect(audio, "audio", trial.where).problem is None
    # IEO: 5 emotions × 3 intensities and neutral; TIE: 6 emotions
    assert Counter(t.ratings["intensity"] for t in trials) == {"low": 5, "medium": 5, "high": 5, "unspecified": 7}
    people = pd.read_csv(folder / PEOPLE).set_index("ActorID")
    assert trials[0].group["age"] == people["Age"][1002]
    assert trials[0].group["sex"] == people["Sex"][1002].lower()
    filmed = [t for t in trials if "face" in t.streams]
    assert len(filmed) == 2
    assert {picture.shape for t in filmed for picture in t.streams["face"].frames(5)} == {(96, 96, 3)}
    for trial in filmed:
        assert Path(trial.streams["face"].where).stem == Path(trial.where).stem
        assert trial.streams["face"].seconds == pytest.approx(trial.streams["audio"]().seconds, abs=0.11)
    assert {*corpus.files("1002")} == {
        folder / PEOPLE,
        *corpus.files_of("1002", "audio"),
        *corpus.files_of("1002", "face"),
    }


def test_streams_and_facts_that_are_not_there_are_absent(folder: Path) -> None:
    filmed = len([t for t in read(folder) if "face" in t.streams])
    (folder / PEOPLE).unlink()
    (folder / CLIP).unlink()
    assert read(folder)[0].group == {}
    shutil.rmtree(folder / "AudioWAV")
    assert [sorted(t.streams) for t in read(folder)] == [["face"]] * filmed
    shutil.rmtree(folder / "VideoFlash")
    assert "no crema_d recording" in error_of(CremaD(str(folder)).subjects).found


def test_a_broken_clip_is_named_and_costs_itself_alone(folder: Path) -> None:
    path = folder / CLIP
    for content in (b"", path.read_bytes()[: path.stat().st_size // 2]):
        path.write_bytes(content)
        errors = 0
        for trial in read(folder):
            if trial.where == str(path):
                assert error_of(trial.streams["audio"]).where == str(path)
                errors += 1
            else:
                trial.streams["audio"]()
        assert errors == 1


@pytest.mark.parametrize("name", ["1001_TIE_JOY_XX", "1001_ABC_ANG_XX", "1001_TIE_ANG_ZZ"])
def test_unknown_codes(folder: Path, name: str) -> None:
    path = shutil.copy(folder / CLIP, folder / "AudioWAV" / f"{name}.wav")
    assert (bad(folder).where, bad(folder).found) == (str(path), f"codes {name}")


def test_doubles_and_the_clip_with_one_x(folder: Path) -> None:
    before = len(read(folder))
    path = (folder / CLIP).rename((folder / CLIP).with_name("1001_TIE_ANG_X.wav"))
    assert len(read(folder)) == before
    assert all(isinstance(t, Trial) for t in read(folder))
    shutil.copy(path, folder / CLIP)
    assert "second file" in bad(folder).found


def test_what_is_no_clip_is_ignored(folder: Path) -> None:
    before = len(read(folder))
    for name in ("1001_notes.txt", "._1001_TIE_ANG_XX.wav", "1001_TIE_ANG_XX.txt", "x.wav"):
        (folder / "AudioWAV" / name).touch()
    assert len(read(folder)) == before
    assert CremaD(str(folder)).subjects() == ["1001", "1002", "1003"]


def test_gaps_and_pointers_are_told(folder: Path) -> None:
    for path in (folder / "AudioWAV").glob("1002_*"):
        path.unlink()
    for path in (folder / "VideoFlash").glob("1002_*"):
        path.unlink()
    assert "['1002']" in error_of(CremaD(str(folder)).subjects).found
    assert CremaD(str(folder), subjects=["1003"]).subjects() == ["1003"]
    for path in (folder / "AudioWAV").iterdir():
        path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 72862\n")
    assert "git lfs pull" in error_of(CremaD(str(folder)).ensure).remedy
    assert "no such folder" in error_of(CremaD(str(folder / "nowhere")).ensure).found


def test_tables_as_people_save_them(folder: Path) -> None:
    path, before = folder / PEOPLE, read(folder)[0].group
    people = pd.read_csv(path)
    path.write_text("\ufeff" + people.to_csv(index=False, sep=";"), encoding="utf-8")
    assert read(folder)[0].group == before
    people.drop(columns="Sex").to_csv(path, index=False)
    assert "['sex']" in error_of(lambda: read(folder)).found
    people.astype(str).assign(Age="old").to_csv(path, index=False)
    assert "'old'" in error_of(lambda: read(folder)).found


def test_stand_in_is_the_same_again_and_strength_sets_the_effect(tmp_path: Path) -> None:
    few, same, more, flat = (
        StandInCremaD(str(tmp_path / at), subjects=n, seconds=0.4, strength=strength, videos=1)
        for at, n, strength in (("a", 1, 1), ("b", 1, 1), ("a", 4, 1), ("a", 4, 0))
    )
    for corpus in (few, same, more, flat):
        corpus.ensure()
        corpus.ensure()
    assert json.loads((few.root / "standin.json").read_text())["corpus"] == "crema_d"
    for path in few.files("1001")[1:]:
        assert path.read_bytes() == (same.root / path.parent.name / path.name).read_bytes()
        assert path.read_bytes() == (more.root / path.parent.name / path.name).read_bytes()
    level = {}
    for corpus in (more, flat):
        loud: dict[str, list[float]] = {emotion: [] for emotion in EMOTIONS.values()}
        for trial in (t for s in corpus.subjects() for t in corpus.trials(s, ["audio"])):
            loud[trial.ratings["emotion"]].append(10 * np.log10(np.mean(trial.streams["audio"]().data ** 2)))
        level[corpus.root] = np.mean(loud["anger"]) - np.mean(loud["sad"])
    assert level[more.root] > 8  # dB
    assert abs(level[flat.root]) < 2
