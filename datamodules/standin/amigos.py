"""A stand-in for AMIGOS: invented people in its official layout, with a known effect of valence and arousal in them.

How they sound is in `epoc`. As in the real files there are gaps: P08, P24 and P28 saw no long videos, one recording of
P03 is an empty cell, P04 gave no ratings once, and some trials hold a dead ECG lead (NaN all along). The external
annotation follows the ratings from segment to segment, with noise; it is a rating, so `strength` is not in it.
"""

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from affect.errors import UserError
from datamodules.corpora.amigos import EEG, EMOTIONS, OFFICIAL, RATE, SEGMENT, VIDEOS, Amigos
from datamodules.standin import epoc
from datamodules.standin.folder import folder_of, write_once

VERSION = 1  # raise it when the files written change
BASELINE = Amigos.baseline_seconds
_NO_LONG = (8, 24, 28)
_EMPTY, _UNRATED = (3, 10), (4, 7)  # person and cell


class StandInAmigos(Amigos):
    """Invented people in AMIGOS's layout, written under `root` when first asked for and read by the real reader.

    Args:
        root: folder of all stand-ins; this one gets its own folder in it, named by a hash of the settings.
        videos: read the short ones, the long ones, or all; all are written.
        subjects: how many people, 1 to 40.
        seconds: mean length of the short videos; the long ones last twice as long. 5 s of baseline come before each.
        strength: size of the effect of valence and arousal; at 0 the signals know nothing of the ratings.
        shift: size of the differences between people; at 0 all are alike in distribution.
        seed: another seed, other people.
        dead_leads: trials whose first ECG lead is NaN, as about as rare as in the real corpus; with any, an experiment
            on the ECG needs --data.bad_trials=drop or absent, as on the real one.
    """

    def __init__(
        self,
        root: str = "data/standin",
        videos: Literal["short", "long", "all"] = "short",
        subjects: int = 8,
        seconds: float = 20.0,
        strength: float = 1.0,
        shift: float = 1.0,
        seed: int = 0,
        dead_leads: int = 1,
    ) -> None:
        self.invented = _Settings(subjects, float(seconds), float(strength), float(shift), seed, dead_leads)
        self.stand_ins = Path(root).expanduser()
        super().__init__(str(folder_of(self.stand_ins, self.name, self.invented.facts())), videos=videos)

    def check(self) -> None:
        """Nothing can be amiss yet: the folder is written when first asked for."""

    def ensure(self) -> None:
        write_once(self.stand_ins, self.name, self.invented.facts(), partial(_write, settings=self.invented))


def write_amigos(
    root: Path,
    *,
    subjects: int = 8,
    seconds: float = 20.0,
    strength: float = 1.0,
    shift: float = 1.0,
    seed: int = 0,
    dead_leads: int = 1,
) -> None:
    """Fill the folder `root` for `Amigos` to read; arguments as for StandInAmigos."""
    _write(root, _Settings(subjects, float(seconds), float(strength), float(shift), seed, dead_leads))


@dataclass(frozen=True)
class _Settings:
    subjects: int
    seconds: float
    strength: float
    shift: float
    seed: int
    dead_leads: int

    def __post_init__(self) -> None:
        bounds = {"subjects": (1, 40), "seconds": (1, 3600), "strength": (0, 100), "shift": (0, 100)}
        for name, (low, high) in {**bounds, "seed": (0, 2**32), "dead_leads": (0, 16)}.items():
            if not low <= getattr(self, name) <= high:
                where = f"data.corpus.{name}"
                raise UserError(where, f"{getattr(self, name)}", f"{low} to {high}", "correct the setting")

    def facts(self) -> dict[str, object]:
        return {"version": VERSION, **asdict(self)}


