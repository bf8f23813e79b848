"""The heart: beats of an ECG or a pulse wave, found once in the whole trial, and how their rhythm varies."""

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat

from affect.batch import Signal, StreamShape
from affect.preprocessing.filters import Resample
from affect.preprocessing.peripheral import Clean, fast_enough, single, told_by_neurokit
from affect.preprocessing.spectral import band_variance
from affect.preprocessing.step import Features, Step
from affect.preprocessing.timing import hertz

Kind = Literal["ecg", "bvp"]
_PRECISION = 250.0  # Hz: the beats' times are found to 1/250 s (Task Force 1996 asks for 250–500 Hz)
_REFRACTORY = 0.25  # s: no heart beats again so soon (240 a minute)
_PAUSE = 2.5  # s: no interval between two beats is longer (24 a minute); it is a gap in what was found


def beats(signal: Signal, kind: Kind) -> NDArray[np.float64]:
    """Times of the heartbeats of a (1, T) recording in s, over all of it.

    neurokit2 finds them and puts right what is missed, found twice or out of place (Lipponen & Tarvainen 2019). Gaps
    of more than 2.5 s, at the ends too, are bridged with even beats of the median interval.

    Raises:
        ValueError: next to no beats, or more than half of the recording would be bridged.
    """
    import neurokit2

    single(signal)
    fast_enough(signal, kind)
    fine = signal if hertz(signal) == _PRECISION else Resample(_PRECISION)(signal)
    cleaned = Clean(kind)(fine).data[0].astype(np.float64)
    if kind == "ecg":
        cleaned = _upright(cleaned)
    else:  # a movement many times as large as the pulse would hide every beat from the detector
        most = 5 * float(np.median(np.abs(cleaned)))
        cleaned = np.clip(cleaned, -most, most)
    find = neurokit2.ecg_peaks if kind == "ecg" else neurokit2.ppg_peaks
    refusal = f"no regular heartbeat in {signal.seconds:.3g} s of {kind}"
    with told_by_neurokit(refusal):
        _, found = find(cleaned, sampling_rate=int(_PRECISION), correct_artifacts=True)
    times = np.unique(np.asarray(found["ECG_R_Peaks" if kind == "ecg" else "PPG_Peaks"], dtype=float)) / _PRECISION
    times = times[np.diff(times, prepend=-np.inf) >= _REFRACTORY]
    if len(times) < 4:
        raise ValueError(f"{refusal}: {len(times)} beats")
    typical = float(np.median(np.diff(times)))
    before, after = times[0], signal.seconds - times[-1]
    ends = np.concatenate(
        [
            [before % typical] if before > _PAUSE else [],
            times,
            [signal.seconds - after % typical] if after > _PAUSE else [],
        ]
    )
    gaps = np.diff(ends)
    if (missing := float(gaps[gaps > _PAUSE].sum())) > signal.seconds / 2:
        raise ValueError(f"{refusal}: none in {missing:.3g} s of it")
    # As many intervals as the median fits into a gap; every other interval stays one.
    counts = np.where(gaps > _PAUSE, np.maximum(2, np.rint(gaps / typical)), 1).astype(int)
    steps = np.repeat(gaps / counts, counts)
    bridged: NDArray[np.float64] = ends[0] + np.concatenate([[0.0], np.cumsum(steps)])
    return bridged


