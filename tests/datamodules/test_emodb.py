"""EmoDB's reader and its stand-in."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from affect.errors import UserError
from datamodules.corpora.base import Trial
from datamodules.corpora.emodb import EMOTIONS, EmoDB
from datamodules.quality import check_rating, inspect
from datamodules.standin.emodb import StandInEmoDB, write_emodb

CLIP = "wav/03a01Wa.wav"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("emodb")
    write_emodb(folder, subjects=3, texts=3, seconds=0.4)
    return folder


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    """A copy to spoil, where paths are not plain."""
    return shutil.copytree(written, tmp_path / "Gefühle, äußerlich")


def error_of(act: Callable[[], object]) -> UserError:
    with pytest.raises(UserError) as caught:
        act()
    return caught.value


def read(folder: Path, speaker: str = "03") -> list[Trial]:
    return list(EmoDB(str(folder)).trials(speaker, ["audio"]))  # type: ignore[arg-type]


def bad(folder: Path, speaker: str = "03") -> UserError:
    """The one trial that cannot be used."""
    (error,) = [t for t in read(folder, speaker) if isinstance(t, UserError)]
    return error


def test_round_trip(folder: Path) -> None:
    corpus = EmoDB(str(folder))
    corpus.ensure()
    assert corpus.subjects() == ["03", "08", "09"]  # the speakers have the numbers they were cast with
    trials = read(folder, "08")
    assert [t.where for t in trials] == [str(path) for path in corpus.files("08")]
    for trial in trials:
        stem = Path(trial.where).stem
        assert (trial.stimulus, trial.ratings) == (stem[2:5], {"emotion": EMOTIONS[stem[5]]})
        assert trial.group == {"sex": "female", "age": 34.0}
        check_rating("emotion", trial.ratings["emotion"], corpus.ratings["emotion"], trial.where)
        audio = trial.streams["audio"]()
        assert (audio.rate, audio.channels) == (16_000.0, ("mono",))
        assert inspect(audio, "audio", trial.where).problem is None
    assert not next(iter(corpus.trials("03", []))).streams
    inside = EmoDB(str(folder / "wav"))
    assert inside.files("08") == corpus.files("08")


def test_letters_mean_german_words(folder: Path) -> None:
    official = {"03a01Fa": "happiness", "03a02Wb": "anger", "03b10Tc": "sadness", "03a05Aa": "fear"}
    official |= {"03b01Ea": "disgust", "03b02Lb": "boredom", "03b03Na": "neutral", "03a01Nb": "neutral"}
    clip = (folder / CLIP).read_bytes()
    for path in (folder / "wav").glob("03*"):
        path.unlink()
    for stem in official:
        (folder / "wav" / f"{stem}.wav").write_bytes(clip)
    assert {Path(t.where).stem: t.ratings["emotion"] for t in read(folder)} == official


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


@pytest.mark.parametrize("name", ["03a01Xa", "03c01Wa", "03a03Wa"])
def test_unknown_codes(folder: Path, name: str) -> None:
    path = shutil.copy(folder / CLIP, folder / "wav" / f"{name}.wav")
    assert (bad(folder).where, bad(folder).found) == (str(path), f"codes {name}")


def test_unknown_speaker_and_doubles(folder: Path) -> None:
    shutil.copy(folder / CLIP, folder / "wav" / "07a01Wa.wav")
    assert "07a01Wa" in bad(folder, "07").found
    samples, rate = soundfile.read(folder / CLIP)
    soundfile.write((folder / CLIP).with_suffix(".flac"), samples, rate)
    assert "second file" in bad(folder).found


def test_what_is_no_clip_is_ignored_and_gaps_are_told(folder: Path) -> None:
    before = len(read(folder))
    for name in ("erkennung.txt", "._03a01Wa.wav", "03a01Wa.lab", "03.wav"):
        (folder / "wav" / name).touch()
    assert len(read(folder)) == before
    for path in (folder / "wav").glob("08*"):
        path.unlink()
    assert "['08']" in error_of(EmoDB(str(folder)).subjects).found
    assert EmoDB(str(folder), subjects=["09", "03"]).subjects() == ["03", "09"]
    shutil.rmtree(folder / "wav")
    assert "no emodb recording" in error_of(EmoDB(str(folder)).subjects).found
    assert "no such folder" in error_of(EmoDB(str(folder / "nowhere")).ensure).found


def test_stand_in_is_the_same_again_and_strength_sets_the_effect(tmp_path: Path) -> None:
    few, same, more, flat = (
        StandInEmoDB(str(tmp_path / at), subjects=n, seconds=0.4, strength=strength)
        for at, n, strength in (("a", 1, 1), ("b", 1, 1), ("a", 5, 1), ("a", 5, 0))
    )
    for corpus in (few, same, more, flat):
        corpus.ensure()
        corpus.ensure()
    assert json.loads((few.root / "standin.json").read_text())["corpus"] == "emodb"
    for path in few.files("03"):
        assert path.read_bytes() == (same.root / "wav" / path.name).read_bytes()
        assert path.read_bytes() == (more.root / "wav" / path.name).read_bytes()
    level = {}
    for corpus in (more, flat):
        loud: dict[str, list[float]] = {emotion: [] for emotion in EMOTIONS.values()}
        for trial in (t for s in corpus.subjects() for t in corpus.trials(s, ["audio"])):
            loud[trial.ratings["emotion"]].append(10 * np.log10(np.mean(trial.streams["audio"]().data ** 2)))
        level[corpus.root] = np.mean(loud["anger"]) - np.mean(loud["sadness"])
        assert len(loud["anger"]) > len(loud["disgust"]) > 0  # as unbalanced as the real one
    assert level[more.root] > 8  # dB
    assert abs(level[flat.root]) < 4
