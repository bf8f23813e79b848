"""Functionals: numbers that sum up each channel of a window over time, as openSMILE calls them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from affect.batch import StreamShape
from affect.preprocessing.step import Features
from affect.preprocessing.timing import hertz


@dataclass(frozen=True)
class Functionals(Features):
    """Mean, deviation, five quantiles and the deviation of the first difference of every channel.

    On log-mel bands this is the long-term spectrum of a voice and how it moves; with few voices it carries more than
    a deep net can learn (Eyben et al., GeMAPS, IEEE Trans. Affective Computing 2016, makes the same choice).
    """

    def names(self) -> tuple[str, ...]:
        return ("mean", "sd", "min", "q10", "median", "q90", "max", "delta sd")

    def __call__(self, windows: NDArray[np.float32], stream: StreamShape) -> NDArray[np.float32]:
        """(B, C, T) → (B, C, 8), in the unit of the stream."""
        quantiles = np.quantile(windows, [0.0, 0.1, 0.5, 0.9, 1.0], axis=-1)
        moves = np.diff(windows, axis=-1) if windows.shape[-1] > 1 else np.zeros_like(windows)
        parts = [windows.mean(axis=-1), windows.std(axis=-1), *quantiles, moves.std(axis=-1)]
        return np.stack(parts, axis=-1).astype(np.float32)


@dataclass(frozen=True)
class Trend(Features):
    """Where each channel of a window is and where it goes: for slow signals such as skin, temperature or heart rate.

    Mean, deviation, slope of the straight line through the samples, and range.
    """

    def names(self) -> tuple[str, ...]:
        return ("mean", "sd", "slope", "range")

    def __call__(self, windows: NDArray[np.float32], stream: StreamShape) -> NDArray[np.float32]:
        """(B, C, T) → (B, C, 4), in the unit of the stream, the slope per minute."""
        parts = [
            windows.mean(axis=-1),
            windows.std(axis=-1),
            slope(windows, hertz(stream)) * 60,
            np.ptp(windows, axis=-1),
        ]
        return np.stack(parts, axis=-1).astype(np.float32)


def slope(windows: NDArray[np.float32], rate: float) -> NDArray[np.float64]:
    """(…, T) → (…) slope per second of the straight line of least squares; 0 for one sample."""
    times = (np.arange(windows.shape[-1]) - (windows.shape[-1] - 1) / 2) / rate
    level = windows - windows.mean(axis=-1, keepdims=True, dtype=np.float64)
    found: NDArray[np.float64] = level @ times / max(float(times @ times), 1e-30)
    return found
