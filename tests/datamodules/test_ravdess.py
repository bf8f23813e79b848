"""RAVDESS's reader and its stand-in: sound, films, action units."""

import json
import shutil
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from affect.batch import Signal
from affect.errors import UserError
from datamodules.corpora.base import Trial
from datamodules.corpora.ravdess import EMOTIONS, MEANS, Ravdess
from datamodules.formats.media import VideoFile
from datamodules.formats.openface import ACTION_UNITS
from datamodules.quality import check_rating, inspect
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


def take(folder: Path, clip: str = CLIP) -> Trial | UserError:
    """The trial of a clip, or the error in its place."""
    trials = Ravdess(str(folder)).trials("Actor_01", ["audio", "face", "au"])
    return next(t for t in trials if clip.split("/")[1][2:-4] in str(t.where))


def bad(folder: Path) -> UserError:
    """The one trial of Actor_01 that cannot be used."""
    (error,) = [t for t in Ravdess(str(folder)).trials("Actor_01", []) if isinstance(t, UserError)]
    return error


def audio(trial: Trial | UserError) -> Signal:
    assert isinstance(trial, Trial)
    return trial.streams["audio"]()


def test_round_trip(written: Path) -> None:
    corpus = Ravdess(str(written))
    corpus.ensure()
    assert corpus.subjects() == ["Actor_01", "Actor_02", "Actor_03"]
    trials = list(corpus.trials("Actor_02", ["audio"]))
    assert [t.where for t in trials] == sorted(str(f) for f in corpus.files_of("Actor_02", "audio"))
    assert corpus.files("Actor_02") == sorted([*corpus.files_of("Actor_02", "audio"), written / MEANS])
    for trial in trials:
        emotion, intensity, statement = map(int, Path(trial.where).stem.split("-")[2:5])
        assert trial.ratings == {"emotion": EMOTIONS[emotion - 1], "intensity": ("normal", "strong")[intensity - 1]}
        assert (trial.stimulus, trial.subject, trial.session) == (f"statement{statement}", "Actor_02", "1")
        assert trial.group == {"sex": "female"}
        for name, value in trial.ratings.items():
            check_rating(name, value, corpus.ratings[name], trial.where)
        assert (audio(trial).rate, audio(trial).unit) == (16_000.0, "amplitude")
        assert audio(trial).data.dtype == np.float32
        assert 0.2 < audio(trial).seconds < 1.5
        assert 1e-3 < np.abs(audio(trial).data).max() <= 1
        assert inspect(audio(trial), "audio", trial.where).problem is None
    # 8 emotions × 2 intensities × 2 statements; neutral has one intensity
    assert Counter(str(t.ratings["emotion"]) for t in trials) == {e: 2 if e == "neutral" else 4 for e in EMOTIONS}
    assert next(corpus.trials("Actor_01", [])).group == {"sex": "male"}
    assert not next(corpus.trials("Actor_01", [])).streams


def test_official_rate_and_stereo_become_mono_at_the_files_rate(folder: Path) -> None:
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(4800) / 48_000)
    soundfile.write(folder / CLIP, np.stack([tone, np.zeros(4800)], axis=1), 48_000, subtype="PCM_16")
    signal = audio(take(folder))
    assert (signal.rate, signal.data.shape, signal.channels) == (48_000.0, (1, 4800), ("mono",))
    np.testing.assert_allclose(signal.data[0], tone / 2, atol=1e-4)


@pytest.mark.parametrize(("suffix", "kind"), [(".flac", "PCM_16"), (".ogg", "VORBIS"), (".opus", "OPUS")])
def test_other_formats(folder: Path, suffix: str, kind: str) -> None:
    path, before = folder / CLIP, audio(take(folder))
    samples, rate = soundfile.read(path)
    soundfile.write(
        path.with_suffix(suffix), samples, rate, format="FLAC" if suffix == ".flac" else "OGG", subtype=kind
    )
    path.unlink()
    assert audio(take(folder)).data.shape == before.data.shape


