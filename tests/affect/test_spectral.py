"""Spectral features against closed forms and against scipy's and mne's spectra."""

import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from affect.batch import StreamShape
from affect.preprocessing import BandAsymmetry, BandPower, DifferentialEntropy, Features, FilteredDifferentialEntropy
from affect.preprocessing import spectral as spectral_module

Array = NDArray[np.float32]
BANDS = {"theta": (4.0, 8.0), "alpha": (8.0, 13.0), "beta": (13.0, 30.0)}
CAP = ("Fp1", "F3", "C3", "Fp2", "F4", "C4", "Cz")
PAIRS = (("F3", "F4"), ("fp1", "FP2"))


def entropy(variance: float | NDArray[np.float64]) -> NDArray[np.float64]:
    """Of a Gaussian, in nats."""
    return np.asarray(0.5 * np.log(2 * np.pi * np.e * np.asarray(variance)))


def white(deviation: float, *shape: int) -> Array:
    return (deviation * np.random.default_rng(0).standard_normal(shape)).astype(np.float32)


def pink(*shape: int) -> Array:
    """Falls with frequency, as EEG does."""
    return np.cumsum(white(3.0, *shape), axis=-1).astype(np.float32)


def sine(hertz: float, amplitude: float, seconds: float, rate: float) -> Array:
    times = np.arange(round(seconds * rate)) / rate
    return (amplitude * np.sin(2 * np.pi * hertz * times + 0.3)).astype(np.float32)


def stream(rate: float, channels: tuple[str, ...] = CAP) -> StreamShape:
    return StreamShape(channels, 0, rate)


def welch(windows: Array, rate: float, segment: float | None) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """Frequencies, density and samples of a segment, by scipy."""
    length = windows.shape[-1] if segment is None else min(round(segment * rate), windows.shape[-1])
    overlap = length - length // 2
    exact = windows.astype(np.float64)
    hertz, density = scipy.signal.welch(exact, rate, "hann", length, overlap, detrend="constant")
    return hertz, density, length


@pytest.mark.parametrize("deviation", [0.5, 20.0])
@pytest.mark.parametrize("segment", [None, 2.0])
def test_entropy_of_white_noise_is_that_of_its_share_of_the_variance(deviation: float, segment: float | None) -> None:
    """A band holds σ² · 2 (high − low) / rate; over 40 min the entropy is exact to 0.02 nats, 2 % in σ."""
    rate = 128.0
    found = DifferentialEntropy(BANDS, segment)(white(deviation, 240, 1, 1280), stream(rate))
    variance = np.exp(2 * found) / (2 * np.pi * np.e)
    share = np.array([2 * (high - low) / rate for low, high in BANDS.values()])
    np.testing.assert_allclose(entropy(variance.mean(axis=(0, 1))), entropy(deviation**2 * share), atol=0.02)


@pytest.mark.parametrize("segment", [None, 1.0, 2.0])
@pytest.mark.parametrize("hertz", [6.0, 6.3, 10.0, 20.7])
def test_entropy_of_a_sine_is_that_of_half_its_amplitude_squared(hertz: float, segment: float | None) -> None:
    """In its own band, to 0.01 nats; in the others next to nothing: less than 1 % of the variance."""
    window = sine(hertz, 30.0, 4.0, 128.0)[None, None]
    found = DifferentialEntropy(BANDS, segment)(window, stream(128.0))[0, 0]
    for value, (low, high) in zip(found, BANDS.values(), strict=True):
        if low <= hertz < high:
            assert value == pytest.approx(float(entropy(30.0**2 / 2)), abs=0.01)
        else:
            assert value < float(entropy(0.01 * 30.0**2 / 2))


CUTS = [(128.0, 1.0, 4.0), (128.0, None, 3.0), (100.0, 1.27, 6.0), (64.0, 9.0, 4.0)]
"""Rate, segment, window: odd lengths and segments longer than the window too."""


@pytest.mark.parametrize(("rate", "segment", "seconds"), CUTS)
def test_entropy_is_that_of_welchs_spectrum(rate: float, segment: float | None, seconds: float) -> None:
    """Same segments, taper and sides as scipy's: equal to 1e-4 nats."""
    windows = pink(5, 2, round(seconds * rate))
    hertz, density, length = welch(windows, rate, segment)
    variance = [
        density[..., (hertz >= low) & (hertz < high)].sum(axis=-1) * (rate / length) for low, high in BANDS.values()
    ]
    found = DifferentialEntropy(BANDS, segment)(windows, stream(rate))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, entropy(np.stack(variance, axis=-1)), atol=1e-4)


