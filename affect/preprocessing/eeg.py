"""EEG features of windows."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from affect.batch import StreamShape
from affect.errors import UserError
from affect.preprocessing.step import Features

BANDS: dict[str, tuple[float, float]] = {"theta": (4, 8), "alpha": (8, 13), "beta": (13, 30), "gamma": (30, 45)}


@dataclass(frozen=True)
class DifferentialEntropy(Features):
    """Differential entropy of each band: ½ ln(2πe σ²), σ² the band's variance in µV² (Duan et al., NER 2013).

    The variance is the spectrum's (Welch 1967: Hann-tapered segments, half overlapped, averaged) over the bins
    inside [low, high), by Parseval: one batched FFT for all windows, no filter. Features made with band-pass
    filters differ from it, and between each other.

    Args:
        bands: name → (low, high) in Hz.
        segment: seconds of a segment; default: the whole window is one. Shorter ones are steadier and coarser.
        floor: smallest variance in µV²; keeps silence finite.
    """

    bands: Mapping[str, tuple[float, float]] = field(default_factory=lambda: dict(BANDS))
    segment: float | None = None
    floor: float = 1e-6

    def __post_init__(self) -> None:
        if not self.bands or any(not 0 <= low < high for low, high in self.bands.values()):
            raise ValueError(f"bands {dict(self.bands)}: at least one, each with 0 ≤ low < high in Hz")
        if self.segment is not None and not self.segment > 0:
            raise ValueError(f"segment {self.segment}: a positive number of seconds")

    def names(self) -> tuple[str, ...]:
        return tuple(self.bands)

    def __call__(self, windows: NDArray[np.float32], stream: StreamShape) -> NDArray[np.float32]:
        """(B, C, T) µV → (B, C, bands) nats."""
        rate = _rate(stream)
        length = windows.shape[-1] if self.segment is None else min(round(self.segment * rate), windows.shape[-1])
        segments = sliding_window_view(windows, length, axis=-1)[..., :: max(1, length // 2), :]  # (B, C, S, length)
        taper = np.hanning(length + 1)[:-1].astype(np.float32)
        centred = segments - segments.mean(axis=-1, keepdims=True)
        power = (np.abs(scipy.fft.rfft(centred * taper, axis=-1)) ** 2).mean(axis=-2)
        power *= 2 / (length * float((taper**2).sum()))  # one-sided, so that the sum over bins is the variance
        if length % 2 == 0:
            power[..., -1] /= 2  # the highest frequency has one side
        hertz = scipy.fft.rfftfreq(length, 1 / rate)
        variance = np.empty((*windows.shape[:-1], len(self.bands)), dtype=np.float32)
        for i, (name, (low, high)) in enumerate(self.bands.items()):
            inside = (hertz >= low) & (hertz < high)
            if not inside.any():
                raise UserError(
                    f"data.streams.*.features.bands.{name}",
                    f"{low:g}–{high:g} Hz, which holds no frequency of a {length / rate:g} s segment at {rate:g} Hz",
                    f"a band below {rate / 2:g} Hz and wider than {rate / length:g} Hz",
                    "widen the band or lengthen the segment",
                )
            variance[..., i] = power[..., inside].sum(axis=-1)
        return (0.5 * np.log(2 * np.pi * np.e * np.maximum(variance, self.floor))).astype(np.float32)


def _rate(stream: StreamShape) -> float:
    """Hz of a stream that has time."""
    if not stream.rate:
        raise ValueError("a stream without time")
    return stream.rate
