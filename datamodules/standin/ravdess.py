"""A stand-in for RAVDESS: short clips, action units and films in its layout, with a known effect of emotion on each.

The voice is that of voice.py. The face moves as EMFACS has it (Friesen & Ekman 1983): AU 6 and 12 when happy, 1, 4
and 15 when sad, 4, 5, 7 and 23 when angry …; actors differ in their face at rest and in how much they show.
"""

from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
from numpy.typing import NDArray

from datamodules.corpora.ravdess import EMOTIONS, MEANS, Ravdess
from datamodules.formats.openface import ACTION_UNITS
from datamodules.standin.acting import film
from datamodules.standin.folder import folder_of, write_once
from datamodules.standin.voice import RATE, cues, speak

VERSION = 2  # raise it when the files written change
VOICED = ("neutral", "calm", "happiness", "sadness", "anger", "fear", "disgust", "surprise")  # EMOTIONS in voice.py
VOWELS = np.array([(1, 0, 0, 1, 1, 2, 0), (0, 0, 1, 1, 1, 2, 0)])  # of a statement's seven syllables
SHOWN: tuple[dict[int, float], ...] = (
    {},
    {12: 0.3},
    {6: 0.9, 12: 1.3, 25: 0.4},
    {1: 0.7, 4: 0.6, 15: 0.6, 17: 0.4},
    {4: 1.0, 5: 0.4, 7: 0.7, 23: 0.5},
    {1: 0.8, 2: 0.4, 4: 0.5, 5: 0.7, 20: 0.6},
    {4: 0.4, 9: 0.9, 10: 0.7, 17: 0.4},
    {1: 0.9, 2: 0.9, 5: 0.7, 26: 0.5},
)
"""Per emotion: action unit → its intensity, mean over a clip."""
REST = {25: 0.9, 26: 0.6, 45: 0.3}  # of a face that speaks; all others 0.2


class StandInRavdess(Ravdess):
    """Invented actors in RAVDESS's layout, written under `root` when first asked for and read by the real reader.

    Args:
        root: folder of all stand-ins; this one gets its own folder in it, named by a hash of the settings.
        actors: how many people.
        repetitions: takes of each statement; 2 in the real corpus, which gives 60 clips an actor.
        seconds: length of a clip in a neutral voice; with the tempo, clips become shorter or longer.
        videos: how many of each actor's takes are filmed too.
        strength: size of the emotions' effect; at 0 they sound, last and look alike.
        shift: size of the differences between actors, those of sex included; at 0 all are alike in distribution.
        seed: another seed, other actors.
    """

    def __init__(
        self,
        root: str = "data/standin",
        actors: int = 8,
        repetitions: int = 2,
        seconds: float = 2.0,
        videos: int = 0,
        strength: float = 1.0,
        shift: float = 1.0,
        seed: int = 0,
    ) -> None:
        self.write = partial(
            write_ravdess,
            actors=actors,
            repetitions=repetitions,
            seconds=float(seconds),
            videos=videos,
            strength=float(strength),
            shift=float(shift),
            seed=seed,
        )
        self.invented = {"version": VERSION, **self.write.keywords}
        self.stand_ins = Path(root).expanduser()
        super().__init__(str(folder_of(self.stand_ins, self.name, self.invented)))

    def check(self) -> None:
        """Nothing can be amiss yet: the folder is written when first asked for."""

    def ensure(self) -> None:
        write_once(self.stand_ins, self.name, self.invented, self.write)


def write_ravdess(
    root: Path,
    *,
    actors: int = 8,
    repetitions: int = 2,
    seconds: float = 2.0,
    videos: int = 0,
    strength: float = 1.0,
    shift: float = 1.0,
    seed: int = 0,
) -> None:
    """Fill the folder `root` with a folder an actor and one table of action units; arguments as for StandInRavdess."""
    codes = product(range(1, len(EMOTIONS) + 1), (1, 2), (1, 2), range(1, repetitions + 1))
    takes = np.array([c for c in codes if c[:2] != (1, 2)])  # neutral has no strong intensity
    emotion, intensity = takes[:, 0] - 1, np.where(takes[:, 1] == 2, 1.3, 0.7)[:, None]
    moved = strength * intensity * cues(VOICED)[emotion]
    filmed = np.linspace(0, len(takes) - 1, min(videos, len(takes))).astype(int)
    names, units = [], []
    for actor in range(1, actors + 1):
        rng = np.random.default_rng([seed, actor])  # so that the first actors stay when more are asked for
        folder = root / f"Actor_{actor:02d}"
        folder.mkdir()
        stems = ["01-" + "-".join(f"{code:02d}" for code in (*take, actor)) for take in takes]
        clips = list(speak(rng, actor % 2 == 1, moved, VOWELS[takes[:, 2] - 1], seconds, shift))
        for stem, clip in zip(stems, clips, strict=True):
            soundfile.write(folder / f"03-{stem}.wav", clip, RATE, subtype="PCM_16")
        for i in filmed:
            path, scale = folder / f"01-{stems[i]}.mp4", strength * float(intensity[i, 0])
            film(path, VOICED[emotion[i]], scale, len(clips[i]) / RATE, 1000 * seed + actor, shift)
        names += [f"01-{stem}" for stem in stems]
        units.append(_action_units(np.random.default_rng([seed, actor, 1]), emotion, strength * intensity, shift))
    table = pd.DataFrame(np.concatenate(units), index=pd.Index(names, name="file"), columns=list(ACTION_UNITS))
    table.to_csv(root / MEANS, float_format="%.4f")


def _action_units(
    rng: np.random.Generator, emotion: NDArray[np.int64], intensity: NDArray[np.float64], shift: float
) -> NDArray[np.float64]:
    """(clips, 35) of one actor: means over each clip of intensities, and the share of frames each unit is present."""
    numbers = sorted({int(name[2:4]) for name in ACTION_UNITS})
    effects = np.array([[shown.get(number, 0.0) for number in numbers] for shown in SHOWN])
    rest = np.array([REST.get(number, 0.2) for number in numbers]) + shift * 0.4 * rng.standard_normal(len(numbers))
    moves = intensity * effects[emotion] * np.exp(shift * 0.3 * rng.standard_normal(len(numbers)))
    level = rest + moves + 0.3 * rng.standard_normal(moves.shape)
    share = 0.6 * level + 0.15 * rng.standard_normal(level.shape)
    columns = [numbers.index(int(name[2:4])) for name in ACTION_UNITS]
    graded = [name.endswith("_r") for name in ACTION_UNITS]
    units: NDArray[np.float64] = np.where(graded, np.clip(level, 0, 5)[:, columns], np.clip(share, 0, 1)[:, columns])
    return units
