"""Windows: each lies inside its trial and holds exactly the samples that were recorded there."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import datamodules.windows as windows_module
from affect.batch import Signal
from affect.errors import UserError
from affect.preprocessing import DifferentialEntropy, Features
from affect.preprocessing.normalisation import fit
from datamodules.cache import Cache, prepare
from datamodules.corpora.base import Corpus, Trial
from datamodules.windows import StreamWindows, WindowSet, cut

quick = settings(max_examples=40, deadline=None)
CHANNELS = {"fast": ("a", "b"), "slow": ("c",)}


class Told(Corpus):
    """The trials it is given, one person each."""

    name = "told"
    streams = ("fast", "slow")
    ratings: ClassVar = {"valence": (1.0, 9.0)}

    def __init__(self, root: Path, told: Sequence[Trial]) -> None:
        super().__init__(str(root))
        self.told = {trial.subject: trial for trial in told}
        for subject in self.told:
            (root / subject).write_text(subject)

    def layout(self) -> str:
        return "a file a person"

    def _found(self) -> list[str]:
        return list(self.told)

    def files(self, subject: str) -> list[Path]:
        return [self.root / subject]

    def trials(self, subject: str, streams: Sequence[str]) -> Iterator[Trial]:
        yield self.told[subject]


@contextmanager
def prepared(trials: Sequence[Trial], streams: Sequence[str] = ("fast", "slow")) -> Iterator[Cache]:
    with tempfile.TemporaryDirectory() as folder:
        corpus, cache = Path(folder, "corpus"), Path(folder, "cache")
        corpus.mkdir()
        yield prepare(Told(corpus, trials), {name: [] for name in streams}, cache)


def numbered(trial: int, stream: str, samples: int) -> NDArray[np.float32]:
    """(C, samples) whose every value tells the trial, the channel and the sample."""
    channels = len(CHANNELS[stream])
    return (trial * 2**15 + np.arange(channels)[:, None] * 2**13 + np.arange(samples)).astype(np.float32)


def noise(trial: int, stream: str, samples: int) -> NDArray[np.float32]:
    generator = np.random.default_rng([trial, samples])
    return (7.0 + trial + generator.standard_normal((len(CHANNELS[stream]), samples))).astype(np.float32)


def trial_of(number: int, rates: dict[str, float], seconds: float, onset: float = 0.0, make: Any = numbered) -> Trial:
    signals = {
        name: Signal(make(number, name, max(2, round(seconds * rate))), rate, CHANNELS[name], "µV")
        for name, rate in rates.items()
    }
    return Trial(f"s{number}", "video", {"valence": 5.0}, signals, f"trial {number}", onset=onset)


@dataclass(frozen=True)
class Case:
    """Trials and how they are cut; lengths and rates that do not divide each other are meant."""

    trials: list[Trial]
    seconds: float
    step: float


def twentieths(low: float, high: float) -> st.SearchStrategy[float]:
    return st.integers(round(low * 20), round(high * 20)).map(lambda n: n / 20)


@st.composite
def cases(draw: st.DrawFn, make: Any = numbered) -> Case:
    rates = {
        "fast": draw(st.sampled_from([10.0, 33.3, 50.0, 64.0])),
        "slow": draw(st.sampled_from([3.7, 4.0, 10.0])),
    }
    trials = []
    for number in range(draw(st.integers(2, 4))):
        there = [n for n in rates if number == 0 or n == "fast" or draw(st.booleans())]
        seconds, onset = draw(twentieths(1, 6)), draw(st.one_of(st.just(0.0), twentieths(0, 1.5)))
        trials.append(trial_of(number, {n: rates[n] for n in there}, seconds, onset, make))
    assume(any(end > onset for onset, end in map(expected_span, trials)))  # else there is nothing to cut
    order = draw(st.permutations(range(len(trials))))
    step = draw(st.one_of(twentieths(0.1, 2), st.floats(0.1, 2)))
    return Case([trials[i] for i in order], draw(twentieths(0.2, 3)), step)


def expected_span(trial: Trial) -> tuple[float, float]:
    """(onset, end) in seconds, of the stream that ends first."""
    return trial.onset, min(signal.seconds for signal in trial.streams.values())


@quick
@given(cases())
def test_every_window_lies_inside_its_trial_and_no_place_is_left_out(case: Case) -> None:
    spans = [expected_span(trial) for trial in case.trials]
    slack = 1e-5 * case.step
    with prepared(case.trials) as cache:
        if all(end - onset < case.seconds for onset, end in spans):
            with pytest.raises(UserError, match=r"data\.window\.seconds"):
                cut(cache, case.seconds, case.step)
            return
        table = cut(cache, case.seconds, case.step)
    for number, (onset, end) in enumerate(spans):
        start = table.start[table.trial == number]
        if end - onset + slack < case.seconds:
            assert len(start) == 0
            continue
        np.testing.assert_allclose(start, onset + case.step * np.arange(len(start)), rtol=1e-9)
        if len(start):
            assert start[-1] + case.seconds <= end + slack
        assert onset + len(start) * case.step + case.seconds > end - slack
    assert (table.length == case.seconds).all()
    assert len(table) == len(table.trial)


@quick
@given(cases())
def test_gathered_samples_are_a_slice_of_the_signal(case: Case) -> None:
    """An unbroken run of samples, within half a sample of where it was asked for."""
    with prepared(case.trials) as cache:
        assume(any(end - onset >= case.seconds for onset, end in map(expected_span, case.trials)))
        table = cut(cache, case.seconds, case.step)
        for name, stream in WindowSet(cache, table, {"fast": None, "slow": None}).streams.items():
            gathered = stream.gather(np.arange(len(table)))
            assert gathered.dtype == np.float32
            for window, (trial, start) in zip(gathered, zip(table.trial, table.start, strict=True), strict=True):
                signal = case.trials[trial].streams.get(name)
                if signal is None:
                    continue
                samples = max(1, round(case.seconds * signal.rate))
                first = int(window[0, 0]) - int(signal.data[0, 0])
                assert abs(first - start * signal.rate) <= 0.5 + 1e-4
                assert first >= case.trials[trial].onset * signal.rate - 0.5 - 1e-4
                np.testing.assert_array_equal(window, signal.data[:, first : first + samples])


def test_a_window_that_ends_with_its_trial_holds_no_sample_twice() -> None:
    """5 s at 1 Hz: the last window of 3.5 s starts between two samples and fits, but not rounded up twice."""
    with prepared([trial_of(0, {"fast": 1.0}, 5.0)], ["fast"]) as cache:
        table = cut(cache, 3.5, 1.5)
        windows = StreamWindows(cache, "fast", table).gather(np.arange(len(table)))[:, 0]
    assert table.start.tolist() == [0.0, 1.5]
    assert windows.tolist() == [[0, 1, 2, 3], [1, 2, 3, 4]]


@quick
@given(cases())
def test_streams_of_different_rates_are_aligned_by_time(case: Case) -> None:
    with prepared(case.trials) as cache:
        assume(any(end - onset >= case.seconds for onset, end in map(expected_span, case.trials)))
        table = cut(cache, case.seconds, case.step)
        streams = WindowSet(cache, table, {"fast": None, "slow": None}).streams
        both = np.flatnonzero(streams["fast"].present & streams["slow"].present)
        at = {}
        for name, stream in streams.items():
            rate = cache.streams[name].rate
            at[name] = stream.gather(both)[:, 0, 0] % 2**13 / rate  # the number of the first sample, in seconds
        apart = 0.5 / cache.streams["fast"].rate + 0.5 / cache.streams["slow"].rate
    assert (np.abs(at["fast"] - at["slow"]) <= apart + 1e-4).all()


@quick
@given(cases())
def test_a_missing_stream_is_absent_and_never_faked(case: Case) -> None:
    with prepared(case.trials) as cache:
        assume(any(end - onset >= case.seconds for onset, end in map(expected_span, case.trials)))
        table = cut(cache, case.seconds, case.step)
        features = {"fast": None, "slow": Extent()}
        for name, stream in WindowSet(cache, table, features).streams.items():
            there = np.array([name in trial.streams for trial in case.trials])
            np.testing.assert_array_equal(stream.present, there[table.trial])
            assert not stream.gather(np.flatnonzero(~stream.present)).any()
            assert stream.moments().count[~there].sum() == 0


@quick
@given(cases(), st.integers(0, 3))
def test_a_short_trial_repeats_itself(case: Case, extra: int) -> None:
    """Every window starts at a trial's onset, runs to its end, and starts again until it is full."""
    seconds = 2.0 + extra
    trials = [trial for trial in case.trials if trial.onset < min(s.seconds for s in trial.streams.values())]
    assume(trials)
    with prepared(trials, ["fast"]) as cache:
        table = cut(cache, seconds, case.step, short="repeat")
        gathered = StreamWindows(cache, "fast", table).gather(np.arange(len(table)))
    for number, trial in enumerate(trials):
        signal, rows = trial.streams["fast"], np.flatnonzero(table.trial == number)
        real = signal.seconds - trial.onset
        if real >= seconds:
            np.testing.assert_allclose(table.length[rows], seconds)
            continue
        assert len(rows) == 1
        assert table.start[rows[0]] == trial.onset
        assert table.length[rows[0]] == pytest.approx(real)
        window = gathered[rows[0]]
        first = int(window[0, 0]) - int(signal.data[0, 0])
        assert abs(first - min(trial.onset * signal.rate, signal.data.shape[1] - 1)) <= 0.5 + 1e-4
        recorded = signal.data[:, first:]
        period = np.append(np.flatnonzero(np.diff(window[0]) <= 0) + 1, window.shape[1])[0]
        assert abs(period - recorded.shape[1]) <= 1  # onset and length are rounded each on its own
        np.testing.assert_array_equal(window, recorded[:, np.arange(window.shape[1]) % period])