def _upright(ecg: NDArray[np.float64]) -> NDArray[np.float64]:
    """An ECG whose beats point up: turned over if in most stretches of 2 s the largest swing points down."""
    size = int(2 * _PRECISION)
    parts = ecg[: len(ecg) // size * size].reshape(-1, size)
    down = -parts.min(axis=1) > parts.max(axis=1)
    return -ecg if np.count_nonzero(down) > len(parts) / 2 else ecg


@dataclass(frozen=True)
class HeartRate(Step):
    """ECG or pulse wave (1, T) → heart rate (1, T') in beats a minute, at `rate` Hz.

    60 / interval at the beat that ends it, interpolated between beats (monotone cubic), held before the first and
    after the last. Functionals and Trend of it are a window's heart rate, however short the window.

    Args:
        kind: ecg, or bvp (a pulse wave, also called PPG).
        rate: Hz of what comes out.
    """

    kind: Kind
    rate: PositiveFloat = 4.0

    def __call__(self, signal: Signal, **beside: Signal | None) -> Signal:
        from scipy.interpolate import PchipInterpolator

        times = beats(signal, self.kind)
        at = np.arange(max(1, round(signal.seconds * self.rate))) / self.rate
        curve = PchipInterpolator(times[1:], 60 / np.diff(times))(np.clip(at, times[1], times[-1]))
        return Signal(curve[None].astype(np.float32), self.rate, ("hr",), "1/min")


@dataclass(frozen=True)
class Beats(Step):
    """ECG or pulse wave (1, T) → the beats themselves (1, T'), at `rate` Hz: what HeartRateVariability reads.

    The sample in which a beat falls holds the interval that it ends, in ms; all others are 0. So the beats are found
    once, in the whole trial, and no window loses those at its edges.

    Args:
        kind: ecg, or bvp (a pulse wave, also called PPG).
        rate: Hz of what comes out; from 4 on, no two beats fall in one sample.
    """

    kind: Kind
    rate: Annotated[float, Field(ge=4)] = 4.0

    def __call__(self, signal: Signal, **beside: Signal | None) -> Signal:
        times = beats(signal, self.kind)
        data = np.zeros((1, max(1, round(signal.seconds * self.rate))), dtype=np.float32)
        index = np.minimum((times[1:] * self.rate).astype(int), data.shape[1] - 1)
        data[0, index] = 1000 * np.diff(times)
        return Signal(data, self.rate, ("ibi",), "ms")


@dataclass(frozen=True)
class HeartRateVariability(Features):
    """Heart rate and its variability in windows of a stream that Beats made (Task Force of ESC and NASPE 1996).

    mean HR: 60 000 / mean interval, 1/min. SDNN: standard deviation of the intervals, ms. RMSSD: root mean square of
    successive differences, ms. pNN50: share of intervals that differ by more than 50 ms from the one before. With
    `spectrum`, ln LF (0.04–0.15 Hz) and ln HF (0.15–0.4 Hz), powers in ms², and their difference ln LF/HF.

    A window must last 10 s, with the spectrum 2 min. Beats leaves no pause of 2.5 s, so such windows hold two
    intervals at least; one that holds fewer, which no trial with this stream has, gives zeros.

    Args:
        spectrum: LF and HF too.
    """

    spectrum: bool = False

    def names(self) -> tuple[str, ...]:
        return ("mean HR", "SDNN", "RMSSD", "pNN50", *(("ln LF", "ln HF", "ln LF/HF") if self.spectrum else ()))

    def __call__(self, windows: NDArray[np.float32], stream: StreamShape) -> NDArray[np.float32]:
        """(B, 1, T) ms → (B, 1, 4 or 7)."""
        if stream.channels != ("ibi",):
            raise ValueError(f"channels {', '.join(stream.channels)}: put the step Beats before it")
        seconds, shortest = windows.shape[-1] / hertz(stream), 120 if self.spectrum else 10
        if seconds < shortest:
            raise ValueError(f"windows of {seconds:g} s; heart rate variability needs {shortest} s")
        result = np.zeros((len(windows), 1, len(self.names())), dtype=np.float32)
        for window, row in zip(windows[:, 0].astype(np.float64), result[:, 0], strict=True):
            if np.count_nonzero(window) >= 2:
                intervals = window[window > 0]
                moves = np.diff(intervals)
                row[:4] = (
                    60_000 / intervals.mean(),
                    intervals.std(ddof=1),
                    np.sqrt(np.mean(moves**2)),
                    np.count_nonzero(np.abs(moves) > 50) / len(intervals),
                )
                if self.spectrum:
                    low, high = _spectrum(window, hertz(stream))
                    row[4:] = low, high, low - high
        return result


def _spectrum(window: NDArray[np.float64], rate: float) -> NDArray[np.float64]:
    """ln power in ms² of LF and HF: of the intervals interpolated at 4 Hz (monotone cubic), over one Hann taper."""
    from scipy.interpolate import PchipInterpolator

    at = np.flatnonzero(window)
    intervals = window[at]
    times = (at[0] + 0.5) / rate + np.concatenate([[0.0], np.cumsum(intervals[1:])]) / 1000
    grid = np.clip(np.arange(0, len(window) / rate, 0.25), times[0], times[-1])
    even = PchipInterpolator(times, intervals)(grid).astype(np.float32)
    power = band_variance(even[None, None], 4.0, {"LF": (0.04, 0.15), "HF": (0.15, 0.4)})[0, 0]
    logarithm: NDArray[np.float64] = np.log(np.maximum(power, 1e-3))
    return logarithm
