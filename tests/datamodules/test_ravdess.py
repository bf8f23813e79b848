"""RAVDESS's reader and its stand-in."""

import json
import shutil
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from affect.errors import UserError
from datamodules.corpora.base import check_rating, check_signal
from datamodules.corpora.ravdess import EMOTIONS, Ravdess
from datamodules.standin.ravdess import StandInRavdess, write_ravdess

CLIP = "Actor_01/03-01-05-02-01-01-01.wav"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ravdess")
    write_ravdess(folder, actors=3, repetitions=1, seconds=0.5)
    return folder


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return shutil.copytree(written, tmp_path / "ravdess")


def error_of(act: Callable[[], object]) -> UserError:
    with pytest.raises(UserError) as caught:
        act()
    return caught.value


def read(folder: Path, actor: str = "Actor_01") -> list[np.ndarray]:
    return [t.streams["audio"].data for t in Ravdess(str(folder)).trials(actor, ["audio"])]


def test_round_trip(written: Path) -> None:
    corpus = Ravdess(str(written))
    corpus.ensure()
    assert corpus.subjects() == ["Actor_01", "Actor_02", "Actor_03"]
    trials = list(corpus.trials("Actor_02", ["audio"]))
    assert [t.where for t in trials] == sorted(str(f) for f in corpus.files("Actor_02"))
    for trial in trials:
        emotion, intensity, statement = map(int, Path(trial.where).stem.split("-")[2:5])
        assert trial.ratings == {"emotion": EMOTIONS[emotion - 1], "intensity": ("normal", "strong")[intensity - 1]}
        assert (trial.stimulus, trial.subject, trial.session) == (f"statement{statement}", "Actor_02", "1")
        assert trial.group == {"sex": "female"}
        for name, value in trial.ratings.items():
            check_rating(name, value, corpus.ratings[name], trial.where)
        audio = trial.streams["audio"]
        assert (audio.rate, audio.unit) == (16_000.0, "amplitude")
        assert audio.data.dtype == np.float32
        assert 0.2 < audio.seconds < 1.5
        assert 1e-3 < np.abs(audio.data).max() <= 1
        check_signal(audio, "audio", trial.where)
    # 8 emotions × 2 intensities × 2 statements; neutral has one intensity
    assert Counter(str(t.ratings["emotion"]) for t in trials) == {e: 2 if e == "neutral" else 4 for e in EMOTIONS}
    assert next(corpus.trials("Actor_01", [])).group == {"sex": "male"}
    assert not next(corpus.trials("Actor_01", [])).streams


def test_official_rate_and_stereo_become_mono_at_the_files_rate(folder: Path) -> None:
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(4800) / 48_000)
    path = folder / CLIP
    soundfile.write(path, np.stack([tone, np.zeros(4800)], axis=1), 48_000, subtype="PCM_16")
    audio = next(t for t in Ravdess(str(folder)).trials("Actor_01", ["audio"]) if t.where == str(path)).streams["audio"]
    assert (audio.rate, audio.data.shape, audio.channels) == (48_000.0, (1, 4800), ("mono",))
    np.testing.assert_allclose(audio.data[0], tone / 2, atol=1e-4)


@pytest.mark.parametrize(("suffix", "kind"), [(".flac", "PCM_16"), (".ogg", "VORBIS"), (".opus", "OPUS")])
def test_other_formats(folder: Path, suffix: str, kind: str) -> None:
    before = read(folder)
    path = folder / CLIP
    samples, rate = soundfile.read(path)
    soundfile.write(
        path.with_suffix(suffix), samples, rate, format="FLAC" if suffix == ".flac" else "OGG", subtype=kind
    )
    path.unlink()
    assert [x.shape for x in read(folder)] == [x.shape for x in before]


def test_other_modalities_are_ignored(folder: Path) -> None:
    clips = Ravdess(str(folder)).files("Actor_01")
    for name in ("01-01-01-01-01-01-01.mp4", "03-02-01-01-01-01-01.wav", "02-01-05-02-01-01-01.wav", "03-01-notes.txt"):
        (folder / "Actor_01" / name).touch()
    (folder / "Actor_01" / "._03-01-05-02-01-01-01.wav").touch()
    (folder / "Actor_99_notes").mkdir()
    (folder / "openface_au_means.csv").touch()
    assert Ravdess(str(folder)).files("Actor_01") == clips
    assert len(Ravdess(str(folder)).subjects()) == 3


