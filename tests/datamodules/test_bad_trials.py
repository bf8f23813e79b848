"""What is wrong in the files is told, all of it, and costs what it must and no more."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from small_corpus import STEPS, SUBJECTS, Small, prepare, prepare_corpora, read_in, samples, write

from affect.batch import Signal
from affect.errors import UserError
from affect.preprocessing import Resample, Step
from datamodules.cache import Recipe, Windowing
from datamodules.corpora.base import Trial
from datamodules.windows import StreamWindows, cut


def spoil(kind: str) -> tuple[Any, str]:
    """Content of s2 with one bad trial, and what the message calls it."""
    data = samples("s2")
    if kind == "nan":
        data[1, 0, 7] = np.nan
        return data, "1 NaN or infinite samples in eeg channels ['left']"
    if kind == "infinite":
        data[1, 2, 7:9] = np.inf
        return data, "2 NaN or infinite samples in eda channels ['skin']"
    data[1, 1] = 3.0
    return data, "constant (dead) eeg channels ['right']"


@pytest.mark.parametrize("kind", ["nan", "infinite", "dead"])
def test_a_bad_trial_stops_or_is_left_out(root: Path, tmp_path: Path, kind: str) -> None:
    data, found = spoil(kind)
    write(root / "s2.npy", data)
    with pytest.raises(UserError) as caught:
        prepare(Small(root), STEPS, tmp_path / "cache")
    assert caught.value.where == f"{root}/s2.npy, trial 1"
    assert caught.value.found == found
    assert "bad_trials=drop" in caught.value.remedy

    cache = prepare(Small(root), STEPS, tmp_path / "cache", bad_trials="drop")
    assert cache.dropped == [f"s2.npy, trial 1: {found}"]
    rest = cache.trials[cache.trials["subject"] == "s2"]
    assert rest["stimulus"].tolist() == ["video0", "video2"]
    np.testing.assert_array_equal(cache.streams["eeg"].signal(rest.index[1]), data[2, :2] * 2)
    (told,) = cache.quality.to_dict("records")
    assert (told["subject"], told["where"], told["problem"]) == ("s2", "s2.npy, trial 1", found)

    absent = prepare(Small(root), STEPS, tmp_path / "cache", bad_trials="absent")
    assert absent.dropped == []
    lengths = {name: absent.streams[name].length[4] for name in STEPS}
    bad = "eda" if kind == "infinite" else "eeg"
    assert lengths == {name: 0 if name == bad else 102 for name in STEPS}


def test_every_bad_trial_is_counted_and_nothing_is_lost(root: Path, tmp_path: Path) -> None:
    for subject in ("s2", "s5"):
        data = samples(subject)
        data[0, 0, 0] = np.nan
        write(root / f"{subject}.npy", data)
    with pytest.raises(UserError, match=r"and 1 more bad trial\)"):
        prepare(Small(root), STEPS, tmp_path / "cache")
    assert prepare(Small(root, tmp_path / "log"), STEPS, tmp_path / "cache", bad_trials="drop").trials.shape[0] == 13
    assert read_in(tmp_path / "log") == []


def test_clipped_channels_are_told_but_kept(root: Path, tmp_path: Path) -> None:
    data = np.clip(np.random.default_rng(0).standard_normal((3, 3, 5000)).astype(np.float32), -9, 0.5)
    data[0] = np.random.default_rng(1).standard_normal((3, 5000))
    write(root / "s2.npy", data)
    cache = prepare(Small(root), STEPS, tmp_path / "cache")
    assert cache.dropped == []
    told = cache.quality[cache.quality["stream"] == "eeg"]
    assert told["where"].tolist() == ["s2.npy, trial 1", "s2.npy, trial 2"]
    assert told["clipped"].iloc[0]["left"] == pytest.approx((data[1, 0] == 0.5).mean(), abs=1e-3)


def test_streams_that_do_not_last_alike_are_a_bad_trial(root: Path, tmp_path: Path) -> None:
    class Ragged(Small):
        def trials(self, subject: str, streams: Sequence[str]) -> Iterator[Trial]:
            for trial in super().trials(subject, streams):
                if subject == "s2" and "eda" in streams:
                    eda = trial.streams["eda"]
                    short = Signal(eda.data[:, :40], eda.rate, eda.channels, eda.unit)
                    trial = replace(trial, streams={**trial.streams, "eda": short})
                yield trial

    with pytest.raises(UserError, match=r"eeg 2\.0 s, eda 0\.8 s"):
        prepare(Ragged(root), STEPS, tmp_path / "cache")
    cache = prepare(Ragged(root), STEPS, tmp_path / "cache", bad_trials="drop")
    assert len(cache.dropped) == 3


def test_a_trial_that_cannot_be_read_costs_that_trial(root: Path, tmp_path: Path) -> None:
    def broken() -> Signal:
        raise UserError("eda of s3", "no readable file", "a file", "download it again")

    class Broken(Small):
        def trials(self, subject: str, streams: Sequence[str]) -> Iterator[Trial | UserError]:
            for n, trial in enumerate(super().trials(subject, streams)):
                if subject == "s2" and n == 1:
                    yield UserError("trial 1 of s2", "no rows", "rows", "download it again")
                elif subject == "s3" and n == 0 and "eda" in streams:
                    yield replace(trial, streams={**trial.streams, "eda": broken})
                else:
                    yield trial

    cache = prepare(Broken(root), STEPS, tmp_path / "cache", bad_trials="drop")
    assert cache.dropped == ["trial 1 of s2: no rows", "eda of s3: no readable file"]
    absent = prepare(Broken(root), STEPS, tmp_path / "cache", bad_trials="absent")
    assert absent.dropped == ["trial 1 of s2: no rows"]
    assert (absent.streams["eda"].length == 0).sum() == 1
    np.testing.assert_array_equal(absent.streams["eeg"].signal(5), samples("s3")[0, :2] * 2)


def test_a_person_who_cannot_be_read_is_left_out_if_asked(root: Path, tmp_path: Path) -> None:
    class Unreadable(Small):
        def trials(self, subject: str, streams: Sequence[str]) -> Iterator[Trial]:
            if subject == "s2":
                raise UserError(self.root / "s2.npy", "half a file", "a whole one", "download it again")
            yield from super().trials(subject, streams)

    with pytest.raises(UserError, match="half a file"):
        prepare(Unreadable(root), STEPS, tmp_path / "cache")
    cache = prepare(Unreadable(root), STEPS, tmp_path / "cache", bad_trials="drop")
    assert cache.dropped == ["s2.npy: half a file"]
    assert "s2" not in set(cache.trials["subject"])


def test_corpora_become_one(root: Path, tmp_path: Path) -> None:
    """People keep their corpus in their name, ratings come to one scale, streams must be alike."""

    class Other(Small):
        name = "other"
        ratings: ClassVar = {"valence": (1.0, 5.0)}

    recipes = {"eeg": Recipe("eeg"), "eda": Recipe("eda")}
    both = prepare_corpora(
        [Small(root), Other(root)], recipes, Windowing(1.0, 1.0), tmp_path / "cache", scale=(0.0, 1.0)
    )
    assert both.trials["corpus"].tolist() == ["small"] * 15 + ["other"] * 15
    assert both.trials["subject"].iloc[[0, 15]].tolist() == ["small/s1", "other/s1"]
    assert both.trials["rating.valence"].iloc[[0, 15]].tolist() == [0.5, 1.0]
    np.testing.assert_array_equal(both.streams["eeg"].signal(15 + 7), samples("s3")[1, :2])
    windows = StreamWindows(both, "eda", cut(both))
    np.testing.assert_array_equal(windows.gather(np.arange(15)), windows.gather(np.arange(15, 30)))
    write(root / "s3.json", {"rate": 25.0})
    with pytest.raises(UserError, match="Resample or Channels"):
        prepare_corpora([Small(root), Other(root)], recipes, Windowing(1.0, 1.0), tmp_path / "cache")


@pytest.mark.parametrize("valence", [0.5, 9.5])
def test_an_impossible_rating_stops_or_is_left_out(root: Path, tmp_path: Path, valence: float) -> None:
    write(root / "s2.json", {"valence": valence})
    with pytest.raises(UserError, match=f"valence rating {valence}"):
        prepare(Small(root), STEPS, tmp_path / "cache")
    cache = prepare(Small(root), STEPS, tmp_path / "cache", bad_trials="drop")
    assert len(cache.dropped) == 3
    assert "s2" not in set(cache.trials["subject"])


def test_a_rating_that_was_not_given_is_kept_as_unknown(root: Path, tmp_path: Path) -> None:
    write(root / "s2.json", {"valence": float("nan")})
    cache = prepare(Small(root), STEPS, tmp_path / "cache")
    assert cache.trials["rating.valence"].isna().sum() == 3


def test_when_every_trial_is_bad_it_says_so(root: Path, tmp_path: Path) -> None:
    for subject in SUBJECTS:
        write(root / f"{subject}.json", {"valence": 10.0})
    with pytest.raises(UserError, match="no usable trial") as caught:
        prepare(Small(root), STEPS, tmp_path / "cache", bad_trials="drop")
    assert "valence rating 10.0" in caught.value.found


def test_a_stream_that_is_absent_everywhere_says_why(root: Path, tmp_path: Path) -> None:
    """A reason is told once, with the first trial it befell and how many others."""
    for subject in SUBJECTS:
        data = samples(subject)
        data[:, 2] = 3.0
        if subject == "s2":
            data[1, 2, 7] = np.nan
        write(root / f"{subject}.npy", data)
    with pytest.raises(UserError) as caught:
        prepare(Small(root), STEPS, tmp_path / "cache", bad_trials="absent")
    assert caught.value.found == (
        "no usable trial with ['eda']; s1.npy, trial 0: constant (dead) eda channels ['skin'] (and 13 more); "
        "s2.npy, trial 1: 1 NaN or infinite samples in eda channels ['skin']"
    )


def test_what_a_step_refuses_can_be_left_out_or_absent(root: Path, tmp_path: Path) -> None:
    class Fussy(Step):
        def __call__(self, signal: Signal, **beside: Signal | None) -> Signal:
            raise ValueError("too dull")

    steps: dict[str, list[Step]] = {"eeg": [], "eda": [dataclass(frozen=True)(Fussy)()]}
    with pytest.raises(UserError, match="eda that Fussy cannot take: too dull") as caught:
        prepare(Small(root), steps, tmp_path / "cache")
    assert caught.value.remedy.endswith("leave the trial out with --data.bad_trials=drop, the stream with =absent")


def test_nothing_is_written_beside_the_corpus(root: Path, tmp_path: Path) -> None:
    def state() -> list[tuple[str, int, bytes]]:
        return [(p.name, p.stat().st_mtime_ns, p.read_bytes()) for p in sorted(root.iterdir())]

    for path in [*root.iterdir(), root]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = state()
    try:
        prepare(Small(root), STEPS, tmp_path / "cache")
        assert state() == before
    finally:
        root.chmod(0o755)


@pytest.mark.parametrize(
    ("facts", "found", "expected"),
    [
        ({"rate": 25.0}, "25 Hz", "50 Hz"),
        ({"unit": "V"}, "in V", "in µV"),
        ({"names": ["left", "top"]}, "top", "right"),
        ({"names": ["right", "left"]}, "right", "left"),
    ],
)
def test_people_recorded_otherwise_are_refused(
    root: Path, tmp_path: Path, facts: dict[str, Any], found: str, expected: str
) -> None:
    """Says which person, what is there and what was expected, which must not read alike."""
    write(root / "s3.json", facts)
    with pytest.raises(UserError) as caught:
        prepare(Small(root), STEPS, tmp_path / "cache")
    error = caught.value
    assert "s3.npy" in error.where
    assert found in error.found
    assert expected in error.expected


def test_resampling_brings_rates_together(root: Path, tmp_path: Path) -> None:
    write(root / "s3.json", {"rate": 25.0})
    steps: dict[str, list[Step]] = {"eeg": [Resample(50.0)], "eda": [Resample(50.0)]}
    cache = prepare(Small(root), steps, tmp_path / "cache")
    assert cache.streams["eeg"].length[6] == pytest.approx(206, abs=1)
