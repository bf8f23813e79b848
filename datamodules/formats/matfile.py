"""Read variables of a MATLAB file, or parts of them: format 5 (`save -v6`, `-v7`) and 7.3 (HDF5), both to plain numpy.

scipy reads whole variables of format 5 and h5py knows nothing of MATLAB's cells, structs and texts. DREAMER is one
variable of 2 GB; here whatever is not wanted is passed over, so one person costs the memory of one person. Nothing in
a file is executed: objects, functions and tables are refused.

Format 5 is described in The MathWorks' "MAT-File Format".
"""

import io
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

import numpy as np

from affect.errors import UserError
from datamodules.formats.tables import AGAIN

At = tuple[str | int, ...]
"""A place: variable, then names of struct fields and numbers of cells (from 0, down the columns)."""
Wanted = Callable[[At], bool]
Order = Literal["<", ">"]

_BLOCK = 1 << 18
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_TEXTS = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
_MATRIX, _COMPRESSED = 14, 15
_CELL, _STRUCT, _CHAR = 1, 2, 4
_NUMBERS = {
    **{6: "double", 7: "single", 8: "int8", 9: "uint8", 10: "int16", 11: "uint16", 12: "int32", 13: "uint32"},
    **{14: "int64", 15: "uint64"},
}
_OTHERS = {3: "object", 5: "sparse matrix", 16: "function", 17: "object"}
_LOGICAL, _COMPLEX = 0x200, 0x800


def read_mat(path: Path, names: Sequence[str], wanted: Wanted = lambda at: True) -> dict[str, Any]:
    """The variables `names`: numbers as arrays of at least two axes and MATLAB's own type, text as str, a struct as a
    dict, a cell array as an object array of these; None in place of a field or cell that is not wanted.

    Args:
        wanted: asked for every field and cell on the way, for example at ("DREAMER", "Data", 3).

    Raises:
        UserError: no MATLAB file, one that is cut off or damaged, without these variables, or with something in them
            that is none of the above.
    """
    expected, size = "a whole MATLAB file of version 5 to 7.3", 0
    try:
        with path.open("rb") as file:
            head = file.read(128)
            size = path.stat().st_size
            if head[124:] in (b"\0\2IM", b"\2\0MI") or head[:8] == b"\x89HDF\r\n\x1a\n":
                there, found = _hdf5(path, names, wanted)
            elif head[124:] in (b"\0\1IM", b"\1\0MI"):
                there, found = _level5(file, size, names, wanted)
            else:
                raise UserError(path, f"no MATLAB file: it starts with {head[:24]!r}", expected, AGAIN)
    except UserError:
        raise
    except Exception as error:  # a damaged file makes zlib, HDF5 and numpy raise nearly anything
        what = f"{size:,} bytes that cannot be read ({type(error).__name__}: {error})" if size else str(error)
        raise UserError(path, what, expected, AGAIN) from error
    if absent := [name for name in names if name not in found]:
        raise UserError(path, f"no variable {absent} among {there[:20]}", f"the variables {list(names)}", AGAIN)
    return found


def _level5(file: BinaryIO, size: int, names: Sequence[str], wanted: Wanted) -> tuple[list[str], dict[str, Any]]:
    """Names of all variables, and the content of some, of a file behind its header."""
    file.seek(126)
    order: Order = "<" if file.read(2) == b"IM" else ">"
    there: list[str] = []
    found: dict[str, Any] = {}
    while (start := file.tell()) < size:
        elements = _Elements(file, order, left=size - start)
        kind, length = elements.tag()
        end = start + 8 + length
        if end > size:
            raise EOFError(f"{end:,} bytes are announced")
        if packed := kind == _COMPRESSED:
            elements = _Elements(io.BufferedReader(_Inflated(file, length), _BLOCK), order, left=8)
            kind, length = elements.tag()
        elements.left = length
        if kind == _MATRIX and length:
            header = elements.header()
            there.append(header.name)
            if header.name in names:
                found[header.name] = elements.content(header, (header.name,), wanted)
                if packed:
                    elements.drain()
        file.seek(end)
    return there, found


class _Inflated(io.RawIOBase):
    """The next `left` bytes of a file, a zlib stream, inflated."""

    def __init__(self, file: BinaryIO, left: int) -> None:
        self.file, self.left, self.zlib = file, left, zlib.decompressobj()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = b""
        while not data and not self.zlib.eof:
            packed = self.zlib.unconsumed_tail or self.file.read(min(self.left, _BLOCK))
            if not packed:
                raise EOFError("a compressed variable is cut off")
            self.left -= 0 if self.zlib.unconsumed_tail else len(packed)
            data = self.zlib.decompress(packed, len(buffer))
        buffer[: len(data)] = data
        return len(data)


class _Header(NamedTuple):
    """What stands before the content of an array."""

    kind: int
    flags: int
    shape: tuple[int, ...]
    name: str


