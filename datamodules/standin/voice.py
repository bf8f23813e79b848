"""An invented voice for stand-ins: short clips of speech-like sound whose manner depends on an emotion.

A source and filter voice: pulses at the fundamental frequency (f0) and breath, through three vowels' formants and a
room. Emotions move the level and range of f0, loudness, tempo and vocal effort in the directions that Juslin & Laukka
2003 (Psychol. Bull. 129:770) found; speakers differ in f0, vocal tract, loudness, effort, room and expressiveness.
"""

import zlib
from collections.abc import Iterator, Sequence

import numpy as np
import scipy.fft
from numpy.typing import NDArray

RATE = 16_000  # Hz, as most speech encoders want it
# Per emotion: ln of f0, of its range, loudness in dB, ln of tempo, ln of vocal effort.
CUES = {
    "neutral": (0.00, 0.0, 0.0, 0.00, 0.0),
    "calm": (-0.05, -0.2, -4.0, -0.10, -0.4),
    "happiness": (0.25, 0.5, 4.0, 0.08, 0.4),
    "sadness": (-0.02, -0.4, -5.0, -0.18, -0.8),
    "anger": (0.25, 0.3, 9.0, 0.10, 1.0),
    "fear": (0.40, -0.1, 5.0, 0.16, 0.5),
    "disgust": (-0.08, 0.2, 1.0, -0.15, 0.4),
    "surprise": (0.38, 0.8, 3.0, 0.05, 0.0),
    "boredom": (-0.12, -0.5, -3.0, -0.22, -0.5),
}
TAKES = np.array([0.08, 0.2, 2.0, 0.05, 0.25])  # by how much the same cues vary from clip to clip
FORMANTS = np.array([(730, 1090, 2440), (270, 2290, 3010), (500, 1500, 2500)])  # Hz of a, i, ə (Peterson & Barney 1952)


def cues(emotions: Sequence[str]) -> NDArray[np.float64]:
    """(clips, 5): how each of these emotions moves the voice."""
    return np.array([CUES[emotion] for emotion in emotions])


def vowels(texts: Sequence[str], syllables: int = 7) -> NDArray[np.int64]:
    """(clips, syllables) numbers of FORMANTS: the same for the same text, whatever else is said."""
    said = {text: np.random.default_rng(zlib.crc32(text.encode())).integers(3, size=syllables) for text in set(texts)}
    return np.array([said[text] for text in texts])


def speak(
    rng: np.random.Generator,
    male: bool,
    moved: NDArray[np.float64],
    said: NDArray[np.int64],
    seconds: float,
    shift: float,
) -> Iterator[NDArray[np.float32]]:
    """All clips of one speaker, each (samples,) at RATE, full scale ±1.

    Args:
        rng: what it draws decides the speaker.
        moved: (clips, 5) how emotions move the voice, see `cues`.
        said: (clips, syllables) numbers of vowels, see `vowels`.
        seconds: length of a clip in a neutral voice; with the tempo, clips become shorter or longer.
        shift: size of the differences between speakers, those of sex included; at 0 all are alike in distribution.
    """

    def differ(spread: float, *shape: int) -> NDArray[np.float64]:
        return np.asarray(shift * spread * rng.standard_normal(shape))

    sex = shift * (-1 if male else 1)
    f0 = 160 * np.exp(0.27 * sex + differ(0.1))
    formants = FORMANTS * np.exp(0.07 * sex + differ(0.03))
    loudness, effort = differ(3.0), differ(0.3)
    room = rng.standard_normal(RATE // 5) * np.exp(-np.arange(RATE // 5) / (0.03 * RATE))
    room *= np.abs(differ(0.4)) / np.linalg.norm(room)
    room[0] += 1.0

    moved = moved * (1 + differ(0.4, moved.shape[1]))
    level, spread, decibels, tempo, push = (moved + TAKES * rng.standard_normal(moved.shape)).T[:, :, None]

    samples = np.round(RATE * seconds * np.exp(-tempo[:, 0])).astype(int)
    over = (np.arange(samples.max()) / samples[:, None]).astype(np.float32)  # how much of a clip is over, (clips, T)
    syllable = (over - 0.15) / 0.7 * said.shape[1]
    speaking = (syllable >= 0) & (syllable < said.shape[1])
    envelope = speaking * np.abs(np.sin(np.pi * syllable))
    start = rng.uniform(size=level.shape).astype(np.float32)
    melody = 0.12 * np.exp(spread) * (np.cos(2 * np.pi * (1.5 * over + start)) - 1.5 * over)
    turns = np.cumsum(f0 / RATE * np.exp(level + melody), axis=1)
    cycle = np.cos(2 * np.pi * (turns % 1).astype(np.float32))
    pulses = np.exp((80 * np.exp(effort + push)).astype(np.float32) * (cycle - 1))  # sharper with effort: brighter
    source = (pulses + 0.03 * rng.standard_normal(over.shape, np.float32)) * envelope

    length = scipy.fft.next_fast_len(source.shape[1] + len(room), real=True)
    vowel = said[np.arange(len(said))[:, None], np.clip(syllable, 0, said.shape[1] - 1).astype(int)]
    spectrum = sum(
        scipy.fft.rfft(source * (vowel == v), length) * _tract(formants[v], length) for v in range(len(FORMANTS))
    )
    voice = scipy.fft.irfft(spectrum * scipy.fft.rfft(room.astype(np.float32), length), length)[:, : over.shape[1]]
    voice /= np.sqrt((voice**2).sum(axis=1) / samples)[:, None]
    voice *= 10 ** ((-36 + loudness + decibels) / 20)
    voice += 3e-4 * rng.standard_normal(voice.shape, dtype=np.float32)
    for clip, count in zip(np.clip(voice, -1, 1), samples, strict=True):
        yield clip[:count].astype(np.float32)


def _tract(formants: NDArray[np.float64], length: int) -> NDArray[np.complex64]:
    """Frequency response (length // 2 + 1,) of resonances at `formants`, each 80 Hz + 5 % wide, without the DC."""
    f = np.fft.rfftfreq(length, 1 / RATE)
    ratio, width = f / formants[:, None], (80 + 0.05 * formants[:, None]) / formants[:, None]
    response: NDArray[np.complex128] = (1 / (1 - ratio**2 + 1j * ratio * width)).prod(axis=0)
    return (response * (f > 50)).astype(np.complex64)
