"""Read a pickle that holds numpy arrays and plain values, and run nothing that stands in it.

DEAP and WESAD are distributed as pickles, and an ordinary unpickler calls whatever function the file names. This one
knows a handful of names, which it maps to constructors of its own; numpy's own are not called either, because an array
state forged by hand can make numpy read memory it does not own.
"""

import mmap
import pickle
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from affect.errors import UserError

_LARGE = 1 << 16  # from here on a byte string is a view into the file, not a copy: array payloads


def load(path: Path) -> Any:
    """The object pickled in `path`: numpy arrays, dicts, lists, tuples, numbers and text.

    Byte strings, which is what Python 2 wrote for text, come back as `str` (Latin-1). Numeric arrays written with
    protocols 0 to 5 by Python 2 or 3 are admitted; where the payload is one byte string (all Python 2 files), the
    array is a read-only memory map of the file and costs no memory until it is touched.

    Raises:
        UserError: the file asks for any other function or class (which is not called), or is cut off or damaged.
    """
    size = 0
    try:
        size = path.stat().st_size
        if not size:
            raise EOFError("the file is empty")
        with path.open("rb") as file:
            return _plain(_NumpyUnpickler(path, _View(file.fileno())).load())
    except UserError:
        raise
    except OSError as error:
        raise UserError(
            path, error.strerror or str(error), "a readable file", "check the path and its permissions"
        ) from None
    except Exception as error:  # a damaged file makes the unpickler raise nearly anything
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

    def readline(self) -> bytes:
        end = self.map.find(b"\n", self.at) + 1
        if not end:
            raise EOFError(f"a line begun at byte {self.at:,} never ends")
        return bytes(self.read(end - self.at))


class _NumpyUnpickler(pickle._Unpickler):  # the C one copies the payload twice; a file of arrays is few opcodes
    def __init__(self, path: Path, view: _View) -> None:
        super().__init__(view, encoding="bytes")  # type: ignore[arg-type]  # a view is as good as bytes
        self.path = path

    def find_class(self, module: str, name: str) -> Any:
        # Made anew at each call: a pickle may set attributes on what it is given, and these must not outlive it.
        known = {
            "numpy.dtype": lambda code, *_: _Dtype(_text(code)),
            "numpy.ndarray": lambda *_: None,  # only ever the first argument of _reconstruct
            "numpy.core.multiarray._reconstruct": lambda *_: _Array(),
            "numpy.core.multiarray.scalar": lambda dtype, raw: np.frombuffer(raw, dtype.numpy())[0].item(),
            "numpy.core.numeric._frombuffer": lambda raw, dtype, shape, order: _Array(raw, dtype, shape, order),
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
class _Array:
    """A pickled array before its payload is interpreted."""

    raw: Any = b""
    dtype: _Dtype = field(default_factory=lambda: _Dtype("u1"))
    shape: tuple[int, ...] = (0,)
    order: str = "C"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        *_, self.shape, self.dtype, fortran, self.raw = state
        self.order = "F" if fortran else "C"

    def numpy(self) -> np.ndarray:
        return np.frombuffer(self.raw, self.dtype.numpy()).reshape(self.shape, order="F" if self.order == "F" else "C")


def _text(value: Any) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else str(value)


def _plain(value: Any) -> Any:
    match value:
        case _Array():
            return value.numpy()
        case bytes():
            return _text(value)
        case memoryview():
            return _text(bytes(value))
        case dict():
            return {_plain(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return type(value)(_plain(item) for item in value)
        case bool() | int() | float() | complex() | str() | None:
            return value
    raise ValueError(f"a {type(value).__name__} is not admitted")