@pytest.mark.parametrize(("rate", "segment", "seconds"), CUTS)
def test_band_power_is_scipys_mean_density(rate: float, segment: float | None, seconds: float) -> None:
    """In dB re 1 µV²/Hz, to 1e-3 dB."""
    windows = pink(5, 2, round(seconds * rate))
    hertz, density, _ = welch(windows, rate, segment)
    mean = [density[..., (hertz >= low) & (hertz < high)].mean(axis=-1) for low, high in BANDS.values()]
    found = BandPower(BANDS, segment)(windows, stream(rate))
    np.testing.assert_allclose(found, 10 * np.log10(np.stack(mean, axis=-1)), atol=1e-3)


def test_band_power_is_mnes() -> None:
    """To 1e-3 dB."""
    from mne.time_frequency import psd_array_welch

    windows = pink(3, 2, 512)
    density, hertz = psd_array_welch(
        windows.astype(float), 128.0, 0, 64, n_fft=128, n_overlap=64, window="hann", verbose="ERROR"
    )
    mean = [density[..., (hertz >= low) & (hertz < high)].mean(axis=-1) for low, high in BANDS.values()]
    found = BandPower(BANDS, 1.0)(windows, stream(128.0))
    np.testing.assert_allclose(found, 10 * np.log10(np.stack(mean, axis=-1)), atol=1e-3)


@pytest.mark.parametrize("samples", [32, 33])
def test_entropy_over_all_frequencies_is_that_of_the_variance(samples: int) -> None:
    """Parseval: the sum over all bins, the highest too, is the variance of the tapered segment."""
    window = white(3.0, samples) + 100
    taper = scipy.signal.get_window("hann", samples)
    tapered = (window - window.mean()) * taper
    # The mean of the tapered segment is in the bin of 0 Hz, which no band should hold and which is not two-sided.
    variance = (tapered**2).sum() / (taper**2).sum() - tapered.sum() ** 2 / (samples * (taper**2).sum())
    found = DifferentialEntropy({"all": (0.5, 65.0)})(window[None, None].astype(np.float32), stream(128.0))
    assert float(found.squeeze()) == pytest.approx(float(entropy(variance)), abs=1e-3)


def test_silence_has_the_entropy_of_the_floor() -> None:
    found = DifferentialEntropy(BANDS, floor=1e-4)(np.zeros((2, 3, 256), np.float32), stream(128.0))
    np.testing.assert_allclose(found, entropy(1e-4), rtol=1e-6)


@pytest.mark.parametrize("segment", [1.0, 2.0])
def test_entropy_ignores_the_level_of_a_window(segment: float) -> None:
    windows, features = white(5.0, 3, 2, 256), DifferentialEntropy(BANDS, segment)
    np.testing.assert_allclose(features(windows + 1000, stream(128.0)), features(windows, stream(128.0)), atol=1e-3)


@pytest.mark.parametrize(("band", "rate"), [((10.1, 10.9), 128.0), ((45.0, 50.0), 64.0)])
@pytest.mark.parametrize("features", [DifferentialEntropy, BandPower])
def test_a_band_that_holds_no_frequency_is_refused(features: type, band: tuple[float, float], rate: float) -> None:
    with pytest.raises(ValueError, match="mine"):
        features(bands={"mine": band}, segment=1.0)(white(1.0, 1, 7, 256), stream(rate))


@pytest.mark.parametrize("bands", [{}, {"mine": (8.0, 4.0)}, {"mine": (-1.0, 4.0)}])
@pytest.mark.parametrize("features", [DifferentialEntropy, FilteredDifferentialEntropy])
def test_bands_that_are_none_are_refused(features: type, bands: dict[str, tuple[float, float]]) -> None:
    with pytest.raises(ValueError, match="low < high"):
        features(bands=bands)


def test_a_stream_without_time_is_refused() -> None:
    with pytest.raises(ValueError, match="without time"):
        DifferentialEntropy(BANDS)(np.ones((2, 3, 1), np.float32), stream(0.0))


def test_asymmetry_is_twice_the_difference_of_the_entropies() -> None:
    """ln σ² = 2 DE − ln 2πe; to 1e-5."""
    windows = pink(4, len(CAP), 256)
    wide = DifferentialEntropy(BANDS)(windows, stream(128.0))
    features = BandAsymmetry(BANDS, pairs=PAIRS)
    expected = 2 * np.stack([wide[:, 4] - wide[:, 1], wide[:, 3] - wide[:, 0]], axis=1)
    np.testing.assert_allclose(features(windows, stream(128.0)), expected, atol=1e-5)
    assert features.channels(CAP) == ("F4-F3", "FP2-fp1")


