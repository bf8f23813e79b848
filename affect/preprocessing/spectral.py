"""The spectrum of windows, band by band: one batched transform that all spectral features share."""

from collections.abc import Callable, Mapping
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

Bands = Mapping[str, tuple[float, float]]
Floats = NDArray[np.float32]

BANDS: Bands = {"theta": (4, 8), "alpha": (8, 13), "beta": (13, 30), "gamma": (30, 45)}
_BLOCK = 1 << 16  # samples transformed at a time: 256 KB of float32, and what is made of them, stay in a core's cache
_SHORT = 192  # samples up to which a segment's product with a matrix of waves is faster than its FFT


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


def band_variance(windows: Floats, rate: float, bands: Bands, segment: float | None = None) -> Floats:
    """Variance of every band, in the unit squared: (B, C, T) → (B, C, bands).

    The spectrum is Welch's (1967): segments, each without its mean under a Hann taper, half overlapped, averaged. It
    is summed over the bins inside [low, high); over all bins it sums to the variance (Parseval).

    Accurate to 1e-6 of its logarithm; beside a constant level a hundred times the deviation, in short segments, 1e-4.

    Args:
        segment: seconds of a segment; None: the whole window is one.

    Raises:
        ValueError: a band that holds no frequency.
    """
    batch, channels, samples = windows.shape
    length = segment_length(samples, rate, segment)
    transform, weight = _transform(length, rate, tuple((name, *edges) for name, edges in bands.items()))
    starts = range(0, samples - length + 1, max(1, length // 2))
    result = np.zeros((batch, channels, weight.shape[1]), dtype=np.float32)
    for block in blocks(batch, channels * length):
        for start in starts:
            spectrum = transform(windows[block, :, start : start + length])
            result[block] += np.square(spectrum, out=spectrum) @ weight
    result /= len(starts)
    return result


@lru_cache(maxsize=64)
def _transform(
    length: int, rate: float, edges: tuple[tuple[str, float, float], ...]
) -> tuple[Callable[[Floats], Floats], Floats]:
    """How segments become spectra (…, length) → (…, 2 K), and the weight (2 K, bands) of its squares in each band.

    The spectrum holds the real and the imaginary parts of the K frequencies from the lowest band to the highest. Of
    short segments it is one product with a matrix, which knows of no other frequency, has the mean and the taper in
    it, and takes samples as they lie in memory; from some length on, an FFT is faster.
    """
    taper = np.hanning(length + 1)[:-1]
    weight = bins(length, rate, {name: (low, high) for name, low, high in edges}) * (
        2 / (length * np.square(taper).sum())
    )
    if length % 2 == 0:
        weight[-1] /= 2  # the highest frequency has one side
    used = np.flatnonzero(weight.any(axis=1))
    kept = slice(int(used[0]), int(used[-1]) + 1)
    weight = np.repeat(weight[kept], 2, axis=0).astype(np.float32)
    if length <= _SHORT:
        centred = np.eye(length) - 1 / length  # row n: what sample n is to the samples without their mean
        waves = np.fft.rfft(centred * taper)[:, kept].copy().view(np.float64).astype(np.float32)
        return partial(_by_matrix, waves), weight
    return partial(_by_fft, taper.astype(np.float32), kept), weight


def _by_matrix(waves: Floats, segments: Floats) -> Floats:
    spectrum: Floats = np.matmul(segments, waves, dtype=np.float32)
    return spectrum


def _by_fft(taper: Floats, kept: slice, segments: Floats) -> Floats:
    from scipy.fft import rfft

    length = len(taper)
    mean = np.full((length, 1), 1 / length, dtype=np.float32)  # a product is four times as fast as numpy's mean
    part = np.subtract(segments, segments @ mean, order="C", dtype=np.float32)
    part *= taper
    spectrum: Floats = rfft(part, axis=-1)[..., kept].view(np.float32)
    return spectrum
