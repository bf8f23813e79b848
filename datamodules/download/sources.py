"""Where corpora come from: licence, citation, addresses, and what their publishers say of each file."""

import json
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from affect.errors import UserError
from datamodules.download.fetch import Item

_TELL = "see the corpus's page; its publisher may have changed it"


class Files(BaseModel):
    """What there is to download.

    Args:
        kind: `files`: the addresses as they are. The publisher's own list otherwise: `zenodo` or `figshare`, the
            record with sizes and MD5; `sha256sums`, a checksum file; `git-tree`, GitHub's list of a folder.
        at: name → address of the files, or the address of the list.
        base: address that names of a `sha256sums` or `git-tree` list are added to.
        into: folder, under that of the corpus, for the files of a list.
        choose: patterns of names on the list; all must be there.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["files", "zenodo", "figshare", "sha256sums", "git-tree"] = "files"
    at: dict[str, str] | str
    base: str = ""
    into: str = ""
    choose: tuple[str, ...] = ("*",)


class Source(BaseModel):
    """One corpus.

    Args:
        title, licence, citation, page: shown before anything is downloaded.
        ask: how to get a corpus that is not open; then there is nothing to download.
        download, disk: GB, about; of the files, and of the finished folder.
        files: what to download.
        keep: what to unpack from archives (see unpack).
        corpus: `name` of the corpus that reads it; the source's own if left out.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    licence: str
    citation: str
    page: str
    ask: str | None = None
    download: float | None = None
    disk: float | None = None
    files: tuple[Files, ...] = ()
    keep: tuple[str, ...] = ()
    corpus: str | None = None


def read_sources(path: Path) -> dict[str, Source]:
    """The table of sources.

    Raises:
        UserError: no such table.
    """
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
        return {str(name): Source.model_validate(entry) for name, entry in dict(tree).items()}
    except (OSError, ValueError, TypeError, ValidationError, yaml.YAMLError) as error:
        raise UserError(path, f"no table of sources ({error})", "name: {title, licence, …}", "correct it") from None


def items(files: Files, text: Callable[[str], str]) -> list[Item]:
    """Every file there is to get.

    Args:
        text: the content at an address.

    Raises:
        UserError: a list that is not what it was, or names that lead out of the folder.
    """
    found = _listed(files, files.at, text) if isinstance(files.at, str) else [Item(*of) for of in files.at.items()]
    for item in found:
        parts = item.name.replace("\\", "/").split("/")
        if ".." in parts or "" in parts or ":" in item.name:
            raise UserError(item.address, f"a file named {item.name!r}", "a name inside the folder", "do not trust it")
        if urlsplit(item.address).scheme not in ("http", "https"):
            raise UserError(item.name, f"the address {item.address!r}", "http or https", "do not trust it")
    return [item._replace(name=f"{files.into}/{item.name}".lstrip("/")) for item in found]


def _listed(files: Files, address: str, text: Callable[[str], str]) -> list[Item]:
    """The chosen files of a publisher's list."""
    try:
        found = list(_LISTS[files.kind](files, text(address)))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(address, f"a list that cannot be read ({error!r})", files.kind, _TELL) from None
    for pattern in files.choose:
        if not any(fnmatchcase(item.name, pattern) for item in found):
            names = [item.name for item in found][:20]
            raise UserError(address, f"no {pattern} among {names}", "the files that were there once", _TELL)
    return [item for item in found if any(fnmatchcase(item.name, pattern) for pattern in files.choose)]


def _zenodo(files: Files, text: str) -> Iterable[Item]:
    for entry in json.loads(text)["files"]:
        algorithm, _, digest = entry["checksum"].partition(":")
        yield Item(entry["key"], entry["links"]["self"], int(entry["size"]), algorithm, digest)


def _figshare(files: Files, text: str) -> Iterable[Item]:
    for entry in json.loads(text)["files"]:
        digest = entry.get("computed_md5") or entry.get("supplied_md5")
        yield Item(entry["name"], entry["download_url"], int(entry["size"]), "md5", digest or None)


def _sha256sums(files: Files, text: str) -> Iterable[Item]:
    for line in filter(str.strip, text.splitlines()):
        digest, name = line.split(maxsplit=1)
        name = name.strip().lstrip("*").removeprefix("./")
        if len(digest) != 64:
            raise ValueError(line)
        yield Item(name, files.base + quote(name), None, "sha256", digest.lower())


def _git_tree(files: Files, text: str) -> Iterable[Item]:
    """Sizes and hashes are left alone: of large files GitHub lists those of their pointers."""
    listed: dict[str, Any] = json.loads(text)
    if listed["truncated"]:
        raise ValueError("a list cut short")
    return [Item(e["path"], files.base + quote(e["path"])) for e in listed["tree"] if e["type"] == "blob"]


_LISTS: dict[str, Callable[[Files, str], Iterable[Item]]] = {
    "zenodo": _zenodo,
    "figshare": _figshare,
    "sha256sums": _sha256sums,
    "git-tree": _git_tree,
}
