"""Preprocessing against closed forms and other people's implementations."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from affect.batch import Signal, StreamShape
from affect.preprocessing import DifferentialEntropy, Features, Functionals, LogMel, Resample, Trend, TrimSilence
from affect.preprocessing.normalisation import Moments, fit, setting
from affect.preprocessing.step import describe

Array = NDArray[np.float32]


def white(deviation: float, *shape: int) -> Array:
    return (deviation * np.random.default_rng(0).standard_normal(shape)).astype(np.float32)


def sine(hertz: float, amplitude: float, seconds: float, rate: float) -> Array:
    times = np.arange(round(seconds * rate)) / rate
    return (amplitude * np.sin(2 * np.pi * hertz * times + 0.3)).astype(np.float32)


def stream(rate: float) -> StreamShape:
    return StreamShape(("a", "b", "c"), 0, rate)


def mono(data: Array, rate: float) -> Signal:
    return Signal(data[None], rate, ("mono",), "amplitude")


def test_functionals_are_numpys() -> None:
    window = np.array([[[1.0, 4.0, 2.0, 8.0, 5.0]]], np.float32)
    expected = [4.0, np.sqrt(6.0), 1.0, 1.4, 4.0, 6.8, 8.0, np.std([3.0, -2.0, 6.0, -3.0])]
    found = Functionals()(window, stream(50.0))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[0, 0], expected, rtol=1e-6)


def test_a_trend_is_numpys_line() -> None:
    """Slope per minute; to 1e-4 of it."""
    windows = np.cumsum(white(1.0, 3, 2, 41), axis=-1).astype(np.float32) + 30
    seconds = np.arange(41) / 4
    found = Trend()(windows, stream(4.0))
    slopes = [[60 * np.polyfit(seconds, row, 1)[0] for row in window] for window in windows]
    np.testing.assert_allclose(found[..., 2], slopes, rtol=1e-4)
    np.testing.assert_allclose(found[..., [0, 1]], np.stack([windows.mean(-1), windows.std(-1)], -1), rtol=1e-5)
    np.testing.assert_allclose(found[..., 3], windows.max(-1) - windows.min(-1), rtol=1e-5)


def test_a_single_sample_has_no_trend() -> None:
    assert Trend()(np.full((1, 1, 1), 33.0, np.float32), stream(1.0)).squeeze().tolist() == [33, 0, 0, 0]


every_feature = pytest.mark.parametrize("features", [Functionals(), Trend()])


@every_feature
def test_features_have_one_number_for_each_name(features: Features) -> None:
    assert features(white(1.0, 5, 3, 256), stream(128.0)).shape == (5, 3, len(features.names()))


@every_feature
def test_a_windows_features_depend_on_that_window_alone(features: Features) -> None:
    windows = white(1.0, 6, 3, 256)
    alone = np.concatenate([features(window[None], stream(128.0)) for window in windows])
    np.testing.assert_allclose(features(windows, stream(128.0)), alone, atol=1e-5)


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


@pytest.mark.parametrize(
    ("old", "new", "samples"), [(4.0, 128.0, 60), (64.0, 4.0, 640), (0.05, 1.0, 20), (700.0, 62.5, 7000)]
)
def test_resampling_keeps_a_level_and_a_drift_up_to_the_ends(old: float, new: float, samples: int) -> None:
    """A temperature does not ring where the recording starts and stops; exact to 1e-3."""
    line = np.linspace(33.0, 34.0, samples, dtype=np.float32)
    found = Resample(new)(mono(line, old)).data[0]
    assert len(found) == round(samples * new / old)
    times = np.arange(len(found)) / new
    np.testing.assert_allclose(found, 33 + times * old / (samples - 1), atol=1e-3)


def test_what_is_shorter_than_a_sample_is_refused() -> None:
    with pytest.raises(ValueError, match="less than one sample"):
        Resample(1.0)(mono(white(1.0, 10), 128.0))


@pytest.mark.parametrize("step", [Resample(100.0), TrimSilence(), LogMel(bands=8, high=4000)])
def test_a_step_leaves_its_input_as_it_was(step: Callable[[Signal], Signal]) -> None:
    signal = mono(white(0.1, 8000), 8000.0)
    before = replace(signal, data=signal.data.copy())
    step(signal)
    np.testing.assert_array_equal(signal.data, before.data)


def test_importing_preprocessing_loads_nothing_heavy() -> None:
    """A command line is read, and a mistake in it found, before torch and its like are."""
    heavy = {"torch", "torchaudio", "mne", "neurokit2", "librosa", "cv2", "timm", "opensmile", "sklearn", "scipy"}
    code = f"import sys, affect.preprocessing; print(*sorted({heavy} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []


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
    ("normalisation", "sees", "expected"),
    [
        ("none", "nothing", "inductive"),
        ("source", "nothing", "inductive"),
        ("baseline", "nothing", "inductive"),
        ("subject", "nothing", "transductive-stats"),
        ("source", "statistics", "transductive-stats"),
        ("none", "windows", "transductive"),
        ("source", "windows", "transductive"),
        ("subject", "windows", "transductive"),
    ],
)
def test_the_setting_follows_from_what_is_looked_at(normalisation: str, sees: str, expected: str) -> None:
    assert setting(normalisation, sees) == expected  # type: ignore[arg-type]
    assert setting(normalisation, sees, 2) == "calibrated(2)"  # type: ignore[arg-type]
