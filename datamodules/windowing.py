"""How trials are cut into windows, and what features make of them."""

from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from affect.batch import Signal, StreamShape
from affect.preprocessing.step import Features

Place = slice | tuple[NDArray[np.int64], NDArray[np.int64]]
"""Where windows lie in a trial: their first samples, evenly; or the first of each, and how many of each are real."""
_CHUNK = 512  # windows given to features at a time: bounds memory, however long the trial


@dataclass(frozen=True)
class Windowing:
    """How trials are cut.

    Args:
        seconds, step: length and distance of windows.
        repeat: a trial shorter than a window gives one that repeats it until it is full; else none.
    """

    seconds: float
    step: float
    repeat: bool = False

    def count(self, duration: NDArray[np.float64]) -> NDArray[np.int64]:
        """Windows of trials that last `duration` seconds after their baseline; one where there is no time."""
        epsilon = 1e-6 * self.step
        timed = np.where(np.isinf(duration), self.seconds, duration)
        count = np.floor((timed - self.seconds + epsilon) / self.step).astype(np.int64) + 1
        count = np.where(timed + epsilon < self.seconds, int(self.repeat), count)
        return np.where(timed <= 0, 0, count).astype(np.int64)

    def samples(
        self, rate: float, length: NDArray[np.int64], onset: NDArray[np.float64], number: NDArray[np.int64]
    ) -> tuple[int, NDArray[np.int64], NDArray[np.int64]]:
        """Where windows lie in streams of `length` samples: samples a window, first of each, and how many are real.

        Args:
            rate: Hz, 0 where there is no time.
            length, onset, number: (n,) samples and baseline of each window's trial, and its number in it.
        """
        if rate == 0:
            return 1, np.zeros_like(number), np.ones_like(number)
        samples = max(1, round(self.seconds * rate))
        start = np.rint((onset + number * self.step) * rate).astype(np.int64)
        real = np.clip(length - np.rint(onset * rate).astype(np.int64), 1, samples)
        first = np.clip(start, 0, np.maximum(length - real, 0))
        return samples, first, np.minimum(real, np.maximum(length - first, 1))


def compute(features: Features, signal: Signal, onset: float, window: Windowing) -> NDArray[np.float32]:
    """(1 + n, C', F): features of the baseline (NaN where there is none), then of the n windows."""
    samples, places = _places(window, signal.rate, signal.data.shape[1], onset)
    shape = StreamShape(signal.channels, samples, signal.rate, _picture(signal))
    parts = [features(_windows(signal.data, samples, place), shape) for place in places]
    baseline = np.rint(onset * signal.rate)
    width = (len(features.channels(signal.channels)), len(features.names()))
    before = np.full((1, *width), np.nan, dtype=np.float32)
    if baseline >= 1:
        rest = signal.data[:, : int(baseline)]
        with suppress(ValueError):  # too short for these features; whoever needs the baseline will find none
            before = features(rest[None], StreamShape(signal.channels, rest.shape[1], signal.rate, _picture(signal)))
    return np.concatenate([before, *parts])


@lru_cache(maxsize=64)
def _places(window: Windowing, rate: float, length: int, onset: float) -> tuple[int, list[Place]]:
    """Samples a window, and where the windows of a trial lie, some at a time; trials of a corpus are often alike."""
    timed = length / rate if rate else float("inf")
    number = np.arange(int(window.count(np.array([timed - onset]))[0]))
    samples, first, real = window.samples(rate, np.array([length]), np.array([onset]), number)
    chunks = [slice(i, i + _CHUNK) for i in range(0, len(number), _CHUNK)]
    return samples, [_place(samples, first[chunk], real[chunk]) for chunk in chunks]


def _place(samples: int, first: NDArray[np.int64], real: NDArray[np.int64]) -> Place:
    step = int(first[1] - first[0]) if len(first) > 1 else 1
    if step > 0 and (np.diff(first) == step).all() and (real == samples).all():
        return slice(int(first[0]), int(first[-1]) + 1, step)
    return first, real


def _windows(data: NDArray[Any], samples: int, place: Place) -> NDArray[Any]:
    """(n, C, samples, …) of (C, T, …): a view where windows lie evenly."""
    if isinstance(place, slice):
        windows = np.moveaxis(sliding_window_view(data, samples, axis=1)[:, place], -1, 2)
    else:
        first, real = place
        windows = data[:, first[:, None] + np.arange(samples) % real[:, None]]
    return windows.swapaxes(0, 1)


def _picture(signal: Signal) -> tuple[int, int] | None:
    return (signal.data.shape[2], signal.data.shape[3]) if signal.data.ndim == 4 else None
