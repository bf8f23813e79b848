"""Read a pickle that holds numpy arrays and plain values, and run nothing that stands in it.

DEAP and WESAD are distributed as pickles, and an ordinary unpickler calls whatever function the file names. This one
knows a handful of names, which it maps to constructors of its own; numpy's own are not called either, because an array
state forged by hand can make numpy read memory it does not own.
"""

import codecs
import math
import mmap
import pickle
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from affect.errors import UserError

_LARGE = 1 << 16  # from here on a byte string is a view into the file, not a copy: array payloads


def load(path: Path) -> Any:
    """The object pickled in `path`: dicts, lists, tuples, numbers, text, and numpy arrays as `StoredArray`.

    Byte strings, which is what Python 2 wrote for text, come back as `str` (Latin-1). Numeric arrays written with
    protocols 0 to 5 by Python 2 or 3 are admitted. Their numbers stay in the file until they are asked for.

    Raises:
        UserError: the file asks for any other function or class (which is not called), or is cut off or damaged.
    """
    try:
        size = path.stat().st_size
        with _told(path, size):
            if not size:
                raise EOFError("the file is empty")
            with path.open("rb") as file:
                return _plain(_NumpyUnpickler(path, _View(file.fileno())).load())
    except OSError as error:
        raise UserError(
            path, error.strerror or str(error), "a readable file", "check the path and its permissions"
        ) from None


@contextmanager
def _told(path: Path, size: int) -> Iterator[None]:
    """What a damaged file makes the unpickler and numpy raise, which is nearly anything, as a UserError."""
    try:
        yield
    except (UserError, OSError):
        raise
    except Exception as error:
        raise UserError(
            path,
            f"{size:,} bytes that cannot be read to the end ({type(error).__name__}: {error})",
            "a whole pickle of numpy arrays",
            "the download was cut off or damaged: download the file again",
        ) from error


class _View:
    """A file for the unpickler, whose large reads are views into the memory-mapped file."""

    def __init__(self, descriptor: int) -> None:
        self.map = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
        self.whole = memoryview(self.map)
        self.at = 0

    def read(self, count: int) -> bytes | memoryview:
        piece = self.whole[self.at : self.at + count]
        if len(piece) < count:
            raise EOFError(f"{count:,} more bytes were announced at byte {self.at:,}, {len(piece):,} are left")
        self.at += count
        return piece if count >= _LARGE else bytes(piece)

    def readline(self) -> bytes | memoryview:
        end = self.map.find(b"\n", self.at) + 1
        if not end:
            raise EOFError(f"a line begun at byte {self.at:,} never ends")
        return self.read(end - self.at)


class _NumpyUnpickler(pickle._Unpickler):  # the C one copies the payload twice; a file of arrays is few opcodes
    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)

    def __init__(self, path: Path, view: _View) -> None:
        super().__init__(view, encoding="bytes")  # type: ignore[arg-type]  # a view is as good as bytes
        self.path, self.size = path, len(view.whole)

    def load_string(self) -> None:
        """A byte string of protocol 0: a quoted line in which most bytes of an array are escaped as \\xNN."""
        line = self.readline()  # type: ignore[attr-defined]
        if len(line) < 3 or line[0] != line[-2] or line[0] not in b"\"'":
            raise pickle.UnpicklingError("a string without quotes")
        quoted = _Escaped(line[1:-2])
        self.append(quoted if len(line) >= _LARGE else quoted.decode())  # type: ignore[attr-defined]

    dispatch[pickle.STRING[0]] = load_string

    def find_class(self, module: str, name: str) -> Any:
        # Made anew at each call: a pickle may set attributes on what it is given, and these must not outlive it.
        known = {
            "numpy.dtype": lambda code, *_: _Dtype(_text(code)),
            "numpy.ndarray": lambda *_: None,  # only ever the first argument of _reconstruct
            "numpy.core.multiarray._reconstruct": lambda *_: StoredArray(self.path, self.size),
            "numpy.core.multiarray.scalar": lambda dtype, raw: np.frombuffer(raw, dtype.numpy())[0].item(),
            "numpy.core.numeric._frombuffer": lambda *state: StoredArray(self.path, self.size, *state),
            "_codecs.encode": lambda text, *_: text.encode("latin1"),  # how Python 3 writes bytes in protocol 2
        }
        asked = f"{module}.{name}"
        maker = known.get(asked.replace("numpy._core.", "numpy.core.", 1))
        if maker is None:
            raise UserError(
                self.path,
                f"a pickle that asks for {asked!r}; nothing in it was run",
                "numpy arrays, dicts, lists, numbers and text only",
                "do not open it with pickle; download the file again from the corpus's own site",
            )
        return maker


