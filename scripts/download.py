"""Download a corpus from its publisher: licence and citation first, then its files, checked and unpacked.

uv run python scripts/download.py --list
uv run python scripts/download.py ravdess ~/data/ravdess
uv run python scripts/download.py ravdess-video ~/data/ravdess --only "*_Actor_0[1-4].zip"
"""

import argparse
import difflib
import shutil
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import shorten

from filelock import FileLock, Timeout
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from affect.errors import UserError
from datamodules import corpora
from datamodules.corpora.base import Corpus
from datamodules.download.fetch import Item, Progress, digests, fetch, no_room
from datamodules.download.sources import Source, items, read_sources
from datamodules.download.unpack import ARCHIVES, unpack

AT_ONCE = 4  # files at a time
SUMS = "CHECKSUMS.txt"

How = tuple[int, float]  # tries, and seconds before the second


class Checksums:
    """SHA-256 of every file that came, as `sha256sum` writes them: what came once must come again."""

    def __init__(self, root: Path) -> None:
        self.path, self.lock = root / SUMS, threading.Lock()
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.is_file() else []
        self.known = {name: digest for digest, name in (line.split("  ", 1) for line in lines if "  " in line)}

    def check(self, item: Item, file: Path, new: bool) -> None:
        """Compare with what the publisher says and with what came before; a new file that differs is set aside."""
        found = digests(file, "sha256", item.algorithm)
        for algorithm, expected, by in (
            (item.algorithm, item.digest, "as published"),
            ("sha256", self.known.get(item.name), f"as the first time, by {SUMS}"),
        ):
            if expected is None or found[algorithm] == expected:
                continue
            what, wanted = f"{algorithm} {found[algorithm]}", f"{expected}, {by}"
            if not new:
                raise UserError(file, what, wanted, "move it away, and give the same command again")
            aside = file.replace(file.with_name(f"{Path(item.name).name}.mismatch"))
            remedy = "give the same command again; if it stays so, it was changed at its source: see the corpus's page"
            raise UserError(item.address, f"{what}; what came is kept as {aside}", wanted, remedy)
        with self.lock:
            if self.known.get(item.name) != found["sha256"]:
                self.known[item.name] = found["sha256"]
                with self.path.open("a", encoding="utf-8") as sums:
                    sums.write(f"{found['sha256']}  {item.name}\n")


def get(item: Item, root: Path, keep: Sequence[str], sums: Checksums, progress: Progress, how: How) -> None:
    """One file, checked, and unpacked if it is an archive; nothing if all of it is there already."""
    archive = item.name.endswith(ARCHIVES)
    file = root / ".download" / item.name if archive else root / item.name
    done = file.with_name(f"{file.name}.done")  # what was unpacked of an archive, which is deleted then
    if archive and done.is_file() and _all_there(root, done):
        progress(item.size or 0)
        return
    if file.is_file():
        sums.check(item, file, new=False)
        progress(file.stat().st_size)
    else:
        part = file.with_name(f"{file.name}.part")
        progress(part.stat().st_size if part.exists() else 0)
        fetch(item, part, progress, *how)
        with part.open("rb") as opened:
            pointer = opened.read(40).startswith(b"version https://git-lfs")
        if pointer:
            part.unlink()
            raise UserError(item.address, "a pointer of Git LFS", "the file it points to", "see the corpus's page")
        sums.check(item, part, new=True)
        part.replace(file)
    if archive:
        found = unpack(file, root, keep)
        done.write_text("".join(f"{size} {name}\n" for name, size in found.items()), encoding="utf-8")
        file.unlink()


def _all_there(root: Path, done: Path) -> bool:
    listed = [line.split(" ", 1) for line in done.read_text(encoding="utf-8").splitlines()]
    return all((root / name).is_file() and (root / name).stat().st_size == int(size) for size, name in listed)


def download(source: Source, root: Path, wanted: Sequence[Item], how: How) -> None:
    """All files: several at a time, archives one after the other."""
    sizes = [item.size for item in wanted]
    total = None if None in sizes else sum(size or 0 for size in sizes)
    try:
        (root / ".download").mkdir(parents=True, exist_ok=True)
        with (
            FileLock(root / ".download" / "lock", timeout=0),
            tqdm(total=total, unit="B", unit_scale=True, unit_divisor=1000, desc=root.name) as bar,
        ):
            one = partial(get, root=root, keep=source.keep, sums=Checksums(root), progress=bar.update, how=how)
            pool = ThreadPoolExecutor(AT_ONCE)
            try:
                list(pool.map(one, [item for item in wanted if not item.name.endswith(ARCHIVES)]))
            finally:
                pool.shutdown(cancel_futures=True)
            for item in (item for item in wanted if item.name.endswith(ARCHIVES)):
                one(item)
    except Timeout:
        raise UserError(root, "another download into it is under way", "one at a time", "wait for it") from None
    except OSError as error:
        raise no_room(root, error) from None


