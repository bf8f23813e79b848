"""Steps and features of the voice against librosa, openSMILE and sounds whose pitch and level are known."""

import librosa
import numpy as np
import pytest
from numpy.typing import NDArray

from affect.batch import Signal, StreamShape
from affect.preprocessing import MFCC, EGeMAPS, LogMel, Prosody, TrimSilence
from affect.preprocessing import voice as voice_module

Array = NDArray[np.float32]
RATE = 16_000.0


def white(deviation: float, *shape: int) -> Array:
    return (deviation * np.random.default_rng(0).standard_normal(shape)).astype(np.float32)


def sine(hertz: float, amplitude: float, seconds: float, rate: float) -> Array:
    times = np.arange(round(seconds * rate)) / rate
    return (amplitude * np.sin(2 * np.pi * hertz * times + 0.3)).astype(np.float32)


def vowel(hertz: float, seconds: float, rate: float = RATE) -> Array:
    """Harmonics that fall off, as a voice's."""
    harmonics = np.stack([sine(k * hertz, 0.3 / k, seconds, rate) for k in range(1, 8)])
    return np.asarray(harmonics.sum(axis=0), dtype=np.float32)


def mono(data: Array, rate: float = RATE) -> Signal:
    return Signal(data[None], rate, ("mono",), "amplitude")


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


@pytest.mark.parametrize("rate", [16_000, 22_050])
def test_mfcc_is_librosas(rate: int) -> None:
    """Of the same bands: equal to 1e-3; the deltas are librosa's too, away from the ends."""
    signal = mono(vowel(150, 1.0, rate) + white(0.01, rate), float(rate))
    bands = LogMel(bands=40)(signal).data
    expected = librosa.feature.mfcc(S=bands, n_mfcc=13, norm="ortho")
    found = MFCC()(signal)
    assert found.data.dtype == np.float32
    assert found.channels[:2] + found.channels[13:15] == ("mfcc1", "mfcc2", "delta mfcc1", "delta mfcc2")
    np.testing.assert_allclose(found.data[:13], expected, atol=1e-3)
    np.testing.assert_allclose(found.data[13:, 4:-4], librosa.feature.delta(expected)[:, 4:-4], atol=1e-3)
    np.testing.assert_array_equal(MFCC(deltas=False)(signal).data, found.data[:13])


def test_mfcc_of_a_clip_of_few_frames() -> None:
    assert np.isfinite(MFCC()(mono(white(0.1, 800))).data).all()


def test_more_coefficients_than_bands_are_refused() -> None:
    with pytest.raises(ValueError, match="at most as many"):
        MFCC(coefficients=41)


def contours(signal: Signal) -> dict[str, Array]:
    found = Prosody()(signal)
    assert np.isfinite(found.data).all()
    return dict(zip(found.channels, found.data, strict=True))


@pytest.mark.parametrize("rate", [16_000.0, 44_100.0])
@pytest.mark.parametrize("hertz", [90.0, 220.0, 400.0])
def test_the_pitch_of_a_vowel(hertz: float, rate: float) -> None:
    """In semitones above 27.5 Hz, to 0.2 of one, away from the ends; voiced throughout."""
    found = contours(mono(vowel(hertz, 1.0, rate), rate))
    inner = slice(10, -10)
    np.testing.assert_allclose(found["pitch"][inner], 12 * np.log2(hertz / 27.5), atol=0.2)
    assert found["voicing"][inner].min() > 0.9


def test_pitch_is_interpolated_where_there_is_no_voice() -> None:
    """From 110 Hz (24 semitones) over a noisy gap to 220 Hz (36): within the octave, and rising."""
    noise = white(0.05, 8000)
    found = contours(mono(np.concatenate([vowel(110, 0.5), noise, vowel(220, 0.5)])))
    assert found["voicing"][65:85].max() < 0.5
    gap = found["pitch"][60:90]
    assert (gap >= 23.5).all()
    assert (gap <= 36.5).all()
    assert np.median(np.diff(gap)) > 0


def test_noise_has_no_pitch() -> None:
    found = contours(mono(white(0.1, 16_000)))
    assert np.mean(found["voicing"] < 0.5) > 0.95


def test_silence_has_a_lowest_level_and_no_pitch() -> None:
    found = contours(mono(np.zeros(16_000, np.float32)))
    assert not found["pitch"].any()
    assert not found["voicing"].any()
    np.testing.assert_allclose(found["level"], -80)


def test_level_and_timbre_of_a_tone() -> None:
    """A sine of amplitude 0.2: rms 0.141, −17 dB, to 0.2 dB; centroid at its frequency to 2 %; next to no flatness."""
    found = contours(mono(sine(440, 0.2, 1.0, RATE)))
    inner = slice(10, -10)
    np.testing.assert_allclose(found["level"][inner], 20 * np.log10(0.2 / np.sqrt(2)), atol=0.2)
    np.testing.assert_allclose(found["centroid"][inner], 440, rtol=0.02)
    np.testing.assert_allclose(found["zero crossings"][inner], 2 * 440 / RATE, rtol=0.05)
    assert found["flatness"][inner].max() < 0.01 < contours(mono(white(0.1, 16_000)))["flatness"].min()


def test_prosody_says_what_it_is() -> None:
    found = Prosody(hop=0.02)(mono(vowel(150, 1.0)))
    assert found.data.shape == (7, 51)
    assert found.data.dtype == np.float32
    assert found.rate == 50.0


@pytest.mark.parametrize(("samples", "rate"), [(500, RATE), (8000, 800.0)])
def test_a_clip_in_which_no_pitch_can_be_found_is_refused(samples: int, rate: float) -> None:
    with pytest.raises(ValueError, match="pitch from 60 to 500 Hz needs"):
        Prosody()(mono(white(0.1, samples), rate))


def test_egemaps_is_opensmiles() -> None:
    opensmile = pytest.importorskip("opensmile")
    smile = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals)
    windows = np.stack([vowel(150, 1.0), vowel(220, 1.0) + white(0.05, 16_000)])[:, None]
    features = EGeMAPS()
    found = features(windows, StreamShape(("mono",), 16_000, RATE))
    expected = [smile.process_signal(window[0], 16_000) for window in windows]
    assert found.shape == (2, 1, 88)
    np.testing.assert_array_equal(found[:, 0], np.concatenate(expected))
    assert features.names() == tuple(expected[0].columns)
    pitch = features.names().index("F0semitoneFrom27.5Hz_sma3nz_amean")
    np.testing.assert_allclose(found[:, 0, pitch], 12 * np.log2(np.array([150, 220]) / 27.5), atol=0.3)


@pytest.mark.filterwarnings("ignore:Segment too short")
def test_windows_too_short_for_egemaps_are_refused() -> None:
    pytest.importorskip("opensmile")
    with pytest.raises(ValueError, match="too short"):
        EGeMAPS()(white(0.1, 2, 1, 400), StreamShape(("mono",), 400, RATE))


def test_egemaps_without_its_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voice_module, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="uv sync --extra egemaps"):
        EGeMAPS()
