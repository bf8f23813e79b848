"""nEMO: nine actors say ninety Polish sentences in six emotional states.

Christop: nEMO: Dataset of Emotional Speech in Polish. LREC-COLING 2024, arXiv:2404.06292 (CC BY-NC-SA 4.0).
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from affect.errors import UserError
from datamodules.corpora.base import Corpus, Trial
from datamodules.formats.media import SOUND, read_sound
from datamodules.formats.tables import AGAIN, coded, numbers, read_table

EMOTIONS = ("anger", "fear", "happiness", "neutral", "sadness", "surprised")
COLUMNS = ("file_id", "emotion", "normalized_text", "speaker_id", "gender", "age")


class Nemo(Corpus):
    """Acted speech, one trial a clip: `samples/SPEAKER_EMOTION_SENTENCE.wav`, each with a row in `data.tsv`.

    Stream `audio` (1, T), amplitude of full scale ±1, mono, at the file's own rate (24 kHz in the official download).
    Clips may be saved in another format: a row's file_id may end in .wav and its file in .opus.
    A trial's stimulus is the sentence, in lower case without punctuation. Not everyone was recorded in every emotion.
    Group facts: sex, age in years.
    """

    name = "nemo"
    streams = ("audio",)
    ratings: ClassVar = {"emotion": EMOTIONS}

    def check(self) -> None:
        super().check()
        if not (self.root / "samples").is_dir():
            raise UserError(
                self.root, "no folder samples", self.layout(), "set --data.corpus.root to the folder above it"
            )

    def layout(self) -> str:
        return f"data.tsv (columns {', '.join(COLUMNS)}) and the clips it names in samples/"

    def _found(self) -> list[str]:
        return sorted(set(self._table()["speaker_id"]))

    def files(self, subject: str) -> list[Path]:
        return [self.root / "data.tsv", *self.files_of(subject, "audio")]

    def files_of(self, subject: str, stream: str) -> list[Path]:
        table, clips = self._table(), self._clips()
        stems = table.loc[table["speaker_id"] == subject, "file_id"].map(_stem)
        return sorted(path for stem in set(stems) for path in clips.get(stem, []))

    def trials(self, subject: str, streams: Sequence[str]) -> Iterator[Trial | UserError]:
        table, clips = self._table(), self._clips()
        table["age"] = numbers(table, ("age",), self.root / "data.tsv")["age"]
        own = table[table["speaker_id"] == subject]
        stems = own["file_id"].map(_stem)
        for (row, facts), twice in zip(own.iterrows(), stems.duplicated(), strict=True):
            where = f"{self.root / 'data.tsv'}, row {int(str(row)) + 2}"
            try:
                yield _trial(facts, where, clips.get(_stem(facts["file_id"]), []), bool(twice), streams)
            except UserError as error:
                yield error

    def _table(self) -> pd.DataFrame:
        path = self.root / "data.tsv"
        table = read_table(path, COLUMNS, self.layout())
        if (nobody := table["speaker_id"].isna()).any():
            row = f"{path}, row {int(nobody.to_numpy().argmax()) + 2}"
            raise UserError(row, "no speaker_id", "a speaker for every clip", "correct the row, or " + AGAIN)
        return table

    def _clips(self) -> dict[str, list[Path]]:
        """Name without ending → its files: one, unless it is there in two formats."""
        clips: dict[str, list[Path]] = {}
        for path in sorted((self.root / "samples").iterdir()):
            if path.suffix.lower() in SOUND:
                clips.setdefault(path.stem, []).append(path)
        return clips


def _trial(facts: "pd.Series[Any]", where: str, paths: list[Path], twice: bool, streams: Sequence[str]) -> Trial:
    if twice:
        raise UserError(where, f"a second row of {facts['file_id']}", "one row a clip", "keep one")
    if not paths:
        raise UserError(where, f"{facts['file_id']}, which is not in samples/", "a clip for every row", AGAIN)
    if len(paths) > 1:
        raise UserError(paths[1], f"a second file of the same clip as {paths[0].name}", "one file a clip", "keep one")
    return Trial(
        subject=facts["speaker_id"],
        stimulus=str(facts["normalized_text"]),
        ratings={"emotion": facts["emotion"]},
        streams={"audio": partial(read_sound, paths[0])} if "audio" in streams else {},
        where=str(paths[0]),
        group={"sex": coded(facts["gender"], {"male": "male", "female": "female"}), "age": facts["age"]},
    )


def _stem(file_id: str) -> str:
    return Path(file_id).stem
