"""EEG features of windows: how strong each band is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveFloat, PositiveInt

from affect.batch import StreamShape
from affect.preprocessing.channels import locate
from affect.preprocessing.spectral import BANDS, band_variance, bins, blocks, check_bands, segment_length
from affect.preprocessing.step import Features
from affect.preprocessing.timing import hertz

_LEFT = "Fp1 AF3 F3 F7 FC5 FC1 C3 T7 CP5 CP1 P3 P7 PO3 O1"
_RIGHT = "Fp2 AF4 F4 F8 FC6 FC2 C4 T8 CP6 CP2 P4 P8 PO4 O2"
PAIRS = tuple(zip(_LEFT.split(), _RIGHT.split(), strict=True))
"""The 14 symmetric pairs of a 32-channel cap, (left, right)."""


def entropy(variance: NDArray[np.float32]) -> NDArray[np.float32]:
    """Differential entropy of a Gaussian of this variance, in nats: ½ ln(2πe σ²)."""
    nats: NDArray[np.float32] = np.float32(0.5) * np.log(np.float32(2 * np.pi * np.e) * variance)
    return nats


@dataclass(frozen=True)
class _Banded(Features):
    """Features that have one number for each band of Welch's spectrum."""

    bands: Mapping[str, tuple[float, float]] = field(default_factory=lambda: dict(BANDS))
    segment: float | None = None
    floor: PositiveFloat = 1e-6

    def __post_init__(self) -> None:
        check_bands(self.bands, self.segment)

    def names(self) -> tuple[str, ...]:
        return tuple(self.bands)

    def variance(self, windows: NDArray[np.float32], stream: StreamShape) -> NDArray[np.float32]:
        """(B, C, T) µV → (B, C, bands) µV², not below the floor."""
        found = band_variance(windows, hertz(stream), self.bands, self.segment)
        np.maximum(found, np.float32(self.floor), out=found)
        return found


@dataclass(frozen=True)
class DifferentialEntropy(_Banded):
    """Differential entropy of each band: ½ ln(2πe σ²), σ² the band's variance in µV² (Duan et al., NER 2013).

    The variance is the spectrum's over the bins inside [low, high), by Parseval: one batched FFT for all windows, no
    filter. Features made with band-pass filters differ from it, and between each other: see
    FilteredDifferentialEntropy.

    Args:
        bands: name → (low, high) in Hz.
        segment: seconds of a segment; default: the whole window is one. Shorter ones are steadier and coarser.
        floor: smallest variance in µV²; keeps silence finite.
    """

    def __call__(self, windows: NDArray[np.float32], stream: StreamShape) -> NDArray[np.float32]:
        """(B, C, T) µV → (B, C, bands) nats."""
        return entropy(self.variance(windows, stream))


@dataclass(frozen=True)
class BandPower(_Banded):
    """Mean power density of each band in dB: 10 log₁₀ of µV²/Hz (Welch 1967).

    Band by band a straight line in the differential entropy: the same information in the unit of a spectrum plot.

    Args:
        bands, segment, floor: as in DifferentialEntropy.
    """

    def __call__(self, windows: NDArray[np.float32], stream: StreamShape) -> NDArray[np.float32]:
        """(B, C, T) µV → (B, C, bands) dB re 1 µV²/Hz."""
        rate, variance = hertz(stream), self.variance(windows, stream)
        length = segment_length(windows.shape[-1], rate, self.segment)
        width = bins(length, rate, self.bands).sum(axis=0) * (rate / length)  # Hz
        decibel: NDArray[np.float32] = 10 * np.log10(variance / width.astype(np.float32))
        return decibel


