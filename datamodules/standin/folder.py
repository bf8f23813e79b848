"""One place that writes a stand-in corpus: once, atomically, and never mistaken for real data."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from filelock import FileLock

from affect.errors import UserError
from datamodules.fingerprint import digest


def folder_of(root: Path, name: str, settings: Mapping[str, object]) -> Path:
    """Where the stand-in of corpus `name` with these settings lives: `root/<name>-<hash of the settings>`."""
    return root.absolute() / f"{name}-{digest(dict(settings))}"


def write_once(root: Path, name: str, settings: Mapping[str, object], write: Callable[[Path], None]) -> Path:
    """The stand-in's folder, written first if it is not there.

    A folder that exists is complete: files are written beside it and renamed into place in one step. Two processes
    may ask at once (the second waits for the first), and one killed midway leaves only what the next one clears away.

    Args:
        root: folder of all stand-ins.
        name: the corpus.
        settings: what determines the files, of plain JSON types; kept in `standin.json` beside them.
        write: fills the empty folder it is given with the corpus in its official layout.
    """
    folder = folder_of(root, name, settings)
    if folder.is_dir():
        return folder
    part = folder.with_name(f".{folder.name}.part")
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f".{folder.name}.lock")):
            if not folder.is_dir():
                shutil.rmtree(part, ignore_errors=True)
                part.mkdir()
                write(part)
                facts = {"stand_in": True, "corpus": name, **settings}
                (part / "standin.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
                part.rename(folder)
    except OSError as error:
        raise UserError(
            root,
            f"a stand-in could not be written here ({error})",
            "a folder with room that may be written to",
            "free some space, or set --data.corpus.root to another folder",
        ) from error
    return folder
