"""Windows: each lies inside its trial and holds exactly the samples that were recorded there."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from told_corpus import CHANNELS, Case, Extent, cases, expected_span, numbered, prepared, quick, trial_of

from affect.batch import Signal
from affect.errors import UserError
from datamodules.corpora.base import Trial
from datamodules.windows import StreamWindows, WindowSet, cut


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