class _Elements:
    """The elements of a stream, one after the other."""

    def __init__(self, stream: Any, order: Order, left: int) -> None:
        self.stream, self.order, self.left = stream, order, left

    def take(self, count: int) -> bytes:
        data: bytes = self.stream.read(count) if count <= self.left else b""
        if len(data) < count:
            raise EOFError(f"{count:,} bytes are announced where fewer are left")
        self.left -= count
        return data

    def skip(self, count: int) -> None:
        if isinstance(getattr(self.stream, "raw", None), _Inflated):
            for start in range(0, count, _BLOCK):
                self.take(min(_BLOCK, count - start))
        else:
            self.stream.seek(count, io.SEEK_CUR)
            self.left -= count

    def drain(self) -> None:
        """To the end of a compressed stream, where its checksum is."""
        while self.stream.read(_BLOCK):
            pass

    def tag(self) -> tuple[int, int]:
        kind, length = struct.unpack(self.order + "II", self.take(8))
        return kind, length

    def simple(self) -> tuple[int, bytes]:
        """Type and content of an element that holds no others; small ones share the eight bytes of their tag."""
        raw = self.take(8)
        kind, length = struct.unpack(self.order + "II", raw)
        if kind >> 16:
            return kind & 0xFFFF, raw[4 : 4 + (kind >> 16)]
        data = self.take(length)
        self.take(-length % 8)
        return kind, data

    def numbers(self) -> np.ndarray:
        kind, data = self.simple()
        if kind not in _STORED:
            raise ValueError(f"numbers of type {kind}")
        return np.frombuffer(data, np.dtype(_STORED[kind]).newbyteorder(self.order))

    def header(self) -> _Header:
        flags, shape, (_, name) = self.numbers(), self.numbers(), self.simple()
        if len(flags) != 2 or len(shape) < 2 or (shape < 0).any():
            raise ValueError("an array without a shape")
        return _Header(int(flags[0]) & 0xFF, int(flags[0]), tuple(map(int, shape)), name.decode("latin-1"))

    def array(self, at: At, wanted: Wanted) -> Any:
        """The next array, if it is wanted."""
        kind, length = self.tag()
        if kind != _MATRIX:
            raise ValueError(f"an element of type {kind} where an array should be")
        after = self.left - length
        value = None
        if wanted(at):
            value = self.content(self.header(), at, wanted) if length else np.empty((0, 0))
        if not 0 <= after <= self.left:
            raise ValueError(f"an array of other than its {length:,} bytes")
        self.skip(self.left - after)
        return value

    def content(self, header: _Header, at: At, wanted: Wanted) -> Any:
        shape, count = header.shape, int(np.prod(header.shape, dtype=object))
        if header.kind == _CELL:
            if 8 * count > self.left:  # the least a cell takes
                raise ValueError(f"{count:,} cells where fewer fit")
            cells = np.empty(count, dtype=object)
            for i in range(count):
                cells[i] = self.array((*at, i), wanted)
            return cells.reshape(shape, order="F")
        if header.kind == _STRUCT:
            width, (_, text) = int(self.numbers()[0]), self.simple()
            fields = [text[i : i + width].split(b"\0")[0].decode("latin-1") for i in range(0, len(text), width)]
            if count != 1:
                raise ValueError(f"an array of {count} structs at {at}")
            return {field: self.array((*at, field), wanted) for field in fields}
        if header.kind == _CHAR:
            kind, data = self.simple()
            order = {"<": "-le", ">": "-be"}[self.order] if kind in (4, 17, 18) else ""
            return _text(data.decode(_TEXTS[kind] + order), shape, at)
        if header.kind not in _NUMBERS or header.flags & _COMPLEX:
            what = "complex array" if header.flags & _COMPLEX else _OTHERS.get(header.kind, f"class {header.kind}")
            raise ValueError(f"{what} at {at}")
        numbers, dtype = self.numbers(), "bool" if header.flags & _LOGICAL else _NUMBERS[header.kind]
        return numbers.reshape(shape, order="F").astype(dtype, copy=False)


def _hdf5(path: Path, names: Sequence[str], wanted: Wanted) -> tuple[list[str], dict[str, Any]]:
    """As `_level5`; MATLAB writes HDF5 with axes reversed, cells as references, and its types as attributes."""
    import h5py

    def content(node: Any, at: At) -> Any:
        kind = np.asarray(node.attrs.get("MATLAB_class", "")).astype(str).item()
        if isinstance(node, h5py.Group):
            if kind != "struct":
                raise ValueError(f"a {kind or 'group'} at {at}")
            return {field: content(node[field], (*at, field)) if wanted((*at, field)) else None for field in node}
        data = node[()]
        empty = bool(node.attrs.get("MATLAB_empty", 0))
        shape = tuple(map(int, data.ravel())) if empty else np.atleast_2d(data).shape[::-1]
        data = np.zeros(0, data.dtype) if empty else data.ravel()
        if kind == "cell":
            cells = np.empty(len(data), dtype=object)
            for i, reference in enumerate(data):
                cells[i] = content(node.file[reference], (*at, i)) if wanted((*at, i)) else None
            return cells.reshape(shape, order="F")
        if kind == "char":
            return _text(data.astype("<u2").tobytes().decode("utf-16-le"), shape, at)
        if (kind not in _NUMBERS.values() and kind != "logical") or data.dtype.kind not in "biuf":
            raise ValueError(f"an array of {kind or 'structs'} at {at}")
        return data.reshape(shape, order="F").astype(bool if kind == "logical" else kind, copy=False)

    with h5py.File(path, "r") as file:
        return [n for n in file if not n.startswith("#")], {n: content(file[n], (n,)) for n in names if n in file}


def _text(text: str, shape: tuple[int, ...], at: At) -> str:
    if shape[0] > 1:
        raise ValueError(f"a text of {shape[0]} rows at {at}")
    return text