def _write(root: Path, settings: _Settings) -> None:
    lengths = settings.seconds * np.random.default_rng([2, settings.seed]).uniform(0.75, 1.25, len(OFFICIAL))
    lengths[len(VIDEOS["short"]) :] *= 2
    dead = {(1 + k % settings.subjects, (5 + 7 * k) % 16) for k in range(settings.dead_leads)}
    for number in range(1, settings.subjects + 1):
        # Own generators for every person: more people, or another strength, leave the rest as it was.
        felt = epoc.feelings(settings.seed, number, len(OFFICIAL), settings.shift)
        person = epoc.invent(np.random.default_rng([3, settings.seed, number]), settings.shift)
        content: dict[str, Any] = {
            name: np.empty((1, len(OFFICIAL)), dtype=object)
            for name in ("VideoIDs", "joined_data", "labels_ext_annotation", "labels_selfassessment")
        }
        for i, video in enumerate(OFFICIAL):
            rng = np.random.default_rng([4, settings.seed, number, i])
            unseen = number in _NO_LONG and video in VIDEOS["long"]
            signals = _signals(rng, person, settings.strength * np.tanh(felt[i] / 0.9), float(lengths[i]))
            if (number, i) in dead:
                signals[:, len(EEG)] = np.nan
            lost = unseen or (number, i) == _EMPTY
            content["VideoIDs"][0, i] = video
            content["joined_data"][0, i] = np.empty((0, 0)) if lost else signals
            content["labels_ext_annotation"][0, i] = np.empty((0, 0)) if lost else _annotation(rng, felt[i], signals)
            unrated = unseen or (number, i) == _UNRATED
            content["labels_selfassessment"][0, i] = np.empty((1, 0)) if unrated else _ratings(rng, felt[i])
        name = f"Data_Preprocessed_P{number:02d}"
        folder = root / "Data_Preprocessed" / name
        folder.mkdir(parents=True)
        epoc.save(folder / f"{name}.mat", content)


def _signals(rng: np.random.Generator, person: epoc.Person, felt: epoc.Array, seconds: float) -> epoc.Array:
    """(T, 17): EEG referenced to the common average, two ECG leads in mV, skin conductance in µS."""
    time = epoc.times(BASELINE, seconds, RATE)
    eeg = epoc.eeg(rng, person, felt, time, 4.0, 45.0)
    ecg = epoc.ecg(rng, person, float(felt[1]), time, RATE) / 1000
    return np.concatenate([eeg - eeg.mean(axis=1, keepdims=True), ecg, epoc.skin(rng, person, float(felt[1]), time)], 1)


def _ratings(rng: np.random.Generator, felt: epoc.Array) -> epoc.Array:
    """(1, 12): arousal, valence, dominance, liking, familiarity, then the basic emotions."""
    valence, arousal = felt
    others = 0.3 * (valence + arousal), 0.7 * valence, 0.0
    scales = np.array([arousal, valence, *(value + 0.6 * rng.standard_normal() for value in others)])
    named = {
        "neutral": np.abs(felt).max() < 0.5,
        "happiness": valence > 0.5,
        "surprise": arousal > 1.0,
        "fear": valence < 0 and arousal > 0.5,
        "disgust": valence < -0.7,
        "anger": valence < -1.0 and arousal > 0,
        "sadness": valence < -0.5 and arousal < 0,
    }
    return np.concatenate([np.clip(5.0 + 1.8 * scales, 1.0, 9.0), [float(named[name]) for name in EMOTIONS]])[None]


def _annotation(rng: np.random.Generator, felt: epoc.Array, signals: epoc.Array) -> epoc.Array:
    """(segments, 3): number, valence, arousal of the first 20 s, of every 20 s from the video's start, of the last."""
    stimulus = len(signals) / RATE - BASELINE
    count = 2 + max(0, int(np.ceil(stimulus / SEGMENT)) - 1)
    seen = np.tanh(0.4 * felt + 0.15 * rng.standard_normal((count, 2)))
    return np.column_stack([np.arange(1.0, count + 1), seen])
