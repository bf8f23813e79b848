"""Preprocessing against closed forms and other people's implementations."""

from collections.abc import Callable
from dataclasses import replace

import librosa
import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from affect.batch import Signal
from affect.errors import UserError
from affect.preprocessing import DifferentialEntropy, Features, Functionals, LogMel, Resample, TrimSilence
from affect.preprocessing.normalisation import Moments, fit, setting
from affect.preprocessing.step import describe

Array = NDArray[np.float32]
BANDS = {"theta": (4.0, 8.0), "alpha": (8.0, 13.0), "beta": (13.0, 30.0)}


def entropy(variance: float | NDArray[np.float64]) -> NDArray[np.float64]:
    """Of a Gaussian, in nats."""
    return np.asarray(0.5 * np.log(2 * np.pi * np.e * np.asarray(variance)))


def white(deviation: float, *shape: int) -> Array:
    return (deviation * np.random.default_rng(0).standard_normal(shape)).astype(np.float32)


def sine(hertz: float, amplitude: float, seconds: float, rate: float) -> Array:
    times = np.arange(round(seconds * rate)) / rate
    return (amplitude * np.sin(2 * np.pi * hertz * times + 0.3)).astype(np.float32)


def mono(data: Array, rate: float) -> Signal:
    return Signal(data[None], rate, ("mono",), "amplitude")


@pytest.mark.parametrize("deviation", [0.5, 20.0])
@pytest.mark.parametrize("segment", [None, 2.0])
def test_entropy_of_white_noise_is_that_of_its_share_of_the_variance(deviation: float, segment: float | None) -> None:
    """A band holds σ² · 2 (high − low) / rate; over 40 min the entropy is exact to 0.02 nats, 2 % in σ."""
    rate = 128.0
    variance = np.exp(2 * DifferentialEntropy(BANDS, segment)(white(deviation, 240, 1, 1280), rate)) / (
        2 * np.pi * np.e
    )
    share = np.array([2 * (high - low) / rate for low, high in BANDS.values()])
    np.testing.assert_allclose(entropy(variance.mean(axis=(0, 1))), entropy(deviation**2 * share), atol=0.02)


@pytest.mark.parametrize("segment", [None, 1.0, 2.0])
@pytest.mark.parametrize("hertz", [6.0, 6.3, 10.0, 20.7])
def test_entropy_of_a_sine_is_that_of_half_its_amplitude_squared(hertz: float, segment: float | None) -> None:
    """In its own band, to 0.01 nats; in the others next to nothing: less than 1 % of the variance."""
    found = DifferentialEntropy(BANDS, segment)(sine(hertz, 30.0, 4.0, 128.0)[None, None], 128.0)[0, 0]
    for value, (low, high) in zip(found, BANDS.values(), strict=True):
        if low <= hertz < high:
            assert value == pytest.approx(float(entropy(30.0**2 / 2)), abs=0.01)
        else:
            assert value < float(entropy(0.01 * 30.0**2 / 2))


@pytest.mark.parametrize(
    ("rate", "segment", "seconds"), [(128.0, 1.0, 4.0), (128.0, None, 3.0), (100.0, 1.27, 6.0), (64.0, 9.0, 4.0)]
)
def test_entropy_is_that_of_welchs_spectrum(rate: float, segment: float | None, seconds: float) -> None:
    """Same segments, taper and sides: equal to 1e-4 nats, for odd lengths and segments longer than the window too."""
    windows = np.cumsum(white(3.0, 5, 2, round(seconds * rate)), axis=-1)
    length = windows.shape[-1] if segment is None else min(round(segment * rate), windows.shape[-1])
    hertz, density = scipy.signal.welch(
        windows.astype(np.float64), rate, "hann", length, length - length // 2, detrend="constant"
    )
    bands = {name: (low, high) for name, (low, high) in BANDS.items()}
    variance = [
        density[..., (hertz >= low) & (hertz < high)].sum(axis=-1) * (rate / length) for low, high in bands.values()
    ]
    found = DifferentialEntropy(bands, segment)(windows, rate)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, entropy(np.stack(variance, axis=-1)), atol=1e-4)


@pytest.mark.parametrize("samples", [32, 33])
def test_entropy_over_all_frequencies_is_that_of_the_variance(samples: int) -> None:
    """Parseval: the sum over all bins, the highest too, is the variance of the tapered segment."""
    window = white(3.0, samples) + 100
    taper = scipy.signal.get_window("hann", samples)
    tapered = (window - window.mean()) * taper
    # The mean of the tapered segment is in the bin of 0 Hz, which no band should hold and which is not two-sided.
    variance = (tapered**2).sum() / (taper**2).sum() - tapered.sum() ** 2 / (samples * (taper**2).sum())
    found = DifferentialEntropy({"all": (0.5, 65.0)})(window[None, None].astype(np.float32), 128.0)
    assert float(found.squeeze()) == pytest.approx(float(entropy(variance)), abs=1e-3)