def test_what_is_not_speech_of_this_actor_is_ignored(folder: Path) -> None:
    clips = Ravdess(str(folder)).files("Actor_01")
    for name in ("01-02-01-01-01-01-01.mp4", "03-02-01-01-01-01-01.wav", "03-01-notes.txt", "03-01-05-02-01-01-01.txt"):
        (folder / "Actor_01" / name).touch()
    (folder / "Actor_01" / "._03-01-05-02-01-01-01.wav").touch()
    (folder / "Actor_99_notes").mkdir()
    assert Ravdess(str(folder)).files("Actor_01") == clips
    assert len(Ravdess(str(folder)).subjects()) == 3


def test_a_broken_clip_is_named_and_costs_itself_alone(folder: Path) -> None:
    path = folder / CLIP
    good = path.read_bytes()
    soundfile.write(path, np.zeros(0), 16_000)
    for content in (path.read_bytes(), b"", b"not a sound" * 100, good[:44], good[: len(good) // 2]):
        path.write_bytes(content)
        errors = 0
        for trial in Ravdess(str(folder)).trials("Actor_01", ["audio", "au"]):
            if trial.where == str(path):
                assert error_of(trial.streams["audio"]).where == str(path)
                assert trial.streams["au"].data.shape == (35, 1)
                errors += 1
            else:
                audio(trial)
        assert errors == 1


@pytest.mark.parametrize("name", ["03-01-09-01-01-01-01", "03-01-05-03-01-01-01", "03-01-05-01-01-01-02"])
def test_codes_out_of_range_or_of_another_actor(folder: Path, name: str) -> None:
    path = shutil.copy(folder / CLIP, folder / "Actor_01" / f"{name}.wav")
    assert bad(folder).where == str(path)


def test_same_clip_twice(folder: Path) -> None:
    samples, rate = soundfile.read(folder / CLIP)
    soundfile.write((folder / CLIP).with_suffix(".flac"), samples, rate)
    assert "second file" in bad(folder).found


def test_gaps_are_told_and_may_be_meant(folder: Path) -> None:
    (folder / "Actor_05").mkdir()  # empty: no actor, and so no gap at 4
    assert len(Ravdess(str(folder)).subjects()) == 3
    shutil.rmtree(folder / "Actor_02")
    assert "['Actor_02']" in error_of(Ravdess(str(folder)).subjects).found
    assert Ravdess(str(folder), subjects=["Actor_03", "Actor_01"]).subjects() == ["Actor_01", "Actor_03"]
    assert "Actor_02" in error_of(Ravdess(str(folder), subjects=["Actor_02"]).subjects).found
    assert "no ravdess recording" in error_of(Ravdess(str(folder / "Actor_03")).subjects).found


# ---- films and action units


def test_action_units_are_those_of_the_same_take(folder: Path) -> None:
    table = pd.read_csv(folder / MEANS, index_col="file")
    for path in folder.glob("Actor_01/*.wav"):
        path.write_bytes(b"never read")
    trials = list(Ravdess(str(folder)).trials("Actor_01", ["au"]))
    assert len(trials) == 30
    for trial in trials:
        units = trial.streams["au"]
        row = table.loc["01" + Path(trial.where).stem[2:]]
        assert (units.rate, units.channels) == (0.0, tuple(table.columns))
        assert np.array_equal(units.data[:, 0], row.to_numpy(np.float32))
        assert inspect(units, "au", trial.where).problem is None


def test_streams_may_come_alone(folder: Path) -> None:
    """Without any clip the table makes the trials, and the same trials come whatever streams are asked for."""
    corpus = Ravdess(str(folder))
    (folder / CLIP).unlink()
    asked = [
        [(t.where, sorted(t.streams)) for t in corpus.trials("Actor_01", s)] for s in ([], ["au"], ["audio", "au"])
    ]
    assert len({tuple(where for where, _ in trials) for trials in asked}) == 1
    assert Counter(str(streams) for _, streams in asked[2]) == {"['au', 'audio']": 29, "['au']": 1}
    for actor in folder.glob("Actor_*"):
        shutil.rmtree(actor)
    assert corpus.subjects() == ["Actor_01", "Actor_02", "Actor_03"]
    assert len([t for t in corpus.trials("Actor_03", ["au"]) if "au" in t.streams]) == 30
    assert corpus.files("Actor_03") == [folder / MEANS]
    (folder / MEANS).unlink()
    assert "no ravdess recording" in error_of(corpus.subjects).found


def test_tables_as_people_save_them(folder: Path) -> None:
    path = folder / MEANS
    before = take(folder).streams["au"].data
    table = pd.read_csv(path)
    path.write_text("\ufeff" + table.to_csv(index=False, sep=";", decimal=","), encoding="utf-8")
    assert np.allclose(take(folder).streams["au"].data, before, atol=1e-4)
    table.drop(columns=["AU12_r"]).to_csv(path, index=False)
    assert "au12_r" in error_of(lambda: take(folder)).found
    table.rename(columns={"file": "clip"}).to_csv(path, index=False)
    assert "['file']" in error_of(lambda: take(folder)).found
    pd.concat([table, table[3:4]]).to_csv(path, index=False)
    assert f"second row of {table['file'][3]}" in error_of(lambda: take(folder)).found
    table.astype({"AU01_r": str}).assign(AU01_r="n/k").to_csv(path, index=False)
    assert "'n/k'" in error_of(lambda: take(folder)).found


def test_films_are_those_of_the_same_take(tmp_path: Path) -> None:
    corpus = StandInRavdess(str(tmp_path), actors=1, repetitions=1, seconds=0.4, videos=2)
    corpus.ensure()
    first, last = [t for t in corpus.trials("Actor_01", ["face"]) if "face" in t.streams]
    assert (first.ratings["emotion"], last.ratings["emotion"]) == ("neutral", "surprised")
    film = last.streams["face"]
    assert isinstance(film, VideoFile)
    assert Path(film.where).name == "01" + Path(last.where).with_suffix(".mp4").name[2:]
    assert {picture.shape for picture in film.frames(5)} == {(96, 96, 3)}
    # Without sound or with it, it is the same film: one of them is read.
    silent = film.path.with_name("02" + film.path.name[2:])
    shutil.copy(film.path, silent)
    assert film.path in corpus.files("Actor_01")
    assert silent not in corpus.files("Actor_01")
    film.path.unlink()
    assert silent in corpus.files_of("Actor_01", "face")


def test_official_tracking_frame_by_frame(folder: Path) -> None:
    """Used where there is no table of means; in the actors' folders or in one beside them."""
    head = "frame, timestamp, confidence, success, AU01_r, AU01_c"
    rows = [f"{n + 1}, {n * 1001 / 30_000:.3f}, 0.98, 1, 0.{n:02d}, 1.00" for n in range(50)]
    name = "01" + Path(CLIP).with_suffix(".csv").name[2:]
    for place in ("FacialTracking_Actors_01-24", "Actor_01"):
        (folder / place).mkdir(exist_ok=True)
        (folder / place / name).write_text("\n".join([head, *rows, ""]))
        assert take(folder).streams["au"].rate == 0
        (folder / MEANS).rename(folder / "kept")
        units = take(folder).streams["au"]()
        assert (units.rate, units.data.shape) == (pytest.approx(29.97, abs=1e-3), (2, 50))
        assert Ravdess(str(folder)).files_of("Actor_01", "au") == [folder / place / name]
        (folder / place / name).unlink()
        (folder / "kept").rename(folder / MEANS)


def test_folders_with_any_name(folder: Path, tmp_path: Path) -> None:
    moved = folder.rename(tmp_path / "Stimmen für später, żółć")
    assert audio(take(moved)).seconds > 0.2


# ---- the stand-in


def test_stand_in_is_the_same_again_and_says_what_it_is(tmp_path: Path) -> None:
    few, same, more = (
        StandInRavdess(str(tmp_path / at), actors=n, repetitions=1, seconds=0.3, videos=1)
        for at, n in (("a", 1), ("b", 1), ("a", 2))
    )
    for corpus in (few, same, more):
        corpus.ensure()
        corpus.ensure()
    assert few.root.name == same.root.name != more.root.name
    assert json.loads((few.root / "standin.json").read_text())["corpus"] == "ravdess"
    assert more.subjects() == ["Actor_01", "Actor_02"]
    assert len(few.files("Actor_01")) == 32
    for path in few.files("Actor_01"):
        if path.name != MEANS:
            assert path.read_bytes() == (same.root / "Actor_01" / path.name).read_bytes()
            assert path.read_bytes() == (more.root / "Actor_01" / path.name).read_bytes()
    one, two = ((corpus.root / MEANS).read_text() for corpus in (few, more))
    assert two.startswith(one)


def recall(corpus: Ravdess, stream: str) -> float:
    """Mean recall of 8 emotions on unseen actors, standardised per actor.

    From log band energies and duration of the voice, or from the action units.
    """
    corpus.ensure()
    rows, label, actor = [], [], []
    for subject in corpus.subjects():
        own = []
        for trial in corpus.trials(subject, [stream]):
            if stream == "au":
                own.append([*trial.streams["au"].data[:, 0]])
            else:
                power = np.abs(np.fft.rfft(audio(trial).data[0], 16_000)) ** 2
                edges = np.geomspace(80, 8000, 21).astype(int)
                own.append([*(np.log(power[a:b].mean()) for a, b in pairwise(edges)), audio(trial).seconds])
            label.append(trial.ratings["emotion"])
            actor.append(subject)
        features = np.array(own)
        rows.append((features - features.mean(0)) / np.maximum(features.std(0), 1e-6))
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300, class_weight="balanced"))
    guess = cross_val_predict(model, np.concatenate(rows), label, groups=actor, cv=LeaveOneGroupOut())
    return float(balanced_accuracy_score(label, guess))


