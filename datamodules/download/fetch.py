"""One file from one address: taken up where it was cut off, tried again, and known by its checksum."""

import errno
import hashlib
import ssl
import time
from collections.abc import Callable
from email.message import Message
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from affect.errors import UserError

AGENT = "affect-download/1"
BLOCK = 1 << 18  # bytes
TIMEOUT = 60.0  # s of silence
_PASSING = {408, 425, 429, 500, 502, 503, 504}
_AGAIN = "give the same command again: what is there is kept, and it goes on from there"

Progress = Callable[[int], object]


class Item(NamedTuple):
    """A file to get: its name under the folder, where it is, and what its publisher says of it."""

    name: str
    address: str
    size: int | None = None
    algorithm: str = "sha256"
    digest: str | None = None


def fetch(item: Item, part: Path, progress: Progress = lambda n: None, tries: int = 5, wait: float = 1.0) -> None:
    """The file whole in `part`; what is in `part` already is taken to be its beginning.

    Args:
        progress: called with the bytes that came, or, where the server starts anew, minus those that were there.
        tries: how often without a single new byte.
        wait: s before the second try, twice as long before each further one.

    Raises:
        UserError: refused, not there, not a file, no connection, no room.
    """
    part.parent.mkdir(parents=True, exist_ok=True)
    failed = 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        pause = wait * 2**failed
        try:
            if _more(item, part, before, progress):
                return
            reason = "the connection ended early"
        except HTTPError as error:
            if error.code not in _PASSING:
                raise _refused(item, error) from None
            reason, pause = f"HTTP {error.code} {error.reason}", max(pause, _retry_after(error.headers))
        except (URLError, TimeoutError, ConnectionError, HTTPException) as error:
            reason = str(getattr(error, "reason", error)) or type(error).__name__
            if isinstance(getattr(error, "reason", None), ssl.SSLCertVerificationError):
                expected = "a certificate this machine trusts"
                raise UserError(item.address, reason, expected, "set the clock, or SSL_CERT_FILE") from None
        except OSError as error:
            raise no_room(part.parent, error) from None
        failed = 0 if part.exists() and part.stat().st_size > before else failed + 1
        if failed >= tries:
            raise UserError(item.address, f"{reason}, {failed} times", "the file", f"check the network; {_AGAIN}")
        time.sleep(pause)


def _more(item: Item, part: Path, have: int, progress: Progress) -> bool:
    """Append what the server sends; whether the file is whole now."""
    if item.size is not None and have >= item.size:
        if have == item.size:
            return True
        part.unlink()
        progress(-have)
        have = 0
    headers = {"User-Agent": AGENT, "Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
    try:
        answer = urlopen(Request(item.address, headers=headers), timeout=TIMEOUT)
    except HTTPError as error:
        if error.code != 416:
            raise
        whole = (error.headers.get("Content-Range") or "").rpartition("/")[2]
        if whole == str(have):
            return True  # it was whole, but for its name
        part.unlink()
        progress(-have)
        return False
    with answer:
        if answer.headers.get_content_type() == "text/html" and not item.name.endswith(".html"):
            expected, remedy = "the file", "open it in a browser: it may have moved, or ask to be logged in"
            raise UserError(item.address, "a web page", expected, remedy)
        resumed = answer.status == 206 and (answer.headers.get("Content-Range") or "").startswith(f"bytes {have}-")
        if have and not resumed:
            progress(-have)
        length = answer.headers.get("Content-Length")
        whole_size = item.size if length is None else int(length) + have * resumed
        with part.open("ab" if resumed else "wb") as file:
            while block := answer.read(BLOCK):
                file.write(block)
                progress(len(block))
    size = part.stat().st_size
    return whole_size is None or size == whole_size or (item.size is not None and size == item.size)


def _refused(item: Item, error: HTTPError) -> UserError:
    meaning = {
        401: "a login is asked for",
        403: "access is refused: it may be gated, or limit how much may be taken at once",
        404: "nothing is there: it may have moved",
        410: "it was taken away",
    }
    remedy = "open the corpus's page in a browser and look for its new place, or ask for access there"
    found = f"HTTP {error.code} {error.reason}: {meaning.get(error.code, 'it is refused')}"
    return UserError(item.address, found, "the file", remedy)


def _retry_after(headers: Message) -> float:
    after = headers.get("Retry-After") or ""
    return min(float(after), 120.0) if after.isdigit() else 0.0


def no_room(folder: Path, error: OSError) -> UserError:
    """What an error of writing means to the user."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    expected = "room for the corpus" if full else "a folder that may be written to"
    remedy = f"{'make room' if full else 'choose another'}, and {_AGAIN}"
    return UserError(folder, error.strerror or str(error), expected, remedy)


def digests(path: Path, *algorithms: str) -> dict[str, str]:
    """Hexadecimal digests of a file, read once."""
    sums = {name: hashlib.new(name, usedforsecurity=False) for name in algorithms}
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            for each in sums.values():
                each.update(block)
    return {name: each.hexdigest() for name, each in sums.items()}
