"""Windows: each lies inside its trial and holds exactly the samples that were recorded there."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import datamodules.windowing as windowing
from affect.batch import Signal, StreamShape
from affect.errors import UserError
from affect.preprocessing import DifferentialEntropy, Features
from affect.preprocessing.normalisation import fit
from datamodules.cache import Cache, Recipe, Windowing, prepare
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
def prepared(
    trials: Sequence[Trial],
    window: tuple[float, float] = (1.0, 1.0),
    streams: Sequence[str] = ("fast", "slow"),
    features: Features | None = None,
    short: str = "drop",
) -> Iterator[Cache]:
    """The trials cut into windows of (seconds, step); every stream through the same features."""
    with tempfile.TemporaryDirectory() as folder:
        corpus, cache = Path(folder, "corpus"), Path(folder, "cache")
        corpus.mkdir()
        recipes = {name: Recipe(name, features=features) for name in streams}
        yield prepare([Told(corpus, trials)], recipes, Windowing(*window, short == "repeat"), cache, "drop")


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
    with prepared(case.trials, (case.seconds, case.step)) as cache:
        if all(end - onset < case.seconds for onset, end in spans):
            with pytest.raises(UserError, match=r"data\.window\.seconds"):
                cut(cache)
            return
        table = cut(cache)
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
    with prepared(case.trials, (case.seconds, case.step)) as cache:
        assume(any(end - onset >= case.seconds for onset, end in map(expected_span, case.trials)))
        table = cut(cache)
        for name, stream in WindowSet(cache, table).streams.items():
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
    with prepared([trial_of(0, {"fast": 1.0}, 5.0)], (3.5, 1.5), ["fast"]) as cache:
        table = cut(cache)
        windows = StreamWindows(cache, "fast", table).gather(np.arange(len(table)))[:, 0]
    assert table.start.tolist() == [0.0, 1.5]
    assert windows.tolist() == [[0, 1, 2, 3], [1, 2, 3, 4]]


@quick
@given(cases())
def test_streams_of_different_rates_are_aligned_by_time(case: Case) -> None:
    with prepared(case.trials, (case.seconds, case.step)) as cache:
        assume(any(end - onset >= case.seconds for onset, end in map(expected_span, case.trials)))
        table = cut(cache)
        streams = WindowSet(cache, table).streams
        both = np.flatnonzero(streams["fast"].present & streams["slow"].present)
        at = {}
        for name, stream in streams.items():
            rate = cache.streams[name].rate
            at[name] = stream.gather(both)[:, 0, 0] % 2**13 / rate  # the number of the first sample, in seconds
        apart = 0.5 / cache.streams["fast"].rate + 0.5 / cache.streams["slow"].rate
    assert (np.abs(at["fast"] - at["slow"]) <= apart + 1e-4).all()


@quick
@given(cases(), st.booleans())
def test_a_missing_stream_is_absent_and_never_faked(case: Case, featured: bool) -> None:
    with prepared(case.trials, (case.seconds, case.step), features=Extent() if featured else None) as cache:
        assume(any(end - onset >= case.seconds for onset, end in map(expected_span, case.trials)))
        table = cut(cache)
        for name, stream in WindowSet(cache, table).streams.items():
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
    with prepared(trials, (seconds, case.step), ["fast"], short="repeat") as cache:
        table = cut(cache)
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
    trials = [trial_of(0, {"fast": 10.0}, 1.0), trial_of(1, {"fast": 10.0}, 3.0)]
    with prepared(trials, (2, 1), ["fast"]) as cache:
        assert cut(cache).trial.tolist() == [1, 1]
    with prepared(trials, (2, 1), ["fast"], short="repeat") as cache:
        table = cut(cache)
        assert table.trial.tolist() == [0, 1, 1]
        window = StreamWindows(cache, "fast", table).gather(np.array([0]))[0, 0]
    assert window.tolist() == [*range(10), *range(10)]


def test_what_has_no_time_holds_for_every_window() -> None:
    """A clip's mean beside a stream in time; alone, a trial of it is one window."""
    still = Signal(np.array([[3.0], [4.0]], dtype=np.float32), 0.0, ("a", "b"), "")
    timed = Signal(numbered(0, "slow", 30), 10.0, CHANNELS["slow"], "µV")
    both = Trial("s0", "video", {"valence": 5.0}, {"fast": still, "slow": timed}, "trial 0")
    for streams, windows in ((("fast", "slow"), 3), (("fast",), 1)):
        with prepared([both], streams=streams) as cache:
            table = cut(cache)
            stream = StreamWindows(cache, "fast", table)
            assert (len(table), stream.shape.length, stream.shape.rate) == (windows, 1, 0)
            np.testing.assert_array_equal(stream.gather(np.arange(windows)), np.tile(still.data, (windows, 1, 1)))


