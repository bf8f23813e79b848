"""Filters for any signal in time: band-pass, notch, another rate."""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from pydantic import PositiveFloat

from affect.batch import Signal
from affect.preprocessing.step import Step
from affect.preprocessing.timing import hertz


@dataclass(frozen=True)
class BandPass(Step):
    """Keeps the frequencies between `low` and `high`, moves none of them in time (zero phase; mne's filter design).

    Args:
        low, high: edges of the passband in Hz; None leaves that side open.
        method: fir, a linear-phase filter (Hamming window) about 3.3 s long with low = 1 Hz: the trial must be as
            long; iir, a Butterworth filter of order 4 run forwards and backwards, for short trials.
    """

    low: PositiveFloat | None = None
    high: PositiveFloat | None = None
    method: Literal["fir", "iir"] = "fir"

    def __post_init__(self) -> None:
        if self.low is None and self.high is None:
            raise ValueError("neither low nor high: nothing to filter")
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise ValueError(f"low {self.low:g} Hz is not below high {self.high:g} Hz")

    def __call__(self, signal: Signal, **beside: Signal | None) -> Signal:
        from mne.filter import filter_data

        rate = hertz(signal)
        if max(self.low or 0, self.high or 0) >= rate / 2:
            raise ValueError(f"{rate:g} Hz, which holds only what is below {rate / 2:g} Hz")
        data = signal.data.astype(np.float64)
        with _filters_that_fit(signal):
            data = filter_data(data, rate, self.low, self.high, method=self.method, verbose="WARNING")
        return replace(signal, data=data.astype(np.float32))


@dataclass(frozen=True)
class Notch(Step):
    """Takes mains hum out: a stopband about 1 Hz wide at `frequency` (zero-phase FIR, 6.6 s long; mne).

    Args:
        frequency: Hz; 50, or 60 in the Americas.
        harmonics: its multiples below half the rate too.
    """

    frequency: PositiveFloat = 50.0
    harmonics: bool = True

    def __call__(self, signal: Signal, **beside: Signal | None) -> Signal:
        from mne.filter import notch_filter

        rate = hertz(signal)
        # The upper edge of a stopband, half its width and a transition away, must be below half the rate too.
        highest = (rate / 2 - 1) / (1 + 1 / 400)
        if self.frequency >= highest:
            raise ValueError(f"{rate:g} Hz, which cannot hold a notch at {self.frequency:g} Hz")
        multiples = np.arange(self.frequency, highest if self.harmonics else 1.5 * self.frequency, self.frequency)
        with _filters_that_fit(signal):
            data = notch_filter(signal.data.astype(np.float64), rate, multiples, verbose="WARNING")
        return replace(signal, data=data.astype(np.float32))


@contextmanager
def _filters_that_fit(signal: Signal) -> Iterator[None]:
    """mne warns when a filter is longer than the signal; here nobody would see it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="filter_length", category=RuntimeWarning)
        try:
            yield
        except RuntimeWarning as warning:
            samples = re.search(r"\d+", str(warning))
            needed = int(samples[0]) / signal.rate if samples else signal.seconds
            raise ValueError(f"{signal.seconds:.3g} s, shorter than its filter of {needed:.3g} s") from None


@dataclass(frozen=True)
class Resample(Step):
    """Any rate → `rate` Hz, band-limited (soxr, high quality).

    The line through the first and last sample is taken out meanwhile: the resampler sees silence outside the signal,
    and a temperature of 33 °C would ring at both ends.

    Args:
        rate: Hz.
    """

    rate: PositiveFloat

    def __call__(self, signal: Signal, **beside: Signal | None) -> Signal:
        import soxr

        old = hertz(signal)
        if old == self.rate:
            return signal
        samples = signal.data.shape[1]
        if round(samples * self.rate / old) < 1:
            raise ValueError(f"{signal.seconds:.3g} s, less than one sample at {self.rate:g} Hz")
        first, last = (signal.data[:, i].astype(np.float64)[:, None] for i in (0, -1))
        slope = (last - first) / max(samples - 1, 1)
        level = (signal.data - (first + slope * np.arange(samples))).astype(np.float32)
        data = soxr.resample(np.ascontiguousarray(level.T), old, self.rate).T
        data = data + first + slope * (np.arange(data.shape[1]) * (old / self.rate))
        return replace(signal, data=np.ascontiguousarray(data, dtype=np.float32), rate=self.rate)