def test_asymmetry_can_stand_after_the_channels() -> None:
    windows = pink(4, len(CAP), 256)
    features = BandAsymmetry(BANDS, pairs=PAIRS, alone=False)
    found = features(windows, stream(128.0))
    assert features.channels(CAP) == (*CAP, "F4-F3", "FP2-fp1")
    np.testing.assert_allclose(found[:, 7], found[:, 4] - found[:, 1], atol=1e-6)


def test_a_pair_that_the_cap_lacks_is_named() -> None:
    with pytest.raises(ValueError, match=r"AF3.*among Fp1"):
        BandAsymmetry().channels(CAP)


def filtered_entropy(window: Array, rate: float, low: float, high: float, order: int) -> float:
    """As TorchEEG 1.1.3: a filter run forward from rest over one channel of one window, and log to the base 2."""
    b, a = scipy.signal.butter(order, [low / (rate / 2), high / (rate / 2)], btype="band")
    return float(0.5 * np.log2(2 * np.pi * np.e * np.var(scipy.signal.lfilter(b, a, window.astype(np.float64)))))


@pytest.mark.parametrize(("samples", "order"), [(128, 5), (200, 3), (517, 5)])
def test_filtered_entropy_is_torcheegs(samples: int, order: int) -> None:
    """To 1e-4 bits, at a level of 30 µV too, which the start of the filter sees."""
    windows = pink(3, 2, samples) + 30
    features = FilteredDifferentialEntropy(order=order)
    found = features(windows, stream(128.0))
    expected = [
        [[filtered_entropy(row, 128.0, low, high, order) for low, high in features.bands.values()] for row in window]
        for window in windows
    ]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_filtered_entropy_of_silence_is_finite() -> None:
    assert np.isfinite(FilteredDifferentialEntropy()(np.zeros((1, 2, 128), np.float32), stream(128.0))).all()


def test_a_filter_that_the_rate_cannot_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="up to 49 Hz"):
        FilteredDifferentialEntropy()(white(1.0, 1, 1, 64), stream(64.0))


every_feature = pytest.mark.parametrize(
    "features",
    [
        DifferentialEntropy(BANDS),
        DifferentialEntropy(BANDS, segment=0.7),
        BandPower(BANDS),
        BandAsymmetry(BANDS, pairs=PAIRS),
        FilteredDifferentialEntropy(BANDS),
    ],
)


@every_feature
def test_a_windows_features_depend_on_that_window_alone(features: Features, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not on its neighbours, on how many are computed at a time, nor on how they lie in memory; to 1e-4."""
    windows = pink(6, len(CAP), 256)
    alone = np.concatenate([features(window[None], stream(128.0)) for window in windows])
    assert alone.shape == (6, len(features.channels(CAP)), len(features.names()))
    monkeypatch.setattr(spectral_module, "_BLOCK", 5000)
    np.testing.assert_allclose(features(windows, stream(128.0)), alone, atol=1e-4)
    as_in_the_cache = np.ascontiguousarray(windows.transpose(0, 2, 1)).transpose(0, 2, 1)
    np.testing.assert_allclose(features(as_in_the_cache, stream(128.0)), alone, atol=1e-4)


@settings(max_examples=30, deadline=None)
@given(scale=st.floats(0.01, 1000), seed=st.integers(0, 99))
def test_scaling_shifts_entropy_by_the_logarithm_and_leaves_asymmetry(scale: float, seed: int) -> None:
    """ln k in nats, log₂ k in bits, 20 log₁₀ k in dB; to 1e-3."""
    windows = np.random.default_rng(seed).standard_normal((2, len(CAP), 128)).astype(np.float32) * 10
    louder = windows * np.float32(scale)
    shifts = {
        DifferentialEntropy: np.log(scale),
        BandPower: 20 * np.log10(scale),
        FilteredDifferentialEntropy: np.log2(scale),
    }
    for features, shift in shifts.items():
        part = features(bands=BANDS)
        moved = part(louder, stream(128.0)) - part(windows, stream(128.0))
        np.testing.assert_allclose(moved, shift, atol=1e-3)
    asymmetry = BandAsymmetry(BANDS, pairs=PAIRS)
    np.testing.assert_allclose(asymmetry(louder, stream(128.0)), asymmetry(windows, stream(128.0)), atol=1e-3)
