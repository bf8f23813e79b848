"""The spectrum of windows, band by band: one batched FFT that all spectral features share."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Bands = Mapping[str, tuple[float, float]]

BANDS: Bands = {"theta": (4, 8), "alpha": (8, 13), "beta": (13, 30), "gamma": (30, 45)}
_BLOCK = 1 << 18  # samples transformed at a time: 1 MB of float32 stays in a core's cache


def check_bands(bands: Bands, segment: float | None) -> None:
    """Refuse with a ValueError what no spectrum can be cut into."""
    if not bands or any(not 0 <= low < high for low, high in bands.values()):
        raise ValueError(f"bands {dict(bands)}: at least one, each with 0 ≤ low < high in Hz")
    if segment is not None and not segment > 0:
        raise ValueError(f"segment {segment}: a positive number of seconds")


def bins(length: int, rate: float, bands: Bands) -> NDArray[np.bool_]:
    """(frequencies, bands) which frequencies of `length` samples lie in which band, [low, high).

    Raises:
        ValueError: a band that holds none.
    """
    hertz = np.fft.rfftfreq(length, 1 / rate)[:, None]
    low, high = np.array(list(bands.values()), dtype=float).T
    inside: NDArray[np.bool_] = (hertz >= low) & (hertz < high)
    if empty := [name for i, name in enumerate(bands) if not inside[:, i].any()]:
        edges = ", ".join(f"{name} {bands[name][0]:g}–{bands[name][1]:g} Hz" for name in empty)
        raise ValueError(
            f"{length / rate:g} s at {rate:g} Hz have no frequency in {edges}: "
            f"a band must lie below {rate / 2:g} Hz and be wider than {rate / length:g} Hz"
        )
    return inside


def blocks(batch: int, samples: int) -> list[slice]:
    """Slices of a batch whose windows have `samples` samples each, small enough to be worked on in the cache."""
    step = max(1, _BLOCK // samples)
    return [slice(first, min(first + step, batch)) for first in range(0, batch, step)]


def segment_length(samples: int, rate: float, segment: float | None) -> int:
    """Samples of a segment of `segment` seconds in a window of `samples`; None is the whole window."""
    return samples if segment is None else max(1, min(round(segment * rate), samples))


def band_variance(
    windows: NDArray[np.float32], rate: float, bands: Bands, segment: float | None = None
) -> NDArray[np.float32]:
    """Variance of every band, in the unit squared: (B, C, T) → (B, C, bands).

    The spectrum is Welch's (1967): segments, each without its mean under a Hann taper, half overlapped, averaged. It
    is summed over the bins inside [low, high); over all bins it sums to the variance (Parseval).

    Args:
        segment: seconds of a segment; None: the whole window is one.

    Raises:
        ValueError: a band that holds no frequency.
    """
    from scipy.fft import rfft

    batch, channels, samples = windows.shape
    length = segment_length(samples, rate, segment)
    taper = np.hanning(length + 1)[:-1].astype(np.float32)
    weight = bins(length, rate, bands) * (2 / (length * float(np.square(taper, dtype=np.float64).sum())))
    if length % 2 == 0:
        weight[-1] /= 2  # the highest frequency has one side
    weight = np.repeat(weight, 2, axis=0).astype(np.float32)  # for the real and the imaginary part
    used = np.flatnonzero(weight.any(axis=1))
    low, high = int(used[0]), int(used[-1]) + 1  # no work on frequencies nobody asked for
    weight = np.ascontiguousarray(weight[low:high])
    mean = np.full((length, 1), 1 / length, dtype=np.float32)  # a product is four times as fast as numpy's mean
    starts = range(0, samples - length + 1, max(1, length // 2))
    result = np.zeros((batch, channels, len(bands)), dtype=np.float32)
    for block in blocks(batch, channels * length):
        for start in starts:
            part = windows[block, :, start : start + length]
            part = np.subtract(part, part @ mean, order="C", dtype=np.float32)
            part *= taper
            spectrum = rfft(part, axis=-1).view(np.float32)
            result[block] += np.square(spectrum[..., low:high]) @ weight
    result /= len(starts)
    return result
