"""A stand-in for nEMO: short wav clips and `data.tsv` in its official layout, spoken by the voice of voice.py."""

from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import soundfile
from pydantic import Field, PositiveFloat, PositiveInt

from datamodules.corpora.nemo import COLUMNS, EMOTIONS, Nemo
from datamodules.standin.folder import folder_of, write_once
from datamodules.standin.voice import RATE, cues, speak, vowels

VERSION = 1  # raise it when the files written change
VOICED = ("anger", "fear", "happiness", "neutral", "sadness", "surprise")  # EMOTIONS in voice.py
SENTENCES = (
    "Kot śpi na ciepłym piecu.",
    "Jutro rano będzie padać deszcz.",
    "Źrebię biegnie przez łąkę.",
    "Gdzie zostawiłaś moją książkę?",
    "Sąsiad maluje płot na żółto.",
    "Pociąg odjeżdża o szóstej.",
    "Babcia piecze chleb, ciasto i bułki.",
    "Na półce stoi pusty dzban.",
    "Dzieci zbierają kasztany w parku.",
    "Lekarz przyjmuje tylko we wtorki.",
    "Wieczorem gramy w szachy.",
    "Most jest zamknięty aż do środy.",
)


class StandInNemo(Nemo):
    """Invented speakers in nEMO's layout, written under `root` when first asked for and read by the real reader.

    Args:
        root: folder of all stand-ins; this one gets its own folder in it, named by a hash of the settings.
        subjects: how many people; as in the real corpus, every fourth has no clip of one emotion.
        sentences: how many each of them says in each emotion.
        seconds: length of a clip in a neutral voice; with the tempo, clips become shorter or longer.
        strength: size of the emotions' effect; at 0 they sound and last alike.
        shift: size of the differences between people, those of sex included; at 0 all are alike in distribution.
        seed: another seed, other people.
    """

    def __init__(
        self,
        root: str = "data/standin",
        subjects: PositiveInt = 6,
        sentences: Annotated[int, Field(ge=1, le=len(SENTENCES))] = 6,
        seconds: PositiveFloat = 1.5,
        strength: float = 1.0,
        shift: float = 1.0,
        seed: int = 0,
    ) -> None:
        self.write = partial(
            write_nemo,
            subjects=subjects,
            sentences=sentences,
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


def write_nemo(
    root: Path,
    *,
    subjects: int = 6,
    sentences: int = 6,
    seconds: float = 1.5,
    strength: float = 1.0,
    shift: float = 1.0,
    seed: int = 0,
) -> None:
    """Fill the folder `root` with `samples` and `data.tsv`; arguments as for StandInNemo."""
    (root / "samples").mkdir()
    rows = []
    for number in range(subjects):
        rng = np.random.default_rng([seed, number])  # so that the first people stay when more are asked for
        speaker, male, age = f"{chr(65 + number % 26)}{chr(65 + number // 26)}0", number % 2 == 1, 23 + number % 6
        acted = [e for e in range(len(EMOTIONS)) if not (number % 4 == 3 and EMOTIONS[e] == "surprised")]
        said = [(e, int(s)) for e in acted for s in np.sort(rng.permutation(len(SENTENCES))[:sentences])]
        moved = strength * cues([VOICED[e] for e, _ in said])
        clips = speak(rng, male, moved, vowels([SENTENCES[s] for _, s in said]), seconds, shift)
        for (e, s), clip in zip(said, clips, strict=True):
            name = f"{speaker}_{EMOTIONS[e]}_{s + 1}.wav"
            soundfile.write(root / "samples" / name, clip, RATE, subtype="PCM_16")
            plain = SENTENCES[s].lower().translate(str.maketrans("", "", ".,?"))
            # The eight spaces before the speaker are the official file's.
            rows.append((name, EMOTIONS[e], SENTENCES[s], plain, 8 * " " + speaker, "male" if male else "female", age))
    columns = [*COLUMNS[:2], "raw_text", *COLUMNS[2:]]
    pd.DataFrame(rows, columns=columns).to_csv(root / "data.tsv", sep="\t", index=False)
