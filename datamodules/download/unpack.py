"""zip and tar archives unpacked: nothing outside the folder, no links, nothing half-written."""

import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, NamedTuple

from affect.errors import UserError
from datamodules.download.fetch import no_room

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_BROKEN = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError),
    *(EOFError, RuntimeError, NotImplementedError, ValueError, OSError),
)


class Member(NamedTuple):
    """A file of an archive: its path under the folder, its bytes, and how to read it."""

    name: str
    size: int
    open: Callable[[], IO[bytes]]


def unpack(archive: Path, folder: Path, keep: Sequence[str] = ()) -> dict[str, int]:
    """Write the archive's files under `folder`, each in one step; path under it → size.

    Args:
        keep: patterns of names; only what is so named, or lies in a folder so named, is written, without what comes
            before it: `Actor_*` writes `x/Actor_01/a.wav` as `Actor_01/a.wav`. None: everything as it is.

    Raises:
        UserError: a damaged archive, too little room, or a path that leaves the folder, a link, a device: then
            nothing at all is written.
    """
    try:
        with _opened(archive) as members:
            chosen = {name: m for m in members if (name := _kept(_safe(archive, m.name), keep)) is not None}
            if not chosen:
                raise UserError(archive, f"nothing named {list(keep)}", "the layout it had", "open it and look inside")
            needed, free = sum(m.size for m in chosen.values()), shutil.disk_usage(folder).free
            if needed > free:
                found, wanted = f"{free / 1e9:.2f} GB free in {folder}", f"{needed / 1e9:.2f} GB, unpacked"
                raise UserError(archive, found, wanted, "make room, and give the same command again")
            for name, member in chosen.items():
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                part = target.with_name(target.name + ".part")
                with member.open() as source, part.open("wb") as file:
                    shutil.copyfileobj(source, file, 1 << 20)
                part.replace(target)
            return {name: member.size for name, member in chosen.items()}
    except _BROKEN as error:
        if isinstance(error, OSError) and error.errno:
            raise no_room(folder, error) from None
        found, remedy = f"an archive that cannot be unpacked ({error})", "delete it, and download it again"
        raise UserError(archive, found, "a whole zip or tar", remedy) from None


@contextmanager
def _opened(archive: Path) -> Iterator[list[Member]]:
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as z:
            entries = [i for i in z.infolist() if not i.is_dir()]
            if links := [i.filename for i in entries if stat.S_ISLNK(i.external_attr >> 16)]:
                raise _unsafe(archive, links[0], "a link")
            yield [Member(i.filename, i.file_size, lambda i=i: z.open(i)) for i in entries]  # type: ignore[misc]
    else:
        with tarfile.open(archive) as t:
            inside = [i for i in t.getmembers() if not i.isdir()]
            while t.fileobj is not None and t.fileobj.read(1 << 20):
                pass  # to the end, where the checksum is
            if odd := [i.name for i in inside if not i.isreg()]:
                raise _unsafe(archive, odd[0], "a link or a device")
            yield [Member(i.name, i.size, lambda i=i: t.extractfile(i)) for i in inside]  # type: ignore[misc, arg-type]


def _safe(archive: Path, name: str) -> tuple[str, ...]:
    """The parts of a member's path, none of which leads out."""
    windows = PureWindowsPath(name)
    if PurePosixPath(name).is_absolute() or windows.drive or windows.root or ".." in windows.parts or not windows.parts:
        raise _unsafe(archive, name, "a path that leaves the folder")
    return windows.parts


def _kept(parts: tuple[str, ...], keep: Sequence[str]) -> str | None:
    if not keep:
        return "/".join(parts)
    first = next((n for n, part in enumerate(parts) if any(fnmatchcase(part, pattern) for pattern in keep)), None)
    return None if first is None else "/".join(parts[first:])


def _unsafe(archive: Path, name: str, what: str) -> UserError:
    return UserError(archive, f"{name!r}: {what}; nothing was unpacked", "plain files", "do not trust this archive")
