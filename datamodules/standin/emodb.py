"""A stand-in for EmoDB: short wav clips in its official layout, spoken by the voice of voice.py."""

from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import soundfile
from pydantic import Field, PositiveFloat

from datamodules.corpora.emodb import EMOTIONS, SPEAKERS, TEXTS, EmoDB
from datamodules.standin.folder import folder_of, write_once
from datamodules.standin.voice import RATE, cues, speak, vowels

VERSION = 1  # raise it when the files written change
KEPT = {"W": 1.0, "L": 0.8, "E": 0.45, "A": 0.7, "F": 0.7, "T": 0.6, "N": 0.8}
"""Share of the clips that listeners accepted, so that emotions are as unbalanced as in the real corpus."""


class StandInEmoDB(EmoDB):
    """Invented speakers in EmoDB's layout, written under `root` when first asked for and read by the real reader.

    Args:
        root: folder of all stand-ins; this one gets its own folder in it, named by a hash of the settings.
        subjects: how many of the ten numbers are spoken for.
        texts: how many sentences each says in each emotion; some clips are left out, as listeners did.
        seconds: length of a clip in a neutral voice; with the tempo, clips become shorter or longer.
        strength: size of the emotions' effect; at 0 they sound and last alike.
        shift: size of the differences between people, those of sex included; at 0 all are alike in distribution.
        seed: another seed, other people.
    """

    def __init__(
        self,
        root: str = "data/standin",
        subjects: Annotated[int, Field(ge=1, le=len(SPEAKERS))] = 10,
        texts: Annotated[int, Field(ge=1, le=len(TEXTS))] = 5,
        seconds: PositiveFloat = 1.5,
        strength: float = 1.0,
        shift: float = 1.0,
        seed: int = 0,
    ) -> None:
        self.write = partial(
            write_emodb,
            subjects=subjects,
            texts=texts,
            seconds=float(seconds),
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


def write_emodb(
    root: Path,
    *,
    subjects: int = 10,
    texts: int = 5,
    seconds: float = 1.5,
    strength: float = 1.0,
    shift: float = 1.0,
    seed: int = 0,
) -> None:
    """Fill the folder `root` with `wav`; arguments as for StandInEmoDB."""
    (root / "wav").mkdir()
    for speaker in list(SPEAKERS)[:subjects]:
        rng = np.random.default_rng([seed, int(speaker)])  # so that the first people stay when more are asked for
        accepted = [(text, letter) for letter in EMOTIONS for text in TEXTS[:texts] if rng.uniform() < KEPT[letter]]
        moved = strength * cues([EMOTIONS[letter] for _, letter in accepted])
        said = vowels([text for text, _ in accepted])
        clips = speak(rng, SPEAKERS[speaker][0] == "male", moved, said, seconds, shift)
        for (text, letter), clip in zip(accepted, clips, strict=True):
            soundfile.write(root / "wav" / f"{speaker}{text}{letter}a.wav", clip, RATE, subtype="PCM_16")