@pytest.mark.parametrize(("stream", "least"), [("audio", 0.25), ("au", 0.4)])
def test_strength_sets_the_effect(tmp_path: Path, stream: str, least: float) -> None:
    assert recall(StandInRavdess(str(tmp_path), actors=4, seconds=0.5), stream) > least
    none = [StandInRavdess(str(tmp_path), actors=4, seconds=0.5, strength=0, seed=seed) for seed in range(3)]
    assert 0.07 < np.mean([recall(corpus, stream) for corpus in none]) < 0.18


@pytest.mark.real
def test_real_corpus(real_data: Path) -> None:
    corpus = Ravdess(str(real_data / "ravdess"))
    actors = corpus.subjects()
    assert len(actors) in (18, 24)  # trimmed copy, official download
    trials = [t for a in actors for t in corpus.trials(a, ["face", "au"])]
    assert len(trials) == 60 * len(actors)
    expected = {e: (4 if e == "neutral" else 8) * len(actors) for e in EMOTIONS}
    assert Counter(str(t.ratings["emotion"]) for t in trials) == expected
    assert Counter(str(t.ratings["intensity"]) for t in trials) == {
        "normal": 32 * len(actors),
        "strong": 28 * len(actors),
    }
    if (corpus.root / MEANS).is_file():
        units = np.stack([t.streams["au"].data[:, 0] for t in trials])
        assert units.shape == (len(trials), 35)
        graded = np.array([name.endswith("_r") for name in ACTION_UNITS])
        assert 0 <= units.min() <= units.max() <= 5
        assert units[:, ~graded].max() <= 1
        smile = units[:, ACTION_UNITS.index("AU12_r")]
        happy = np.array([t.ratings["emotion"] == "happy" for t in trials])
        assert smile[happy].mean() > 2 * smile[~happy].mean()
    film = next((t.streams["face"] for t in trials if "face" in t.streams), None)
    if film is not None:
        assert 2.5 < film.seconds < 6
        assert next(film.frames(1)).shape[2] == 3
    for trial in corpus.trials(actors[0], ["audio"]):
        assert inspect(audio(trial), "audio", trial.where).problem is None
        assert audio(trial).rate in (16_000, 48_000)
        assert 2.5 < audio(trial).seconds < 6
        assert np.abs(audio(trial).data).max() <= 1.05  # a lossy codec may overshoot full scale