@dataclass
class _Escaped:
    """A large byte string in the spelling of a Python 2 source."""

    line: bytes | memoryview

    def decode(self) -> bytes:
        return codecs.escape_decode(self.line)[0]


@dataclass
class _Dtype:
    """What a pickled numpy.dtype says about itself: plain numbers, truth values and strings are believed."""

    code: str
    order: str = "|"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, order, *structure = state
        if any(part is not None for part in structure[:3]):
            raise ValueError("structured arrays are not admitted")
        self.order = _text(order)

    def numpy(self) -> np.dtype[Any]:
        if not re.fullmatch(r"[biufcSU]\d{1,9}", self.code):
            raise ValueError(f"arrays of type {self.code!r} are not admitted")
        return np.dtype(self.order + self.code)


@dataclass
class StoredArray:
    """An array whose type and shape are known and whose numbers are still in the file.

    Args:
        path, size: the file, and its bytes when it was opened.
        raw: the payload: bytes, a view into the memory-mapped file, or its escaped spelling there.
        kind, shape, order: what the payload is.
    """

    path: Path
    size: int
    raw: Any = b""
    kind: _Dtype = field(default_factory=lambda: _Dtype("u1"))
    shape: tuple[int, ...] = (0,)
    order: str = "C"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        *_, self.shape, self.kind, fortran, self.raw = state
        self.order = "F" if fortran else "C"

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.kind.numpy()

    def check(self) -> None:
        """Refuse a payload that is not of the announced type and shape, as far as this shows without reading it."""
        if not all(isinstance(length, int) and length >= 0 for length in self.shape):
            raise ValueError(f"an array of shape {self.shape}")
        announced = math.prod(self.shape) * self.dtype.itemsize
        held = len(self.raw.line) if isinstance(self.raw, _Escaped) else len(self.raw)
        if held < announced if isinstance(self.raw, _Escaped) else held != announced:
            raise ValueError(f"{held:,} bytes for an array of {announced:,}")

    def numpy(self) -> np.ndarray:
        """The array, read-only.

        Where its bytes stand in the file as they are (protocols 1 to 5), it is a memory map that costs no memory
        until it is touched. Protocol 0 escapes them, and they are decoded, once, when first asked for.

        Raises:
            UserError: the payload does not make such an array, or the file has changed since it was opened.
        """
        with _told(self.path, self.size):
            if self.path.stat().st_size != self.size:  # touching what was cut off would end the process
                raise EOFError("the file has changed since it was opened")
            if isinstance(self.raw, _Escaped):
                self.raw = self.raw.decode()
            array = np.frombuffer(self.raw, self.dtype).reshape(self.shape, order="F" if self.order == "F" else "C")
            array.flags.writeable = False
            return array


def describe(value: Any) -> str:
    """What was found instead of an array, for messages."""
    if isinstance(value, StoredArray):
        return f"{value.dtype} of shape {value.shape}"
    return "missing" if value is None else f"a {type(value).__name__}"


def _text(value: Any) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else str(value)


def _plain(value: Any) -> Any:
    match value:
        case StoredArray():
            value.check()
            return value
        case bytes():
            return _text(value)
        case memoryview():
            return _text(bytes(value))
        case _Escaped():
            return _text(value.decode())
        case dict():
            return {_plain(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return type(value)(_plain(item) for item in value)
        case bool() | int() | float() | complex() | str() | None:
            return value
    raise ValueError(f"a {type(value).__name__} is not admitted")