def test_a_short_trial_gives_no_window_unless_it_may_repeat() -> None:
    with prepared([trial_of(0, {"fast": 10.0}, 1.0), trial_of(1, {"fast": 10.0}, 3.0)], ["fast"]) as cache:
        assert cut(cache, 2, 1).trial.tolist() == [1, 1]
        table = cut(cache, 2, 1, "repeat")
        assert table.trial.tolist() == [0, 1, 1]
        window = StreamWindows(cache, "fast", table).gather(np.array([0]))[0, 0]
    assert window.tolist() == [*range(10), *range(10)]


@dataclass(frozen=True)
class Extent(Features):
    """Smallest and largest sample of each channel."""

    calls: ClassVar[list[int]] = []

    def names(self) -> tuple[str, ...]:
        return ("smallest", "largest")

    def __call__(self, windows: NDArray[np.float32], rate: float) -> NDArray[np.float32]:
        self.calls.append(len(windows))
        return np.stack([windows.min(axis=-1), windows.max(axis=-1)], axis=-1)


@pytest.mark.parametrize("features", [Extent(), DifferentialEntropy({"low": (1, 5), "high": (5, 20)})])
def test_features_are_those_computed_directly(features: Features) -> None:
    """Of more windows than are computed at a time, in any order, one trial without the stream."""
    rates = {"fast": 50.0, "slow": 10.0}
    trials = [
        trial_of(0, rates, 40.0, 1.0, noise),
        trial_of(1, {"slow": 10.0}, 9.0, 0.5, noise),
        trial_of(2, rates, 30.0, make=noise),
    ]
    with prepared(trials) as cache:
        table = cut(cache, 1.0, 0.1)
        stream = StreamWindows(cache, "fast", table, features)
        assert len(table) > windows_module._CHUNK
        assert (stream.shape.length, stream.shape.rate) == (len(features.names()), None)
        rows = np.random.default_rng(0).permutation(len(table))
        gathered = stream.gather(rows)
    for row, values in zip(rows, gathered, strict=True):
        signal = trials[table.trial[row]].streams.get("fast")
        if signal is None:
            assert not values.any()
            continue
        first = round(table.start[row] * 50)
        expected = features(signal.data[None, :, first : first + 50], 50.0)[0]
        np.testing.assert_allclose(values, expected, atol=1e-5)  # an FFT of many rounds otherwise than one of one


