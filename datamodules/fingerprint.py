"""Fingerprints: the same bytes have the same name wherever they lie, so caches and runs outlive a copied folder."""

import hashlib
import json
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import xxhash

from affect.errors import UserError
from datamodules.atomic import write_text


def digest(value: Any, length: int = 12) -> str:
    """Hash of plain data, `length` hexadecimal digits; order counts, as it does for bands and encoders."""
    return hashlib.sha256(json.dumps(value, separators=(",", ":")).encode()).hexdigest()[:length]


@cache
def code(*parts: str) -> str:
    """One hash for the sources of these files and packages of the project: changed code is not served old results.

    Args:
        parts: paths from the project's root, for example "affect/preprocessing".
    """
    root = Path(__file__).resolve().parent.parent
    files = [
        f for part in parts for f in ([root / part] if part.endswith(".py") else sorted((root / part).rglob("*.py")))
    ]
    return digest([[str(file.relative_to(root)), file.read_text(encoding="utf-8")] for file in files])


PACKAGES = (
    *("numpy", "scipy", "mne", "neurokit2", "soxr", "librosa", "torch", "torchaudio", "timm"),
    *("av", "opencv-python-headless", "opensmile", "scikit-learn", "braindecode", "pytorch-lightning"),
)


@cache
def versions() -> list[str]:
    """Of the packages whose numbers end up in what is prepared and trained."""
    return [f"{name} {_version(name)}" for name in PACKAGES]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


@cache
def foreign(module: str) -> str | None:
    """Hash of the file of a module from outside the project, whose changes `code` does not see; None for our own."""
    if module.split(".")[0] in ("affect", "datamodules", "experiments"):
        return None
    try:  # whether or not it is loaded yet: workers ask earlier than the process that started them
        found = find_spec(module)
    except (ImportError, ValueError):
        return None
    path = Path((found and found.origin) or "")
    return digest(path.read_text(encoding="utf-8")) if path.is_file() else None


def _hash(path: Path) -> str:
    """XXH3-128 of the content: as fast as memory; against accidents, not against forgers."""
    result, block = xxhash.xxh3_128(), bytearray(1 << 18)
    with path.open("rb", buffering=0) as file:
        while size := file.readinto(block):
            result.update(memoryview(block)[:size])
    return result.hexdigest()


class Fingerprints:
    """Content hashes of files, remembered by path, size and modification time in `memo`."""

    def __init__(self, memo: Path) -> None:
        self.memo = memo
        try:
            self._known: dict[str, str] = json.loads(memo.read_text())
        except (OSError, ValueError):
            self._known = {}

    def of(self, files: Iterable[Path], listed: Iterable[Path] = ()) -> str:
        """One hash for the names and contents of `files`, and the names of those that are only `listed`."""
        return digest([[[path.name, self._content(path)] for path in files], [path.name for path in listed]], 32)

    def _content(self, path: Path) -> str:
        try:
            stat = path.stat()
            key = f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}"
            if key not in self._known:
                self._known[key] = _hash(path)
        except OSError as error:
            raise UserError(
                path, f"{error.strerror}", "a readable file", "check the path and its permissions"
            ) from None
        return self._known[key]

    def save(self) -> None:
        """Keep the memo; only a convenience, so the last writer wins."""
        write_text(self.memo, json.dumps(self._known))