@dataclass(frozen=True)
class BandAsymmetry(_Banded):
    """Asymmetry between the hemispheres: ln power on the right minus ln power on the left, for each band.

    With two pairs over the frontal lobe and alpha it is the approach–withdrawal index (Davidson 1992); with 14 pairs
    the asymmetries of DEAP's own baseline (Koelstra et al. 2012).

    Args:
        bands, segment, floor: as in DifferentialEntropy.
        pairs: (left, right) channel names; default the 14 symmetric pairs of a 32-channel cap.
        alone: False: the ln power of every channel stands before the asymmetries.
    """

    pairs: tuple[tuple[str, str], ...] = PAIRS
    alone: bool = True

    def channels(self, given: tuple[str, ...]) -> tuple[str, ...]:
        """For each pair right-left, for example Fp2-Fp1.

        Raises:
            ValueError: a pair whose channels the stream does not have.
        """
        locate(given, [name for pair in self.pairs for name in pair])
        return (*(() if self.alone else given), *(f"{right}-{left}" for left, right in self.pairs))

    def __call__(self, windows: NDArray[np.float32], stream: StreamShape) -> NDArray[np.float32]:
        """(B, C, T) µV → (B, pairs, bands); with alone=False (B, C + pairs, bands)."""
        left, right = (locate(stream.channels, side) for side in zip(*self.pairs, strict=True))
        power = np.log(self.variance(windows, stream))
        asymmetry = power[:, right] - power[:, left]
        return asymmetry if self.alone else np.concatenate([power, asymmetry], axis=1)


@dataclass(frozen=True)
class FilteredDifferentialEntropy(Features):
    """Differential entropy as TorchEEG 1.1.3 computes it: ½ log₂(2πe σ²) in bits, σ² the variance of a filtered window.

    The filter is a Butterworth band-pass that runs forward once and starts from rest at every window, so its phase is
    not zero and its start-up is part of the variance, the more the narrower the band. Offered to reproduce figures
    made that way; the spectrum of DifferentialEntropy has neither flaw. Convolution with the filter's impulse response
    by FFT, which over a window is the same.

    Args:
        bands: name → (low, high) in Hz; the defaults are TorchEEG's.
        order: of the Butterworth prototype; the band-pass has twice as many poles.
    """

    bands: Mapping[str, tuple[float, float]] = field(
        default_factory=lambda: {"theta": (4, 8), "alpha": (8, 14), "beta": (14, 31), "gamma": (31, 49)}
    )
    order: PositiveInt = 5

    def __post_init__(self) -> None:
        check_bands(self.bands, None)
        if any(low == 0 for low, _ in self.bands.values()):
            raise ValueError(f"bands {dict(self.bands)}: a band-pass starts above 0 Hz")

    def names(self) -> tuple[str, ...]:
        return tuple(self.bands)

    def __call__(self, windows: NDArray[np.float32], stream: StreamShape) -> NDArray[np.float32]:
        """(B, C, T) µV → (B, C, bands) bits."""
        from scipy import fft

        samples, rate = windows.shape[-1], hertz(stream)
        padded = fft.next_fast_len(2 * samples - 1, real=True)  # so that the end does not fold onto the start
        impulses = np.stack([_impulse(self.order, *band, samples, rate) for band in self.bands.values()])
        responses = fft.rfft(impulses, padded).astype(np.complex64)
        result = np.empty((*windows.shape[:-1], len(self.bands)), dtype=np.float32)
        for block in blocks(windows.shape[0], windows.shape[1] * padded):
            spectrum = fft.rfft(windows[block], padded, axis=-1)
            for i, response in enumerate(responses):
                filtered = fft.irfft(spectrum * response, padded, axis=-1)[..., :samples]
                result[block, :, i] = filtered.var(axis=-1)
        np.maximum(result, np.finfo(np.float32).tiny, out=result)  # silence: the lowest that float32 can say
        return entropy(result) / np.float32(np.log(2))


@lru_cache(maxsize=64)
def _impulse(order: int, low: float, high: float, samples: int, rate: float) -> NDArray[np.float64]:
    """(samples,) response of a Butterworth band-pass to a unit impulse; designed once, not for every trial."""
    from scipy.signal import butter, sosfilt

    if high >= rate / 2:
        raise ValueError(f"a band up to {high:g} Hz in a stream of {rate:g} Hz, which ends at {rate / 2:g} Hz")
    filtered = sosfilt(butter(order, (low, high), "bandpass", fs=rate, output="sos"), np.eye(1, samples)[0])
    return np.asarray(filtered)