def list_items(source: Source, only: str, how: How) -> list[Item]:
    """What there is to download, by the publishers' lists."""

    def text(address: str) -> str:
        with TemporaryDirectory() as folder:
            fetch(Item("list", address), part := Path(folder) / "list", lambda n: None, *how)
            return part.read_text(encoding="utf-8")

    found = [item for files in source.files for item in items(files, text)]
    chosen = [item for item in found if fnmatchcase(item.name, only)]
    if not chosen:
        names = [item.name for item in found][:30]
        raise UserError("--only", only, f"a pattern of some of {names}", "correct it")
    return chosen


def check_room(source: Source, root: Path, wanted: Sequence[Item]) -> None:
    """Refuse before the first byte what would not fit."""
    there = next(p for p in (root, *root.absolute().parents) if p.exists())
    if not there.is_dir():
        raise UserError(there, "not a folder", "a folder to download into", "give another one")
    files = sum(item.size or 0 for item in wanted) or 1e9 * (source.download or 0)
    grows = source.disk / source.download if source.disk and source.download else 1.0
    archives = [item.size or 0 for item in wanted if item.name.endswith(ARCHIVES)]  # one at a time beside its files
    needed = files * grows + ((max(archives) or files) if archives else 0)
    if (free := shutil.disk_usage(there).free) < needed:
        found, wish = f"{free / 1e9:.1f} GB free", f"{needed / 1e9:.1f} GB for the files and what is in them"
        raise UserError(there, found, wish, "make room, or give a folder on another disk")


def reader(name: str) -> type[Corpus] | None:
    """The class that reads the corpus."""
    classes = [c for c in vars(corpora).values() if isinstance(c, type) and issubclass(c, Corpus)]
    return next((c for c in classes if getattr(c, "name", None) == name), None)


def describe(source: Source) -> str:
    """What somebody must know before they take it."""
    size = "unknown" if source.download is None else f"about {source.download:g} GB"
    size += "" if source.disk is None else f", {source.disk:g} GB on disk in the end"
    last = {"how": source.ask} if source.ask else {"size": size}
    facts = {"licence": source.licence, "cite": source.citation, "page": source.page, **last}
    return "\n".join([source.title, *(f"  {key + ':':9} {text}" for key, text in facts.items())])


def run(arguments: argparse.Namespace) -> int:
    """The script, its errors raised."""
    sources = read_sources(arguments.sources)
    if arguments.list or arguments.corpus is None:
        for name, source in sources.items():
            licence = "on request" if source.ask else shorten(source.licence, 28, placeholder=" …")
            print(f"{name:15} {licence:28} {source.title}")
        return 0
    asked = arguments.corpus.lower().replace("-", "_")
    known = {name.replace("-", "_"): name for name in sources}
    if asked not in known:
        close = [known[c] for c in difflib.get_close_matches(asked, known, 1)]
        remedy = f"did you mean {close[0]}?" if close else "see --list"
        raise UserError(arguments.corpus, "no such corpus", f"one of {', '.join(sources)}", remedy)
    name, source = known[asked], sources[known[asked]]
    cls, how = reader(source.corpus or name), (arguments.tries, arguments.wait)
    print(describe(source))
    if source.ask:
        print(f"  layout:   {cls('.').layout() if cls else 'its own'}")
        print("Put it into a folder in this layout, and read it with --data.corpus.root FOLDER")
        return 2
    if arguments.root is None:
        raise UserError("root", "no folder", f"download.py {name} FOLDER", "say where to put it")
    root = arguments.root.expanduser()
    wanted = list_items(source, arguments.only, how)
    check_room(source, root, wanted)
    print(f"  files:    {len(wanted)}, into {root}")
    if not arguments.yes and not _agreed():
        return 2
    download(source, root, wanted, how)
    print(f"{root}: complete")
    if cls is not None:
        _read_by(cls(str(root)))
    return 0


def _agreed() -> bool:
    if not sys.stdin.isatty():
        raise UserError("--yes", "nobody to ask", "consent to the licence above", "add --yes")
    return input("Do you accept the licence, and download it? [y/N] ").strip().lower() in ("y", "yes")


def _read_by(corpus: Corpus) -> None:
    """What the corpus's reader makes of the folder."""
    try:
        corpus.check()
        print(f"{len(corpus.subjects())} people; read it with --data.corpus.root {corpus.root}")
    except UserError as error:
        print(f"note: {type(corpus).__name__} cannot read it yet: {error}")


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, run, say what went wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", nargs="?", help="its name; see --list")
    parser.add_argument("root", nargs="?", type=Path, help="the folder it is put into")
    parser.add_argument("--list", action="store_true", help="show the corpora there are, and leave")
    parser.add_argument("--yes", action="store_true", help="accept the licence without being asked")
    parser.add_argument("--only", default="*", help="a pattern of the files to download")
    sources = Path(__file__).resolve().with_name("sources.yaml")
    parser.add_argument("--sources", type=Path, default=sources, help="another table of sources")
    parser.add_argument("--tries", type=int, default=5, help="how often, without a new byte, before giving up")
    parser.add_argument("--wait", type=float, default=1.0, help="seconds before the second try, then twice as long")
    try:
        return run(parser.parse_args(argv))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; what is there is kept: the same command goes on", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