def test_silence_has_the_entropy_of_the_floor() -> None:
    found = DifferentialEntropy(BANDS, floor=1e-4)(np.zeros((2, 3, 256), np.float32), 128.0)
    np.testing.assert_allclose(found, entropy(1e-4), rtol=1e-6)


def test_entropy_ignores_the_level_of_a_window() -> None:
    windows = white(5.0, 3, 2, 256)
    features = DifferentialEntropy(BANDS, 1.0)
    np.testing.assert_allclose(features(windows + 1000, 128.0), features(windows, 128.0), atol=1e-3)


@pytest.mark.parametrize(("band", "rate"), [((10.1, 10.9), 128.0), ((45.0, 50.0), 64.0)])
def test_a_band_that_holds_no_frequency_is_refused(band: tuple[float, float], rate: float) -> None:
    with pytest.raises(UserError) as caught:
        DifferentialEntropy({"mine": band}, segment=1.0)(white(1.0, 1, 1, 256), rate)
    assert caught.value.where.endswith("bands.mine")


def test_functionals_are_numpys() -> None:
    window = np.array([[[1.0, 4.0, 2.0, 8.0, 5.0]]], np.float32)
    expected = [4.0, np.sqrt(6.0), 1.0, 1.4, 4.0, 6.8, 8.0, np.std([3.0, -2.0, 6.0, -3.0])]
    found = Functionals()(window, 50.0)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[0, 0], expected, rtol=1e-6)


every_feature = pytest.mark.parametrize("features", [DifferentialEntropy(BANDS), Functionals()])


@every_feature
def test_features_have_one_number_for_each_name(features: Features) -> None:
    assert features(white(1.0, 5, 3, 256), 128.0).shape == (5, 3, len(features.names()))


@every_feature
def test_a_windows_features_depend_on_that_window_alone(features: Features) -> None:
    windows = white(1.0, 6, 3, 256)
    alone = np.concatenate([features(window[None], 128.0) for window in windows])
    np.testing.assert_allclose(features(windows, 128.0), alone, atol=1e-5)


def power_of(signal: Signal, **settings: float) -> NDArray[np.float64]:
    """Mel power by librosa, with torchaudio's conventions."""
    rate = int(signal.rate)
    return np.asarray(
        librosa.feature.melspectrogram(
            y=signal.data[0],
            sr=rate,
            win_length=round(0.025 * rate),
            hop_length=round(0.010 * rate),
            window="hann",
            center=True,
            pad_mode="reflect",
            power=2.0,
            htk=True,
            norm="slaney",
            **settings,
        )
    )


@pytest.mark.parametrize(
    ("rate", "fft", "bands", "high"), [(16_000, 512, 64, 8000), (22_050, 1024, 40, 8000), (8_000, 256, 20, 4000)]
)
def test_log_mel_is_librosas(rate: int, fft: int, bands: int, high: int) -> None:
    voice = sine(220, 0.3, 1.0, rate) + white(0.05, rate)
    signal = mono(voice, float(rate))
    found = LogMel(bands=bands)(signal)
    expected = np.log(power_of(signal, n_fft=fft, n_mels=bands, fmin=50, fmax=high) + 1e-8)
    assert found.data.dtype == np.float32
    np.testing.assert_allclose(found.data, expected, atol=2e-3)


def test_log_mel_says_what_it_is() -> None:
    found = LogMel(bands=20)(mono(white(0.1, 16_000), 16_000.0))
    assert found.data.shape == (20, 101)
    assert found.rate == 100.0
    assert len(set(found.channels)) == 20


def test_log_mel_of_silence_is_the_floor() -> None:
    found = LogMel(bands=20, floor=1e-6)(mono(np.zeros(8000, np.float32), 16_000.0))
    np.testing.assert_allclose(found.data, np.log(1e-6), rtol=1e-6)


