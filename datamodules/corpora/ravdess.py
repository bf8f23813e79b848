"""RAVDESS, speech, audio only: 24 actors say two statements in eight emotions.

Livingstone & Russo 2018, PLoS ONE 13(5):e0196391, doi:10.1371/journal.pone.0196391 (CC BY-NC-SA 4.0).
"""

import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

from affect.errors import UserError
from datamodules.corpora.base import Corpus, Trial
from datamodules.corpora.media import SOUND, read_sound

EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
INTENSITIES = ("normal", "strong")
STATEMENTS = ("statement1", "statement2")
SPEECH = re.compile(r"03-01-(\d\d)-(\d\d)-(\d\d)-(\d\d)-(\d\d)")  # audio only, speech; other modalities are ignored
NAMING = "03-01-EE-II-SS-RR-NN: emotion 01–08, intensity 01–02, statement 01–02, repetition, actor"


class Ravdess(Corpus):
    """Acted speech, one trial a clip: `Actor_NN/03-01-EE-II-SS-RR-NN.wav` (or .flac, .ogg, .opus).

    Stream `audio` (1, T), amplitude of full scale ±1, mono (mean of the channels), at the file's own rate (48 kHz in
    the official download). The stimulus is the statement said; neutral has no strong intensity. The repetition
    distinguishes two takes of the same words and is no fact of person or stimulus: it stays in `where`, the file.
    Group fact: sex (odd actors are male).
    """

    name = "ravdess"
    streams = ("audio",)
    ratings: ClassVar = {"emotion": EMOTIONS, "intensity": INTENSITIES}

    def layout(self) -> str:
        return "Actor_01 … Actor_24, each with speech clips 03-01-EE-II-SS-RR-NN.wav"

    def _found(self) -> list[str]:
        actors = [p.name for p in self.root.glob("Actor_*") if re.fullmatch(r"Actor_\d+", p.name)]
        return sorted((a for a in actors if self.files(a)), key=_number)

    def missing(self, found: list[str]) -> list[str]:
        """Actors are numbered from 1 without gaps."""
        there = {_number(a) for a in found}
        return [f"Actor_{n:02d}" for n in range(1, max(there) + 1) if n not in there]

    def files(self, subject: str) -> list[Path]:
        clips = (self.root / subject).glob("03-01-*")
        return sorted(p for p in clips if p.suffix.lower() in SOUND and SPEECH.fullmatch(p.stem))

    def trials(self, subject: str, streams: Sequence[str]) -> Iterator[Trial | UserError]:
        said: set[str] = set()
        for path in self.files(subject):
            match = SPEECH.fullmatch(path.stem)
            assert match is not None  # files() keeps no other
            emotion, intensity, statement, repetition, actor = map(int, match.groups())
            known = emotion in range(1, 9) and intensity in (1, 2) and statement in (1, 2) and repetition > 0
            if not known or actor != _number(subject):
                raise UserError(
                    path, f"codes {path.stem} in {subject}", NAMING, "rename the file, or move it where it belongs"
                )
            if path.stem in said:
                raise UserError(path, "a second file of the same clip", "one file a clip", "keep one of the formats")
            said.add(path.stem)
            yield Trial(
                subject=subject,
                stimulus=STATEMENTS[statement - 1],
                ratings={"emotion": EMOTIONS[emotion - 1], "intensity": INTENSITIES[intensity - 1]},
                streams={"audio": partial(read_sound, path)} if "audio" in streams else {},
                where=str(path),
                group={"sex": "male" if actor % 2 else "female"},
            )


def _number(actor: str) -> int:
    return int(actor.removeprefix("Actor_"))
