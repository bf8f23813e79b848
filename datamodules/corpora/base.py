"""The contract of a corpus: a dataset in its official layout on disk, read trial by trial."""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from affect.batch import Signal, Video
from affect.errors import UserError

Source = Signal | Video | Callable[[], Signal | Video]
"""A stream of a trial: at hand, decoded frame by frame, or read when called (so that a broken file costs its stream
alone)."""


@dataclass(frozen=True)
class Trial:
    """One continuous recording of one person with one set of ratings.

    Args:
        subject, session, stimulus: who, which visit, what evoked it.
        ratings: rating name → native value (number, or name of a class; NaN when the person gave none).
        streams: stream name → where its signal comes from; a stream that was not recorded is absent. A stream named
            `annotation` holds ratings given over time, one channel a rating.
        onset: seconds of baseline before the stimulus starts.
        group: facts about the person (age, sex …) where the corpus has them.
        where: file and place in it, for error messages.
    """

    subject: str
    stimulus: str
    ratings: Mapping[str, float | str]
    streams: Mapping[str, Source]
    where: str
    session: str = "1"
    onset: float = 0.0
    group: Mapping[str, float | str] = field(default_factory=dict)


Scale = tuple[float, float] | tuple[str, ...]
"""(lowest, highest) of a numeric rating, or the names of its classes."""


@dataclass(frozen=True)
class CorpusFacts:
    """What can be asked of a corpus, ratings on the experiment's scale."""

    name: str
    streams: tuple[str, ...]
    ratings: Mapping[str, Scale]


def placed(root: str) -> Path:
    """The folder `root`; of one in `data/`, the environment may say where `data` is: AFFECT_DATA. Is it only here,
    this is the one."""
    path, data = Path(root).expanduser(), os.environ.get("AFFECT_DATA")
    if not data or path.parts[:1] != ("data",):
        return path
    there = Path(data).expanduser().joinpath(*path.parts[1:])
    return path if path.exists() and not there.exists() else there


class Corpus(ABC):
    """A dataset in its official layout. To add one: subclass this in one file and write its stand-in.

    Args:
        root: folder of the official download; `data/…` is looked for in the folder that AFFECT_DATA names, if it does,
            then here.
        subjects: read these only; default all found. Naming them also says that gaps are meant.
    """

    name: ClassVar[str]
    streams: ClassVar[tuple[str, ...]]
    ratings: ClassVar[Mapping[str, Scale]]
    """Rating → (lowest, highest) of its scale, or the names of its classes."""
    baseline_seconds: ClassVar[float] = 0.0

    def __init__(self, root: str, subjects: Sequence[str] | None = None) -> None:
        self.root = placed(root)
        self.chosen = None if subjects is None else list(subjects)

    def ensure(self) -> None:
        """Called once before anything is read. Stand-ins write their files here."""
        self.check()

    def check(self) -> None:
        """Raise if `root` cannot be the corpus; looks at the folder only."""
        if not self.root.is_dir():
            raise UserError(
                self.root,
                "no such folder" if not self.root.exists() else "not a folder",
                f"the folder of the official {self.name} download",
                "set --data.corpus.root to it, or AFFECT_DATA to the folder that holds it",
            )

    def subjects(self) -> list[str]:
        """The people to read, in order; checks that nobody is missing in the middle."""
        found = self._found()
        if not found:
            raise UserError(
                self.root, f"no {self.name} recording", self.layout(), "point --data.corpus.root at the official folder"
            )
        if self.chosen is None:
            if gaps := self.missing(found):
                raise UserError(
                    self.root,
                    f"no recording of {gaps}, though others up to {found[-1]} are there",
                    f"every subject: {self.layout()}",
                    f"download the missing files, or name those to read: --data.corpus.subjects='{found}'",
                )
            return found
        unknown = [s for s in self.chosen if s not in found]
        if unknown:
            raise UserError(
                "data.corpus.subjects", f"{unknown}", f"some of {found}", f"correct the list, or look in {self.root}"
            )
        return [s for s in found if s in set(self.chosen)]

    @abstractmethod
    def layout(self) -> str:
        """What the official folder holds, in one line, for error messages."""

    @abstractmethod
    def _found(self) -> list[str]:
        """Subjects with files under `root`, in numeric order."""

    def missing(self, found: list[str]) -> list[str]:
        """Subjects that should be there beside those found; a corpus that numbers or lists its people says how."""
        return []

    @abstractmethod
    def files(self, subject: str) -> list[Path]:
        """The files that say which trials a subject has, with which ratings; the cache is keyed by their content, and
        by the mere names of sounds, films and pictures among them."""

    def files_of(self, subject: str, stream: str) -> list[Path]:
        """The files one stream is read from; fewer, or others, than `files` where streams lie in files of their own."""
        return self.files(subject)

    @abstractmethod
    def trials(self, subject: str, streams: Sequence[str]) -> Iterator[Trial | UserError]:
        """The subject's trials, read lazily, with the asked streams only; the same trials, in the same order, whatever
        streams are asked for.

        A trial that cannot be read is yielded as its error: whoever asked decides whether to go on without it. What
        spoils the whole person is raised.
        """

    def facts(self, scale: tuple[float, float] | None = None) -> CorpusFacts:
        """What can be asked of it, numeric ratings mapped to `scale` if one is given."""
        ratings = {n: own if scale is None or isinstance(own[0], str) else scale for n, own in self.ratings.items()}
        return CorpusFacts(self.name, tuple(self.streams), ratings)

    def settings(self) -> dict[str, Any]:
        """What beside the files decides what is read, as plain data: part of the cache's key."""
        return {}