def test_features_are_computed_once() -> None:
    with prepared([trial_of(0, {"fast": 10.0}, 9.0)], ["fast"]) as cache:
        table, rows = cut(cache, 1, 1), np.arange(9)
        Extent.calls.clear()
        first = StreamWindows(cache, "fast", table, Extent()).gather(rows)
        again = StreamWindows(cache, "fast", table, Extent()).gather(rows)
        assert Extent.calls == [9]
        np.testing.assert_array_equal(first, again)
        StreamWindows(cache, "fast", cut(cache, 2, 1), Extent()).gather(rows[:8])
        assert Extent.calls == [9, 8]  # other windows, other features


def test_features_kept_for_one_order_of_bands_do_not_serve_another() -> None:
    low, high = {"low": (1.0, 5.0)}, {"high": (5.0, 20.0)}
    with prepared([trial_of(0, {"fast": 50.0}, 9.0, make=noise)], ["fast"]) as cache:
        table, rows = cut(cache, 1, 1), np.arange(9)
        first = StreamWindows(cache, "fast", table, DifferentialEntropy({**low, **high})).gather(rows)
        other = StreamWindows(cache, "fast", table, DifferentialEntropy({**high, **low})).gather(rows)
    np.testing.assert_array_equal(first[..., ::-1], other)


