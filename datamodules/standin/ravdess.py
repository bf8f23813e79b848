"""A stand-in for RAVDESS: short wav clips in its official layout, with a known effect of emotion on the voice.

A source and filter voice: pulses at the fundamental frequency (f0) and breath, through three vowels' formants and a
room. Emotions move the level and range of f0, loudness, tempo and vocal effort in the directions that Juslin & Laukka
2003 (Psychol. Bull. 129:770) found; actors differ in f0, vocal tract, loudness, effort, room and expressiveness.
"""

from collections.abc import Iterator
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import scipy.fft
import soundfile
from numpy.typing import NDArray

from datamodules.corpora.ravdess import EMOTIONS, Ravdess
from datamodules.standin.folder import folder_of, write_once

VERSION = 1  # raise it when the files written change
RATE = 16_000  # a third of the official clips', as most speech encoders want it
# Per emotion, in the order of EMOTIONS: ln of f0, of its range, loudness in dB, ln of tempo, ln of vocal effort.
CUES = np.array(
    [
        (0.00, 0.0, 0.0, 0.00, 0.0),
        (-0.05, -0.2, -4.0, -0.10, -0.4),
        (0.25, 0.5, 4.0, 0.08, 0.4),
        (-0.02, -0.4, -5.0, -0.18, -0.8),
        (0.25, 0.3, 9.0, 0.10, 1.0),
        (0.40, -0.1, 5.0, 0.16, 0.5),
        (-0.08, 0.2, 1.0, -0.15, 0.4),
        (0.38, 0.8, 3.0, 0.05, 0.0),
    ]
)
TAKES = np.array([0.08, 0.2, 2.0, 0.05, 0.25])  # by how much the same cues vary from clip to clip
FORMANTS = np.array([(730, 1090, 2440), (270, 2290, 3010), (500, 1500, 2500)])  # Hz of a, i, ə (Peterson & Barney 1952)
VOWELS = np.array([(1, 0, 0, 1, 1, 2, 0), (0, 0, 1, 1, 1, 2, 0)])  # of a statement's seven syllables


class StandInRavdess(Ravdess):
    """Invented actors in RAVDESS's layout, written under `root` when first asked for and read by the real reader.

    Args:
        root: folder of all stand-ins; this one gets its own folder in it, named by a hash of the settings.
        actors: how many people.
        repetitions: takes of each statement; 2 in the real corpus, which gives 60 clips an actor.
        seconds: length of a clip in a neutral voice; with the tempo, clips become shorter or longer.
        strength: size of the emotions' effect; at 0 they sound and last alike.
        shift: size of the differences between actors, those of sex included; at 0 all are alike in distribution.
        seed: another seed, other actors.
    """

    def __init__(
        self,
        root: str = "data/standin",
        actors: int = 8,
        repetitions: int = 2,
        seconds: float = 2.0,
        strength: float = 1.0,
        shift: float = 1.0,
        seed: int = 0,
    ) -> None:
        self.write = partial(
            write_ravdess,
            actors=actors,
            repetitions=repetitions,
            seconds=float(seconds),
            strength=float(strength),
            shift=float(shift),
            seed=seed,
        )
        self.settings = {"version": VERSION, **self.write.keywords}
        self.folder = Path(root).expanduser()
        super().__init__(str(folder_of(self.folder, self.name, self.settings)))

    def check(self) -> None:
        """Nothing can be amiss yet: the folder is written when first asked for."""

    def ensure(self) -> None:
        write_once(self.folder, self.name, self.settings, self.write)


def write_ravdess(
    root: Path,
    *,
    actors: int = 8,
    repetitions: int = 2,
    seconds: float = 2.0,
    strength: float = 1.0,
    shift: float = 1.0,
    seed: int = 0,
) -> None:
    """Fill the folder `root` with one folder of clips an actor; arguments as for StandInRavdess."""
    codes = product(range(1, len(EMOTIONS) + 1), (1, 2), (1, 2), range(1, repetitions + 1))
    takes = np.array([c for c in codes if c[:2] != (1, 2)])  # neutral has no strong intensity
    for actor in range(1, actors + 1):
        rng = np.random.default_rng([seed, actor])  # so that the first actors stay when more are asked for
        folder = root / f"Actor_{actor:02d}"
        folder.mkdir()
        for take, clip in zip(takes, _speak(rng, actor % 2 == 1, takes, seconds, strength, shift), strict=True):
            emotion, intensity, statement, repetition = take
            name = f"03-01-{emotion:02d}-{intensity:02d}-{statement:02d}-{repetition:02d}-{actor:02d}.wav"
            soundfile.write(folder / name, clip, RATE, subtype="PCM_16")


def _speak(
    rng: np.random.Generator, male: bool, takes: NDArray[np.int64], seconds: float, strength: float, shift: float
) -> Iterator[NDArray[np.float32]]:
    """All clips of one actor, each (samples,), from its (emotion, intensity, statement, repetition)."""

    def differ(spread: float, *shape: int) -> NDArray[np.float64]:
        return np.asarray(shift * spread * rng.standard_normal(shape))

    sex = shift * (-1 if male else 1)
    f0 = 160 * np.exp(0.27 * sex + differ(0.1))
    formants = FORMANTS * np.exp(0.07 * sex + differ(0.03))
    loudness, effort = differ(3.0), differ(0.3)
    room = rng.standard_normal(RATE // 5) * np.exp(-np.arange(RATE // 5) / (0.03 * RATE))
    room *= np.abs(differ(0.4)) / np.linalg.norm(room)
    room[0] += 1.0

    intensity = np.where(takes[:, 1] == 2, 1.3, 0.7)[:, None]
    cues = strength * intensity * CUES[takes[:, 0] - 1] * (1 + differ(0.4, CUES.shape[1]))
    level, spread, decibels, tempo, push = (cues + TAKES * rng.standard_normal(cues.shape)).T[:, :, None]

    samples = np.round(RATE * seconds * np.exp(-tempo[:, 0])).astype(int)
    said = (np.arange(samples.max()) / samples[:, None]).astype(np.float32)  # how much of a clip is over, (clips, T)
    syllable = (said - 0.15) / 0.7 * VOWELS.shape[1]
    speaking = (syllable >= 0) & (syllable < VOWELS.shape[1])
    envelope = speaking * np.abs(np.sin(np.pi * syllable))
    start = rng.uniform(size=level.shape).astype(np.float32)
    melody = 0.12 * np.exp(spread) * (np.cos(2 * np.pi * (1.5 * said + start)) - 1.5 * said)
    turns = np.cumsum(f0 / RATE * np.exp(level + melody), axis=1)
    cycle = np.cos(2 * np.pi * (turns % 1).astype(np.float32))
    pulses = np.exp((80 * np.exp(effort + push)).astype(np.float32) * (cycle - 1))  # sharper with effort: brighter
    source = (pulses + 0.03 * rng.standard_normal(said.shape, np.float32)) * envelope

    length = scipy.fft.next_fast_len(source.shape[1] + len(room), real=True)
    vowel = VOWELS[takes[:, 2] - 1][np.arange(len(takes))[:, None], np.clip(syllable, 0, 6).astype(int)]
    spectrum = sum(
        scipy.fft.rfft(source * (vowel == v), length) * _tract(formants[v], length) for v in range(len(FORMANTS))
    )
    voice = scipy.fft.irfft(spectrum * scipy.fft.rfft(room.astype(np.float32), length), length)[:, : said.shape[1]]
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
