"""Voice as its expression: pitch, loudness and timbre, frame by frame or as the 88 eGeMAPS functionals."""

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat

from affect.batch import Signal, StreamShape
from affect.preprocessing.step import Features, Step
from affect.preprocessing.timing import hertz


@dataclass(frozen=True)
class Prosody(Step):
    """Waveform (C, T) → seven contours (7, frames) of the channels' mean; Functionals sum them up (librosa).

    pitch: semitones above 27.5 Hz (YIN, de Cheveigné & Kawahara 2002), between voiced frames interpolated, before the
    first and after the last held; 0 throughout where no frame is voiced. voicing: correlation of a frame with itself
    one period later, −1 … 1. level: root mean square in dB of full scale, not below −80. zero crossings: share of
    samples. centroid and rolloff (85 %) of the spectrum in Hz, and its flatness 0 … 1.

    Args:
        hop: seconds between frames.
        lowest, highest: Hz, where the pitch is looked for.
        voiced: smallest voicing of a frame whose pitch counts.
    """

    hop: PositiveFloat = 0.010
    lowest: PositiveFloat = 60.0
    highest: PositiveFloat = 500.0
    voiced: Annotated[float, Field(ge=0, le=1)] = 0.5

    def __post_init__(self) -> None:
        if not self.lowest < self.highest:
            raise ValueError(f"lowest {self.lowest:g} Hz is not below highest {self.highest:g} Hz")

    def __call__(self, signal: Signal, **beside: Signal | None) -> Signal:
        import librosa

        rate, wave = hertz(signal), signal.data.mean(axis=0, dtype=np.float64)
        frame = int(2 ** np.ceil(np.log2(2 * rate / self.lowest + 2)))  # two periods of the lowest pitch
        hop = round(self.hop * rate)
        if len(wave) < frame or self.highest >= rate / 2:
            raise ValueError(
                f"{signal.seconds:.3g} s at {rate:g} Hz: pitch from {self.lowest:g} to {self.highest:g} Hz needs "
                f"{frame / rate:.3g} s, and a rate above {2 * self.highest:g} Hz"
            )
        hz = librosa.yin(wave, fmin=self.lowest, fmax=self.highest, sr=rate, frame_length=frame, hop_length=hop)
        voicing = _voicing(librosa.util.frame(np.pad(wave, frame // 2), frame_length=frame, hop_length=hop), rate / hz)
        magnitude = np.abs(librosa.stft(wave, n_fft=frame, hop_length=hop))
        rms = librosa.feature.rms(y=wave, frame_length=frame, hop_length=hop)[0]
        contours = [
            _continuous(12 * np.log2(hz / 27.5), voicing >= self.voiced),
            voicing,
            20 * np.log10(np.maximum(rms, 1e-4)),
            librosa.feature.zero_crossing_rate(wave, frame_length=frame, hop_length=hop)[0],
            librosa.feature.spectral_centroid(S=magnitude, sr=rate)[0],
            librosa.feature.spectral_rolloff(S=magnitude, sr=rate)[0],
            librosa.feature.spectral_flatness(S=magnitude)[0],
        ]
        names = ("pitch", "voicing", "level", "zero crossings", "centroid", "rolloff", "flatness")
        frames = min(map(len, contours))
        data = np.stack([contour[:frames] for contour in contours]).astype(np.float32)
        return Signal(data, rate / hop, names, "semitones, 1, dB, 1, Hz, Hz, 1")


def _voicing(frames: NDArray[np.float64], period: NDArray[np.float64]) -> NDArray[np.float64]:
    """(samples, F) frames and their periods in samples → (F,) correlation of each frame with itself a period later."""
    result = np.zeros(len(period))
    for i, (frame, lag) in enumerate(zip(frames.T, np.rint(period).astype(int), strict=False)):
        now, later = frame[:-lag], frame[lag:]
        energy = np.sqrt((now @ now) * (later @ later))
        result[i] = now @ later / energy if energy > 0 else 0
    return result


def _continuous(values: NDArray[np.float64], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Interpolated where not known; 0 where nothing is."""
    if not known.any():
        return np.zeros(len(values))
    return np.interp(np.arange(len(values)), np.flatnonzero(known), values[known])


@dataclass(frozen=True)
class EGeMAPS(Features):
    """The 88 functionals of the extended Geneva minimalistic acoustic parameter set, v02 (Eyben et al. 2016).

    openSMILE computes them from windows of the waveform, which its licence allows for research only: it is an extra,
    installed by `uv sync --extra egemaps`. About 20 ms for a second of voice.
    """

    def __post_init__(self) -> None:
        if find_spec("opensmile") is None:
            raise ValueError("the package opensmile is not installed: uv sync --extra egemaps")

    def names(self) -> tuple[str, ...]:
        return tuple(_opensmile().feature_names)

    def channels(self, given: tuple[str, ...]) -> tuple[str, ...]:
        return ("voice",)

    def __call__(self, windows: NDArray[np.float32], stream: StreamShape) -> NDArray[np.float32]:
        """(B, C, T) → (B, 1, 88) of the channels' mean."""
        smile, rate = _opensmile(), round(hertz(stream))
        rows = [smile.process_signal(np.ascontiguousarray(wave), rate).to_numpy() for wave in windows.mean(axis=1)]
        result = np.stack(rows).astype(np.float32) if rows else np.zeros((0, 1, len(self.names())), np.float32)
        if not np.isfinite(result).all():
            raise ValueError(f"windows of {windows.shape[-1] / rate:.3g} s, too short for eGeMAPS")
        return result


@lru_cache(maxsize=1)
def _opensmile() -> Any:
    import opensmile

    return opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals)
