"""How trials are cut into windows, and what features make of them."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from affect.batch import Signal, StreamShape
from affect.preprocessing.step import Features

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
    length = np.array([signal.data.shape[1]])
    count = int(window.count(np.array([signal.seconds - onset]))[0])
    number = np.arange(count)
    samples, first, real = window.samples(signal.rate, length, np.array([onset]), number)
    shape = StreamShape(signal.channels, samples, signal.rate, _picture(signal))
    chunks = np.array_split(number, max(1, -(-count // _CHUNK))) if count else []
    parts = [features(_windows(signal.data, samples, first[part], real[part]), shape) for part in chunks]
    baseline = np.rint(onset * signal.rate)
    width = (len(features.channels(signal.channels)), len(features.names()))
    before = np.full((1, *width), np.nan, dtype=np.float32)
    if baseline >= 1:
        rest = signal.data[:, : int(baseline)]
        with suppress(ValueError):  # too short for these features; whoever needs the baseline will find none
            before = features(rest[None], StreamShape(signal.channels, rest.shape[1], signal.rate, _picture(signal)))
    return np.concatenate([before, *parts])


def _windows(data: NDArray[Any], samples: int, first: NDArray[np.int64], real: NDArray[np.int64]) -> NDArray[Any]:
    """(n, C, samples, …) of (C, T, …): a view where windows lie evenly."""
    if (real < samples).any():
        index = first[:, None] + np.arange(samples) % real[:, None]
        return np.moveaxis(data[:, index], 0, 1)
    slid = np.moveaxis(sliding_window_view(data, samples, axis=1), -1, 2)  # (C, T', samples, …)
    step = int(first[1] - first[0]) if len(first) > 1 else 1
    even = bool((np.diff(first) == step).all()) and step > 0
    chosen = slid[:, first[0] : first[-1] + 1 : step] if even else slid[:, first]
    return np.moveaxis(chosen, 0, 1)


def _picture(signal: Signal) -> tuple[int, int] | None:
    return (signal.data.shape[2], signal.data.shape[3]) if signal.data.ndim == 4 else None
