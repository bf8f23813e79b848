"""A folder of one's own recordings: `trials.csv` with a row a trial, and a file for each stream of each trial.

docs/own_data.md shows one, with the columns and the kinds of files.
"""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import ClassVar

from affect.batch import Signal, Video
from affect.errors import UserError
from datamodules.corpora.base import Corpus, Source, Trial
from datamodules.corpora.recording import Span, read
from datamodules.corpora.streams_yaml import STREAMS, Facts
from datamodules.corpora.trials_table import TRIALS, Row, Scale, Trials, read_trials


class Folder(Corpus):
    """Recordings of one's own, described by `trials.csv` and, where files do not speak for themselves, `streams.yaml`.

    Streams are the columns `file.NAME`, ratings the columns `rating.NAME`; both are known once the folder is there,
    as is the baseline: the shortest `onset`. Voltages in EDF, BDF and FIF come in µV. A row's stimulus is its
    `stimulus`, or else its `trial`.

    Args:
        root: the folder that holds `trials.csv`; files are named relative to it.
        subjects: read these only; default all.
    """

    name: ClassVar[str] = "folder"

    @cached_property
    def _trials(self) -> Trials:
        return read_trials(self.root)

    @property
    def streams(self) -> tuple[str, ...]:  # type: ignore[override]  # read from the folder
        return self._trials.streams

    @property
    def ratings(self) -> Mapping[str, Scale]:  # type: ignore[override]
        return self._trials.ratings

    @property
    def baseline_seconds(self) -> float:  # type: ignore[override]
        return min(row.onset for row in self._trials.rows)

    def check(self) -> None:
        """Raise if the folder, its tables or most of its files are not as they should be."""
        if not self.root.is_dir():
            found = "not a folder" if self.root.exists() else "no such folder"
            raise UserError(self.root, found, self.layout(), "set --data.corpus.root to the folder of trials.csv")
        if 2 * len(self._missing) > len(self._named):
            raise self._not_there(self.root / TRIALS)

    def layout(self) -> str:
        return f"{TRIALS} with a row a trial, the files it names, and {STREAMS} where they need it (docs/own_data.md)"

    def _found(self) -> list[str]:
        return sorted({row.subject for row in self._trials.rows}, key=_natural)

    def files(self, subject: str) -> list[Path]:
        return list(dict.fromkeys(path for stream in self.streams for path in self.files_of(subject, stream)))

    def files_of(self, subject: str, stream: str) -> list[Path]:
        tables = [path for path in (self.root / TRIALS, self.root / STREAMS) if path.is_file()]
        spans = [row.files[stream] for row in self._rows(subject) if stream in row.files]
        return [*tables, *dict.fromkeys(span.path for span in spans if span.path not in self._missing)]

    def trials(self, subject: str, streams: Sequence[str]) -> Iterator[Trial | UserError]:
        for row in self._rows(subject):
            yield Trial(
                subject=row.subject,
                session=row.session,
                stimulus=row.stimulus,
                ratings=row.ratings,
                streams={name: self._source(row, name) for name in streams if name in row.files},
                where=f"{self.root / TRIALS}, row {row.number}",
                onset=row.onset,
                group=row.group,
            )

    def _rows(self, subject: str) -> list[Row]:
        return [row for row in self._trials.rows if row.subject == subject]

    def _source(self, row: Row, stream: str) -> Source:
        span = row.files[stream]
        if span.path in self._missing:
            return partial(_refuse, self._not_there(f"{self.root / TRIALS}, row {row.number}, file.{stream}", span))
        return partial(_read, span, stream, self._trials.facts.get(stream, Facts()), row.onset)

    @cached_property
    def _named(self) -> dict[Path, None]:
        """All files, in the order of the rows."""
        return dict.fromkeys(span.path for row in self._trials.rows for span in row.files.values())

    @cached_property
    def _missing(self) -> dict[Path, None]:
        """Those that are not there."""
        return {path: None for path in self._named if not path.is_file()}

    def _not_there(self, where: str | Path, span: Span | None = None) -> UserError:
        """How many files are missing, the first of them, and what the one in question may have been."""
        names = [str(path.relative_to(self.root)) for path in self._missing]
        found = f"{len(names)} of the {len(self._named)} files named in {TRIALS} not there: {', '.join(names[:3])}"
        remedy = f"add them, or correct the names (they are relative to {self.root})"
        if span is not None:
            found = f"no file {span.path.relative_to(self.root)}; {found}"
            folder = span.path.parent
            beside = [p.name for p in folder.iterdir() if p not in self._named] if folder.is_dir() else []
            if close := difflib.get_close_matches(span.path.name, beside, 1):
                remedy = f"did you mean {close[0]}? Else leave the cell empty: not recorded"
        return UserError(where, found, "every file that is named", remedy)


def _read(span: Span, stream: str, facts: Facts, onset: float) -> Signal | Video:
    try:
        source = read(span, stream, facts)
    except UserError as error:
        remedy = "export the file again, or see --data.bad_trials" if "download" in error.remedy else error.remedy
        raise UserError(error.where, error.found, error.expected, remedy) from None
    if onset and source.seconds <= onset:
        expected = f"more than its baseline, onset {onset:g} s"
        raise UserError(span.path, f"{source.seconds:g} s of {stream}", expected, "correct onset, start or stop")
    return source


def _refuse(error: UserError) -> Signal:
    raise error


def _natural(name: str) -> list[tuple[int, int, str]]:
    """S2 before S10."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", name)]