@quick
@given(cases(noise), st.booleans(), st.integers(1, 9), st.data())
def test_moments_are_those_of_the_pooled_windows(case: Case, featured: bool, chunk: int, data: st.DataObject) -> None:
    """Mean and deviation of any set of trials, however many windows are read at a time."""
    with prepared(case.trials) as cache, patch.object(windows_module, "_CHUNK", chunk):
        table = cut(cache, case.seconds, case.step, short="repeat")
        stream = StreamWindows(cache, "slow", table, Extent() if featured else None)
        moments = stream.moments()
        subset = data.draw(st.lists(st.integers(0, len(case.trials) - 1), min_size=1, unique=True))
        rows = table.of_trials(np.array(subset))
        values = stream.gather(rows[stream.present[rows]]).astype(np.float64)
    mean, deviation = moments.pool(np.array(subset))
    axis = 0 if featured else (0, 2)
    assume(len(values))
    np.testing.assert_allclose(mean.squeeze(), values.mean(axis=axis).squeeze(), rtol=1e-9)
    np.testing.assert_allclose(deviation.squeeze(), values.std(axis=axis).squeeze(), atol=1e-6)


def test_the_moments_of_a_trial_do_not_depend_on_other_trials() -> None:
    """Or a fold's source statistics would change, in their last digits, with the target's signals."""

    def loud(trial: int, stream: str, samples: int) -> NDArray[np.float32]:
        return noise(trial, stream, samples) * 1e4 + 1e5

    found = []
    for make in (noise, loud):
        quiet = trial_of(1, {"fast": 50.0}, 20.0, make=noise)
        with prepared([trial_of(0, {"fast": 50.0}, 20.0, make=make), quiet], ["fast"]) as cache:
            moments = StreamWindows(cache, "fast", cut(cache, 1, 1)).moments()
        found.append((moments.mean[1], moments.m2[1]))
    np.testing.assert_array_equal(found[0], found[1])


def test_baseline_normalisation_subtracts_the_baseline() -> None:
    """Then scales by how far source windows are from their trial's baseline."""
    trials = [trial_of(n, {"fast": 50.0}, 8.0, 2.0, noise) for n in range(3)]
    with prepared(trials, ["fast"]) as cache:
        stream = StreamWindows(cache, "fast", cut(cache, 1, 1))
        moments = stream.moments()
    baseline = np.stack([t.streams["fast"].data[:, :100].mean(axis=1) for t in trials])
    np.testing.assert_allclose(moments.baseline[..., 0], baseline, rtol=1e-5)
    source = np.array([0, 1])
    affine = fit("baseline", moments, np.arange(3), source, source)
    np.testing.assert_allclose(affine.shift[..., 0], baseline, rtol=1e-5)
    away = np.concatenate([trials[n].streams["fast"].data[:, 100:] - baseline[n][:, None] for n in source], axis=1)
    np.testing.assert_allclose(affine.scale[..., 0], np.tile(1 / away.std(axis=1), (3, 1)), rtol=1e-4)


def test_the_baseline_of_features_is_the_features_of_the_baseline() -> None:
    trial = trial_of(0, {"fast": 50.0}, 8.0, 2.0, noise)
    with prepared([trial], ["fast"]) as cache:
        moments = StreamWindows(cache, "fast", cut(cache, 1, 1), Extent()).moments()
    data = trial.streams["fast"].data[:, :100]
    np.testing.assert_array_equal(moments.baseline[0], np.stack([data.min(axis=1), data.max(axis=1)], axis=1))


def test_a_trial_without_the_stream_spoils_no_baseline() -> None:
    both = {"fast": 50.0, "slow": 10.0}
    trials = [trial_of(0, both, 8.0, 2.0, noise), trial_of(1, {"fast": 50.0}, 8.0, 2.0, noise)]
    with prepared([*trials, trial_of(2, both, 8.0, 2.0, noise)]) as cache:
        moments = StreamWindows(cache, "slow", cut(cache, 1, 1)).moments()
    everyone = np.arange(3)
    affine = fit("baseline", moments, everyone, everyone, everyone)
    assert np.isfinite(affine.shift[[0, 2]]).all()
    assert np.isfinite(affine.scale[[0, 2]]).all()


def test_people_are_numbered_in_the_order_of_the_corpus() -> None:
    trials = [trial_of(n, {"fast": 10.0}, 3.0) for n in (2, 0, 1)]
    with prepared(trials, ["fast"]) as cache:
        windows = WindowSet(cache, cut(cache, 1, 1), {"fast": None})
    assert windows.people == ["s2", "s0", "s1"]
    assert windows.subject.tolist() == [0, 1, 2]