@pytest.mark.parametrize(("old", "new"), [(48_000.0, 16_000.0), (44_100.0, 16_000.0), (128.0, 200.0), (500.0, 128.0)])
def test_resampling_keeps_a_sine(old: float, new: float) -> None:
    """Below the lower Nyquist frequency: same amplitude and phase to 1e-3, away from the ends."""
    hertz, seconds = min(old, new) / 10, 400 / min(old, new)
    found = Resample(new)(mono(sine(hertz, 1.0, seconds, old), old))
    assert found.rate == new
    assert found.data.dtype == np.float32
    assert found.data.shape[1] == pytest.approx(seconds * new, abs=1)
    inner = slice(found.data.shape[1] // 4, -found.data.shape[1] // 4)
    expected = sine(hertz, 1.0, found.data.shape[1] / new, new)
    np.testing.assert_allclose(found.data[0, inner], expected[inner], atol=1e-3)


def test_resampling_does_not_fold_what_it_cannot_hold() -> None:
    found = Resample(16_000.0)(mono(sine(11_000, 1.0, 0.5, 48_000), 48_000.0))
    assert np.abs(found.data[0, 1000:-1000]).max() < 1e-3


def test_resampling_keeps_channels_apart() -> None:
    data = np.stack([sine(5, 1.0, 4.0, 128.0), sine(9, 2.0, 4.0, 128.0)])
    both = Resample(64.0)(Signal(data, 128.0, ("a", "b"), "µV"))
    for row, found in zip(data, both.data, strict=True):
        np.testing.assert_allclose(Resample(64.0)(mono(row, 128.0)).data[0], found, atol=1e-6)
    assert (both.channels, both.unit) == (("a", "b"), "µV")


def test_resampling_to_the_same_rate_is_nothing() -> None:
    signal = mono(white(1.0, 100), 50.0)
    assert Resample(50.0)(signal) is signal


def test_silence_is_cut_before_and_after_the_voice_only() -> None:
    """To within one frame (2048 samples) of its edges; the pause inside stays."""
    rate = 16_000.0
    quiet, voice = white(1e-4, 16_000), sine(200, 0.5, 1.0, rate)
    found = TrimSilence(30.0)(mono(np.concatenate([quiet, voice, quiet, voice, quiet]), rate))
    assert found.data.shape[1] == pytest.approx(3 * 16_000, abs=2 * 2048)
    assert np.abs(found.data[0, :2048]).max() > 0.4
    assert np.abs(found.data[0, -2048:]).max() > 0.4
    assert found.rate == rate


def test_a_voice_without_silence_is_left_whole() -> None:
    signal = mono(sine(200, 0.5, 1.0, 16_000.0), 16_000.0)
    np.testing.assert_array_equal(TrimSilence()(signal).data, signal.data)


def test_trimming_keeps_all_channels() -> None:
    data = np.stack([np.pad(sine(200, a, 0.5, 16_000.0), 12_000) for a in (0.5, 0.2)])
    found = TrimSilence()(Signal(data, 16_000.0, ("left", "right"), "amplitude"))
    assert found.data.shape[0] == 2
    assert 7_000 < found.data.shape[1] < 14_000


@pytest.mark.parametrize("step", [Resample(100.0), TrimSilence(), LogMel(bands=8, high=4000)])
def test_a_step_leaves_its_input_as_it_was(step: Callable[[Signal], Signal]) -> None:
    signal = mono(white(0.1, 8000), 8000.0)
    before = replace(signal, data=signal.data.copy())
    step(signal)
    np.testing.assert_array_equal(signal.data, before.data)


def test_a_cache_key_tells_steps_and_their_settings_apart() -> None:
    parts = [None, Resample(16.0), Resample(8.0), TrimSilence(), LogMel(), LogMel(bands=32), DifferentialEntropy()]
    described = [repr(describe(part)) for part in parts]
    assert len(set(described)) == len(parts)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=6), st.integers(0, 99))
def test_moments_of_trials_pool_to_those_of_their_samples(counts: list[int], seed: int) -> None:
    """Trials of any length, empty ones too."""
    generator = np.random.default_rng(seed)
    trials = [generator.standard_normal((n, 2, 3)) * 5 + 100 for n in counts]
    mean = np.stack([x.mean(axis=0) if len(x) else np.zeros((2, 3)) for x in trials])
    m2 = np.stack([x.var(axis=0) * len(x) if len(x) else np.zeros((2, 3)) for x in trials])
    moments = Moments(np.array(counts, float), mean, m2, np.full_like(mean, np.nan))
    found = moments.pool(np.arange(len(counts)))
    pooled = np.concatenate(trials)
    if len(pooled):
        np.testing.assert_allclose(found[0], pooled.mean(axis=0), rtol=1e-9)
        np.testing.assert_allclose(found[1], pooled.std(axis=0), atol=1e-9)
    else:
        assert not np.any(found)


def test_what_never_varies_becomes_zero_not_noise() -> None:
    moments = Moments(np.ones(2) * 10, np.full((2, 1, 1), 3.0), np.zeros((2, 1, 1)), np.full((2, 1, 1), np.nan))
    affine = fit("source", moments, np.arange(2), np.arange(2), np.arange(2))
    assert not affine.scale.any()


@pytest.mark.parametrize(
    ("normalisation", "adapts", "expected"),
    [
        ("none", False, "inductive"),
        ("source", False, "inductive"),
        ("baseline", False, "inductive"),
        ("subject", False, "transductive-stats"),
        ("none", True, "transductive"),
        ("source", True, "transductive"),
        ("subject", True, "transductive"),
    ],
)
def test_the_setting_follows_from_what_is_looked_at(normalisation: str, adapts: bool, expected: str) -> None:
    assert setting(normalisation, adapts) == expected  # type: ignore[arg-type]
