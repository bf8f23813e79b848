"""Face Research Lab London Set: photographs of 102 people, neutral and smiling, from the front.

DeBruine & Jones 2017, figshare, doi:10.6084/m9.figshare.5047666.v5 (CC BY 4.0).
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

from affect.errors import UserError
from datamodules.corpora.base import Corpus, Trial
from datamodules.formats.media import STILL, VideoFile
from datamodules.formats.tables import AGAIN, coded, numbers, read_table

EMOTIONS = ("neutral", "happy")
FOLDERS = {"neutral": "neutral_front", "happy": "smiling_front"}


class LondonFaces(Corpus):
    """Two photographs a person, a trial each: `neutral_front/NNN_03.jpg` and `smiling_front/NNN_08.jpg`.

    Facts about the people in `london_faces_info.csv` (face_id, face_age, face_gender, face_eth). Also read: a copy
    with `images/NNN_neutral.jpg`, `images/NNN_happy.jpg` and `metadata.csv` (subject, age, sex, ethnicity).

    Stream `face`: a still, as it lies in the file (1350 × 1350 in the official download). The stimulus is the
    instruction: to look neutral, or to smile. Group facts: age in years (NaN for two who did not say), sex,
    ethnicity; all self-reported.
    """

    name: ClassVar[str] = "london_faces"
    streams: ClassVar[tuple[str, ...]] = ("face",)
    ratings: ClassVar = {"emotion": EMOTIONS}

    def layout(self) -> str:
        return "neutral_front/NNN_03.jpg and smiling_front/NNN_08.jpg of every person, and london_faces_info.csv"

    def _found(self) -> list[str]:
        return sorted((s for s, pictures in self._pictures().items() if len(pictures) == len(EMOTIONS)), key=int)

    def missing(self, found: list[str]) -> list[str]:
        """People in the table without both photographs, and people with one only; numbers may have gaps."""
        return sorted((set(self._people()) | set(self._pictures())) - set(found), key=int)

    def files(self, subject: str) -> list[Path]:
        return [*self._pictures()[subject].values(), self.table]

    def trials(self, subject: str, streams: Sequence[str]) -> Iterator[Trial | UserError]:
        people = self._people()
        if subject not in people:
            raise UserError(self.table, f"no row for {subject}", "one row a person", "add it, or " + AGAIN)
        for emotion, path in self._pictures()[subject].items():
            yield Trial(
                subject=subject,
                stimulus=emotion,
                ratings={"emotion": emotion},
                streams={"face": VideoFile(path)} if "face" in streams else {},
                where=str(path),
                group=people[subject],
            )

    @property
    def table(self) -> Path:
        """The file that lists the people."""
        official = self.root / "london_faces_info.csv"
        return official if official.is_file() else self.root / "metadata.csv"

    def _pictures(self) -> dict[str, dict[str, Path]]:
        """Subject → emotion → photograph."""
        found: dict[str, dict[str, Path]] = {}
        for emotion in EMOTIONS:
            official, copy = (self.root / FOLDERS[emotion]).glob("*_*"), (self.root / "images").glob(f"*_{emotion}.*")
            for path in sorted([*official, *copy]):
                if path.suffix.lower() not in STILL or not (match := re.fullmatch(r"(\d+)_\w+", path.stem)):
                    continue  # a template of landmarks
                if emotion in found.setdefault(match[1], {}):
                    raise UserError(path, f"a second {emotion} picture of {match[1]}", "one", "keep one of them")
                found[match[1]][emotion] = path
        return found

    def _people(self) -> dict[str, dict[str, float | str]]:
        """Subject → age, sex, ethnicity."""
        path, names = self.table, ("subject", "age", "sex", "ethnicity")
        official = ("face_id", "face_age", "face_gender", "face_eth")
        columns = names if path.name == "metadata.csv" else official
        table = read_table(path, columns).rename(columns=dict(zip(columns, names, strict=True)))
        table = table[list(names)].drop_duplicates(ignore_index=True)  # the copy has a row a picture
        if not table["subject"].str.fullmatch(r"\d+").all() or table["subject"].duplicated().any():
            raise UserError(path, f"subjects {list(table['subject'])}", "numbers, each with one set of facts", AGAIN)
        ages = numbers(table, ["age"], path)["age"]
        facts = zip(table["subject"], ages, table["sex"], table["ethnicity"].fillna("unknown"), strict=True)
        codes = {"female": "female", "male": "male"}
        return {s: {"age": float(age), "sex": coded(sex, codes), "ethnicity": str(eth)} for s, age, sex, eth in facts}