def test_pictures_are_cut_like_samples() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 20, 4, 5), dtype=np.uint8)
    picture = Signal(frames, 5.0, ("red", "green", "blue"), "8 bit")
    with prepared([Trial("s0", "video", {}, {"fast": picture}, "trial 0")], (2, 1), ["fast"]) as cache:
        stream = StreamWindows(cache, "fast", cut(cache))
        assert (stream.shape.length, stream.shape.size) == (10, (4, 5))
        gathered = stream.gather(np.array([2, 0]))
        moments = stream.moments()
    assert gathered.dtype == np.uint8
    np.testing.assert_array_equal(gathered, np.stack([frames[:, 10:20], frames[:, 0:10]]))
    np.testing.assert_allclose(moments.mean[0, :, 0], frames.reshape(3, -1).mean(axis=1))


@dataclass(frozen=True)
class Extent(Features):
    """Smallest and largest sample of each channel."""

    calls: ClassVar[list[int]] = []

    def names(self) -> tuple[str, ...]:
        return ("smallest", "largest")

    def __call__(self, windows: NDArray[np.float32], stream: StreamShape) -> NDArray[np.float32]:
        self.calls.append(len(windows))
        return np.stack([windows.min(axis=-1), windows.max(axis=-1)], axis=-1)


@dataclass(frozen=True)
class Apart(Features):
    """How far each channel's mean is from the first one's: channels are mixed."""

    def names(self) -> tuple[str, ...]:
        return ("distance",)

    def channels(self, given: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(f"{name}-{given[0]}" for name in given[1:])

    def __call__(self, windows: NDArray[np.float32], stream: StreamShape) -> NDArray[np.float32]:
        mean = windows.mean(axis=-1, keepdims=True)
        return (mean[:, 1:] - mean[:, :1]).astype(np.float32)


@pytest.mark.parametrize("features", [Extent(), Apart(), DifferentialEntropy({"low": (1, 5), "high": (5, 20)})])
@pytest.mark.parametrize("short", ["drop", "repeat"])
def test_features_are_those_computed_directly(features: Features, short: str) -> None:
    """Of more windows than are computed at a time, in any order, one trial without the stream, one a little short."""
    rates = {"fast": 50.0, "slow": 10.0}
    trials = [
        trial_of(0, rates, 60.0, 1.0, noise),
        trial_of(1, {"slow": 10.0}, 9.0, 0.5, noise),
        trial_of(2, rates, 30.0, make=noise),
        trial_of(3, rates, 0.8, make=noise),
    ]
    # the slow stream has one channel, of which nothing is apart
    streams = ["fast"] if isinstance(features, Apart) else ["fast", "slow"]
    with prepared(trials, (1.0, 0.1), streams, features, short) as cache:
        table = cut(cache)
        stream = StreamWindows(cache, "fast", table)
        assert len(table) > windowing._CHUNK
        names = features.channels(CHANNELS["fast"])
        assert (stream.shape.channels, stream.shape.length, stream.shape.rate) == (names, len(features.names()), None)
        rows = np.random.default_rng(0).permutation(len(table))
        gathered, raw = stream.gather(rows), stream.raw(rows)
    kept = [trial for trial in trials if trial.subject in set(cache.trials["subject"])]
    for row, values, samples in zip(rows, gathered, raw, strict=True):
        signal = kept[table.trial[row]].streams.get("fast")
        if signal is None:
            assert not values.any()
            continue
        first = round(table.start[row] * 50)
        if table.length[row] == 1:
            np.testing.assert_array_equal(samples, signal.data[:, first : first + 50])
        expected = features(samples[None], StreamShape(signal.channels, 50, 50.0))[0]
        np.testing.assert_allclose(values, expected, atol=1e-4)  # an FFT of many rounds otherwise than one of one


def test_features_are_computed_once() -> None:
    """And for other windows, from the samples that are kept, without asking the corpus again."""
    with tempfile.TemporaryDirectory() as folder:
        corpus = Told(Path(folder), [trial_of(0, {"fast": 10.0}, 9.0)])
        recipes = {"fast": Recipe("fast", features=Extent())}
        Extent.calls.clear()
        first = prepare([corpus], recipes, Windowing(1, 1), Path(folder, "cache"))
        prepare([corpus], recipes, Windowing(1, 1), Path(folder, "cache"))
        assert Extent.calls == [9]
        corpus.told = {"s0": trial_of(0, {}, 9.0)}  # nothing to be found there any more
        other = prepare([corpus], recipes, Windowing(2, 1), Path(folder, "cache"))
        assert Extent.calls == [9, 8]  # other windows, other features
        ones = StreamWindows(first, "fast", cut(first)).gather(np.arange(9))
        twos = StreamWindows(other, "fast", cut(other)).gather(np.arange(8))
    np.testing.assert_array_equal(twos[:, :, 0], ones[:8, :, 0])
    np.testing.assert_array_equal(twos[:, :, 1], ones[1:, :, 1])


def test_features_kept_for_one_order_of_bands_do_not_serve_another() -> None:
    low, high = {"low": (1.0, 5.0)}, {"high": (5.0, 20.0)}
    found = []
    with tempfile.TemporaryDirectory() as folder:
        corpus = Told(Path(folder), [trial_of(0, {"fast": 50.0}, 9.0, make=noise)])
        for bands in ({**low, **high}, {**high, **low}):
            recipes = {"fast": Recipe("fast", features=DifferentialEntropy(bands))}
            cache = prepare([corpus], recipes, Windowing(1, 1), Path(folder, "cache"))
            found.append(StreamWindows(cache, "fast", cut(cache)).gather(np.arange(9)))
    np.testing.assert_array_equal(found[0][..., ::-1], found[1])


@quick
@given(cases(noise), st.booleans(), st.data())
def test_moments_are_those_of_the_pooled_windows(case: Case, featured: bool, data: st.DataObject) -> None:
    """Mean and deviation of any set of trials; of samples, each that lies between first and last window counts once."""
    made = Extent() if featured else None
    with prepared(case.trials, (case.seconds, case.step), features=made, short="repeat") as cache:
        table = cut(cache)
        stream = StreamWindows(cache, "slow", table)
        moments = stream.moments()
        subset = data.draw(st.lists(st.integers(0, len(case.trials) - 1), min_size=1, unique=True))
        pooled = []
        for trial in subset:
            rows = table.of_trials(np.array([trial]))
            if not len(rows) or not stream.present[rows[0]]:
                continue
            if featured:
                pooled.append(np.moveaxis(stream.gather(rows), 0, 1).astype(np.float64))  # (C, n, F)
                continue
            signal = np.asarray(cache.streams["slow"].signal(trial))
            last = stream.gather(rows[-1:])[0]
            first = np.flatnonzero((signal == stream.gather(rows[:1])[0][:, :1]).all(axis=0))[0]
            end = np.flatnonzero((signal == last[:, :1]).all(axis=0))[0] + last.shape[1]
            pooled.append(signal[:, first:end].astype(np.float64)[..., None])  # (C, T, 1)
        assume(pooled)
        values = np.concatenate(pooled, axis=1)
    mean, deviation = moments.pool(np.array(subset))
    np.testing.assert_allclose(mean, values.mean(axis=1), rtol=1e-9)
    np.testing.assert_allclose(deviation, values.std(axis=1), atol=1e-6)


def test_the_moments_of_a_trial_do_not_depend_on_other_trials() -> None:
    """Or a fold's source statistics would change, in their last digits, with the target's signals."""

    def loud(trial: int, stream: str, samples: int) -> NDArray[np.float32]:
        return noise(trial, stream, samples) * 1e4 + 1e5

    found = []
    for make in (noise, loud):
        quiet = trial_of(1, {"fast": 50.0}, 20.0, make=noise)
        with prepared([trial_of(0, {"fast": 50.0}, 20.0, make=make), quiet], streams=["fast"]) as cache:
            moments = StreamWindows(cache, "fast", cut(cache)).moments()
        found.append((moments.mean[1], moments.m2[1]))
    np.testing.assert_array_equal(found[0], found[1])


def test_baseline_normalisation_subtracts_the_baseline() -> None:
    """Then scales by how far source windows are from their trial's baseline."""
    trials = [trial_of(n, {"fast": 50.0}, 8.0, 2.0, noise) for n in range(3)]
    with prepared(trials, streams=["fast"]) as cache:
        stream = StreamWindows(cache, "fast", cut(cache))
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
    with prepared([trial], streams=["fast"], features=Extent()) as cache:
        moments = StreamWindows(cache, "fast", cut(cache)).moments()
    data = trial.streams["fast"].data[:, :100]
    np.testing.assert_array_equal(moments.baseline[0], np.stack([data.min(axis=1), data.max(axis=1)], axis=1))


def test_a_trial_without_the_stream_spoils_no_baseline() -> None:
    both = {"fast": 50.0, "slow": 10.0}
    trials = [trial_of(0, both, 8.0, 2.0, noise), trial_of(1, {"fast": 50.0}, 8.0, 2.0, noise)]
    with prepared([*trials, trial_of(2, both, 8.0, 2.0, noise)]) as cache:
        moments = StreamWindows(cache, "slow", cut(cache)).moments()
    everyone = np.arange(3)
    affine = fit("baseline", moments, everyone, everyone, everyone)
    assert np.isfinite(affine.shift[[0, 2]]).all()
    assert np.isfinite(affine.scale[[0, 2]]).all()


def test_people_are_numbered_in_the_order_of_the_corpus() -> None:
    trials = [trial_of(n, {"fast": 10.0}, 3.0) for n in (2, 0, 1)]
    with prepared(trials, streams=["fast"]) as cache:
        windows = WindowSet(cache, cut(cache))
    assert windows.people == ["s2", "s0", "s1"]
    assert windows.subject.tolist() == [0, 1, 2]
