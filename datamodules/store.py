"""An append-only file of arrays and its journal: what a preparation leaves of one stream under one recipe.

`data.bin` holds the people's arrays one after the other; `people/<person>-<content>.json` says where one person's lie
and commits them, so that what an interrupted preparation left behind is overwritten. A person whose files change gets
a new entry; everybody else's stays.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from affect.errors import SetupError
from datamodules.atomic import disk_space, write_text
from datamodules.fingerprint import digest

Facts = dict[str, Any]


class Store:
    """Arrays of many people in one file. Writing is for whoever holds the corpus's lock.

    Args:
        folder: of the store.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data.bin"
        self._end: int | None = None
        self._committed = 0

    @property
    def name(self) -> str:
        """Of the store among all of its corpus."""
        return str(self.folder)

    def entry(self, person: str, content: str) -> Facts | None:
        """What was committed of a person's files of this content: `start` and `size` in bytes, and the facts given."""
        try:
            facts: Facts = json.loads(self._path(person, content).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return facts

    @property
    def end(self) -> int:
        """Bytes that are committed, rounded up so that what follows is aligned for any kind of number."""
        if self._end is None:
            entries = (json.loads(p.read_text(encoding="utf-8")) for p in (self.folder / "people").glob("*.json"))
            committed = max((int(e["start"]) + int(e["size"]) for e in entries), default=0)
            self._committed = committed
            self.holds()
            self._end = _aligned(committed)
        return self._end

    @property
    def committed(self) -> int:
        """Bytes that are committed."""
        return self._committed if self.end >= 0 else 0

    def holds(self) -> None:
        """Raise if the file is shorter than what was committed: a copy in part, or a crash of the machine."""
        there = self.data.stat().st_size if self.data.exists() else 0
        if there < self._committed:
            expected = f"{self._committed} or more, as the journal says"
            raise SetupError(self.data, f"{there} bytes", expected, f"delete the folder {self.folder}")

    @contextmanager
    def tail(self) -> Iterator[BinaryIO]:
        """The file, open for writing at its committed end."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with disk_space(self.folder), self.data.open("ab") as file:
            if file.tell() != self.end:
                file.truncate(self.end)  # what an interrupted person left behind
                file.seek(0, 2)
            yield file

    def adopt(self, part: Path) -> None:
        """Move the bytes of a file of another process to the end; `commit` makes them count."""
        with self.tail() as file, part.open("rb") as source:
            shutil.copyfileobj(source, file, 1 << 22)
        part.unlink()

    def commit(self, person: str, content: str, size: int, facts: Facts) -> None:
        """Make the last `size` bytes written the person's."""
        assert not size or self.data.stat().st_size == self.end + size
        write_text(self._path(person, content), json.dumps({"start": self.end, "size": size, **facts}))
        self._committed = self.end + size
        self._end = _aligned(self._committed)

    def _path(self, person: str, content: str) -> Path:
        return self.folder / "people" / f"{file_name(person)}-{content[:16]}.json"

    def bytes_on_disk(self) -> int:
        """Size of everything in the folder."""
        return sum(p.stat().st_size for p in self.folder.rglob("*") if p.is_file()) if self.folder.is_dir() else 0


def file_name(person: str) -> str:
    """A name for files of a person, on any file system; another one for every person, however long the names."""
    plain = quote(person, safe=" ")
    return plain if len(plain) <= 100 else f"{plain[:80]}-{digest(person)}"


def _aligned(size: int) -> int:
    return -(-size // 8) * 8


@dataclass(frozen=True)
class StreamStore:
    """Where one stream of an experiment lies: its signal, and the features of its windows."""

    raw: Store
    features: Store | None


@dataclass(frozen=True)
class Stores:
    """Where a corpus's trials and streams lie."""

    trials: Store
    streams: dict[str, StreamStore] = field(default_factory=dict)

    def all(self) -> list[Store]:
        """Every store, each once."""
        found = {s.name: s for stream in self.streams.values() for s in (stream.raw, stream.features) if s}
        return [self.trials, *found.values()]
