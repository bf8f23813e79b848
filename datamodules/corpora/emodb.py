"""EmoDB, the Berlin Database of Emotional Speech: ten actors say ten German sentences in seven emotions.

Burkhardt, Paeschke, Rolfes, Sendlmeier, Weiss: A Database of German Emotional Speech. Interspeech 2005.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

from affect.errors import UserError
from datamodules.corpora.base import Corpus, Trial
from datamodules.formats.media import SOUND, read_sound

EMOTIONS = {
    "W": "anger",
    "L": "boredom",
    "E": "disgust",
    "A": "fear",
    "F": "happiness",
    "T": "sadness",
    "N": "neutral",
}
"""First letters of the German words (Wut, Langeweile, Ekel, Angst, Freude, Trauer, neutral)."""
TEXTS = ("a01", "a02", "a04", "a05", "a07", "b01", "b02", "b03", "b09", "b10")
SPEAKERS: Mapping[str, tuple[str, float]] = {
    "03": ("male", 31.0),
    "08": ("female", 34.0),
    "09": ("female", 21.0),
    "10": ("male", 32.0),
    "11": ("male", 26.0),
    "12": ("male", 30.0),
    "13": ("female", 32.0),
    "14": ("female", 35.0),
    "15": ("male", 25.0),
    "16": ("female", 31.0),
}
"""Speaker → sex, age in years, as published with the corpus."""
CLIP = re.compile(r"(\d\d)([a-z]\d\d)([A-Z])[a-z]?")
NAMING = "speaker 03–16, text a01 … b10, emotion W L E A F T or N, version a, b …; for example 03a01Fa"


class EmoDB(Corpus):
    """Acted speech, one trial a clip: `wav/03a01Fa.wav`.

    Stream `audio` (1, T), amplitude of full scale ±1, mono, at the file's own rate (16 kHz). The stimulus is the code
    of the sentence. Only clips that listeners took for natural and for the emotion meant were published, so emotions,
    sentences and speakers are not balanced, and versions of one sentence may be several. Group facts: sex, age in
    years.

    Args:
        root: the folder that holds `wav`, or that folder itself.
        subjects: read these only, for example ["03", "08"]; default all found.
    """

    name = "emodb"
    streams = ("audio",)
    ratings: ClassVar = {"emotion": tuple(EMOTIONS.values())}

    def layout(self) -> str:
        return "wav/03a01Fa.wav …, clips of ten speakers"

    def _found(self) -> list[str]:
        return sorted({path.name[:2] for path in self._clips("")})

    def missing(self, found: list[str]) -> list[str]:
        """Speakers have the numbers they were cast with."""
        return [speaker for speaker in SPEAKERS if speaker < found[-1] and speaker not in found]

    def files(self, subject: str) -> list[Path]:
        return self._clips(subject)

    def trials(self, subject: str, streams: Sequence[str]) -> Iterator[Trial | UserError]:
        said: set[str] = set()
        for path in self._clips(subject):
            match = CLIP.fullmatch(path.stem)
            assert match is not None  # _clips keeps no other
            _, text, emotion = match.groups()
            if subject not in SPEAKERS or text not in TEXTS or emotion not in EMOTIONS:
                yield UserError(path, f"codes {path.stem}", NAMING, "rename the file, or move it elsewhere")
            elif path.stem in said:
                yield UserError(path, "a second file of the same clip", "one file a clip", "keep one of the formats")
            else:
                sex, age = SPEAKERS[subject]
                yield Trial(
                    subject=subject,
                    stimulus=text,
                    ratings={"emotion": EMOTIONS[emotion]},
                    streams={"audio": partial(read_sound, path)} if "audio" in streams else {},
                    where=str(path),
                    group={"sex": sex, "age": age},
                )
            said.add(path.stem)

    def _clips(self, subject: str) -> list[Path]:
        """All clips, of one speaker or of all."""
        inner = self.root / "wav"
        paths = (inner if inner.is_dir() else self.root).glob(f"{subject}*")
        return sorted(p for p in paths if p.suffix.lower() in SOUND and CLIP.fullmatch(p.stem))