def test_empty_unreadable_and_truncated_clips_are_named(folder: Path) -> None:
    path = folder / CLIP
    good = path.read_bytes()
    soundfile.write(path, np.zeros(0), 16_000)
    for bad in (path.read_bytes(), b"", b"not a sound" * 100, good[:44], good[: len(good) // 2]):
        path.write_bytes(bad)
        assert error_of(lambda: read(folder)).where == str(path)
    path.write_bytes(good)
    assert len(read(folder)) == 30


@pytest.mark.parametrize("name", ["03-01-09-01-01-01-01", "03-01-05-03-01-01-01", "03-01-05-01-01-01-02"])
def test_codes_out_of_range_or_of_another_actor(folder: Path, name: str) -> None:
    path = shutil.copy(folder / CLIP, folder / "Actor_01" / f"{name}.wav")
    assert error_of(lambda: read(folder)).where == str(path)


def test_same_clip_twice(folder: Path) -> None:
    samples, rate = soundfile.read(folder / CLIP)
    soundfile.write((folder / CLIP).with_suffix(".flac"), samples, rate)
    assert "second file" in error_of(lambda: read(folder)).found


def test_gaps_are_told_and_may_be_meant(folder: Path) -> None:
    (folder / "Actor_05").mkdir()  # empty: no actor, and so no gap at 4
    assert len(Ravdess(str(folder)).subjects()) == 3
    shutil.rmtree(folder / "Actor_02")
    assert "['Actor_02']" in error_of(Ravdess(str(folder)).subjects).found
    assert Ravdess(str(folder), subjects=["Actor_03", "Actor_01"]).subjects() == ["Actor_01", "Actor_03"]
    assert "Actor_02" in error_of(Ravdess(str(folder), subjects=["Actor_02"]).subjects).found
    assert "no ravdess recording" in error_of(Ravdess(str(folder / "Actor_03")).subjects).found


def test_stand_in_is_the_same_again_and_says_what_it_is(tmp_path: Path) -> None:
    few, same, more = (
        StandInRavdess(str(tmp_path / at), actors=n, repetitions=1, seconds=0.3)
        for at, n in (("a", 1), ("b", 1), ("a", 2))
    )
    for corpus in (few, same, more):
        corpus.ensure()
        corpus.ensure()
    assert few.root.name == same.root.name != more.root.name
    assert json.loads((few.root / "standin.json").read_text())["corpus"] == "ravdess"
    assert more.subjects() == ["Actor_01", "Actor_02"]
    assert few.files("Actor_01")
    for path in few.files("Actor_01"):
        assert path.read_bytes() == (same.root / "Actor_01" / path.name).read_bytes()
        assert path.read_bytes() == (more.root / "Actor_01" / path.name).read_bytes()


def recall(corpus: Ravdess) -> float:
    """Mean recall of 8 emotions on unseen actors, from log band energies and duration, standardised per actor."""
    corpus.ensure()
    rows, label, actor = [], [], []
    for subject in corpus.subjects():
        own = []
        for trial in corpus.trials(subject, ["audio"]):
            power = np.abs(np.fft.rfft(trial.streams["audio"].data[0], 16_000)) ** 2
            edges = np.geomspace(80, 8000, 21).astype(int)
            energies = [np.log(power[a:b].mean()) for a, b in pairwise(edges)]
            own.append([*energies, trial.streams["audio"].seconds])
            label.append(trial.ratings["emotion"])
            actor.append(subject)
        features = np.array(own)
        rows.append((features - features.mean(0)) / features.std(0))
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300, class_weight="balanced"))
    guess = cross_val_predict(model, np.concatenate(rows), label, groups=actor, cv=LeaveOneGroupOut())
    return float(balanced_accuracy_score(label, guess))


def test_strength_sets_the_effect(tmp_path: Path) -> None:
    assert recall(StandInRavdess(str(tmp_path), actors=4, seconds=0.5)) > 0.25
    nothing = [recall(StandInRavdess(str(tmp_path), actors=4, seconds=0.5, strength=0, seed=s)) for s in range(3)]
    assert 0.07 < np.mean(nothing) < 0.18


@pytest.mark.real
def test_real_corpus(real_data: Path) -> None:
    corpus = Ravdess(str(real_data / "ravdess"))
    actors = corpus.subjects()
    assert len(actors) in (18, 24)  # trimmed copy, official download
    trials = [t for a in actors for t in corpus.trials(a, [])]
    assert len(trials) == 60 * len(actors)
    expected = {e: (4 if e == "neutral" else 8) * len(actors) for e in EMOTIONS}
    assert Counter(str(t.ratings["emotion"]) for t in trials) == expected
    assert Counter(str(t.ratings["intensity"]) for t in trials) == {
        "normal": 32 * len(actors),
        "strong": 28 * len(actors),
    }
    for trial in corpus.trials(actors[0], ["audio"]):
        audio = trial.streams["audio"]
        check_signal(audio, "audio", trial.where)
        assert audio.rate in (16_000, 48_000)
        assert 2.5 < audio.seconds < 6
        assert np.abs(audio.data).max() <= 1.05  # a lossy codec may overshoot full scale
