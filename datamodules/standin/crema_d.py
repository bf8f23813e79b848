"""A stand-in for CREMA-D: short wav clips and films in its official layout, with a known effect of emotion on both.

The voice is that of voice.py, the face that of acting.py; the stronger the intensity, the stronger the effect.
"""

import csv
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import soundfile
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from datamodules.corpora.crema_d import EMOTIONS, PEOPLE, SENTENCES, CremaD
from datamodules.standin.acting import film
from datamodules.standin.folder import folder_of, write_once
from datamodules.standin.voice import RATE, cues, speak, vowels

VERSION = 1  # raise it when the files written change
VOICED = ("anger", "disgust", "fear", "happiness", "neutral", "sadness")  # EMOTIONS in voice.py
INTENSITY = {"LO": 0.5, "MD": 1.0, "HI": 1.5, "XX": 1.0}


class StandInCremaD(CremaD):
    """Invented actors in CREMA-D's layout, written under `root` when first asked for and read by the real reader.

    Args:
        root: folder of all stand-ins; this one gets its own folder in it, named by a hash of the settings.
        subjects: how many people.
        sentences: how many each says in each emotion; the first one in three intensities.
        seconds: length of a clip in a neutral voice; with the tempo, clips become shorter or longer.
        videos: how many of each actor's clips have a film too.
        strength: size of the emotions' effect; at 0 they sound, last and look alike.
        shift: size of the differences between people, those of sex included; at 0 all are alike in distribution.
        seed: another seed, other people.
    """

    def __init__(
        self,
        root: str = "data/standin",
        subjects: PositiveInt = 8,
        sentences: Annotated[int, Field(ge=1, le=len(SENTENCES))] = 3,
        seconds: PositiveFloat = 1.5,
        videos: NonNegativeInt = 0,
        strength: float = 1.0,
        shift: float = 1.0,
        seed: int = 0,
    ) -> None:
        self.write = partial(
            write_crema_d,
            subjects=subjects,
            sentences=sentences,
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


def write_crema_d(
    root: Path,
    *,
    subjects: int = 8,
    sentences: int = 3,
    seconds: float = 1.5,
    videos: int = 0,
    strength: float = 1.0,
    shift: float = 1.0,
    seed: int = 0,
) -> None:
    """Fill the folder `root` with `AudioWAV`, `VideoFlash` and the table of people; arguments as for StandInCremaD."""
    for folder in ("AudioWAV", *(("VideoFlash",) if videos else ())):
        (root / folder).mkdir()
    clips = [
        (sentence, emotion, intensity)
        for sentence in SENTENCES[:sentences]
        for emotion in EMOTIONS
        for intensity in (("LO", "MD", "HI") if sentence == SENTENCES[0] and emotion != "NEU" else ("XX",))
    ]
    emotions = [list(EMOTIONS).index(emotion) for _, emotion, _ in clips]
    scale = strength * np.array([INTENSITY[intensity] for *_, intensity in clips])
    moved = scale[:, None] * cues([VOICED[e] for e in emotions])
    said = vowels([sentence for sentence, *_ in clips])
    filmed = set(np.linspace(0, len(clips) - 1, min(videos, len(clips))).astype(int).tolist())
    people = []
    for actor in range(1001, 1001 + subjects):
        rng = np.random.default_rng([seed, actor])  # so that the first people stay when more are asked for
        male = bool(rng.integers(2))
        people.append((actor, rng.integers(20, 75), "Male" if male else "Female", "Unknown", "Not Hispanic"))
        for i, sound in enumerate(speak(rng, male, moved, said, seconds, shift)):
            name = "_".join([str(actor), *clips[i]])
            soundfile.write(root / "AudioWAV" / f"{name}.wav", sound, RATE, subtype="PCM_16")
            if i in filmed:
                person = 10_000 * seed + actor
                path = root / "VideoFlash" / f"{name}.flv"
                film(path, VOICED[emotions[i]], float(scale[i]), len(sound) / RATE, person, shift)
    table = pd.DataFrame(people, columns=["ActorID", "Age", "Sex", "Race", "Ethnicity"])
    table.to_csv(root / PEOPLE, index=False, quoting=csv.QUOTE_NONNUMERIC)
