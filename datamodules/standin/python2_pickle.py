"""Write pickles as Python 2 with an old numpy wrote them, which is how DEAP and WESAD are distributed.

All strings are byte strings. Protocol 0, the default of that time, spells them like a Python source, which makes an
array about three times its size; protocol 2 writes them as they are. References to what was pickled before (the memo)
are left out, as cPickle does in its fast mode.
"""

import struct
from collections.abc import Mapping
from typing import BinaryIO, Literal

import numpy as np

Value = np.ndarray | str | Mapping[str, "Value"]


def dump(file: BinaryIO, value: Value, protocol: Literal[0, 2]) -> None:
    """Write numeric little-endian arrays and text, in dictionaries of any depth."""
    if protocol == 2:
        file.write(b"\x80\2")
    _write(file, value, protocol)
    file.write(b".")


def _write(file: BinaryIO, value: Value, protocol: int) -> None:
    if isinstance(value, np.ndarray):
        _write_array(file, value, protocol)
    elif isinstance(value, str):
        file.write(_text(value, protocol))
    else:
        file.write(b"}(" if protocol else b"(d")
        for key, item in value.items():
            file.write(_text(key, protocol))
            _write(file, item, protocol)
            file.write(b"" if protocol else b"s")
        file.write(b"u" if protocol else b"")


def _write_array(file: BinaryIO, array: np.ndarray, protocol: int) -> None:
    def number(value: int, code: str = "J") -> bytes:
        if not protocol:
            return f"I{value}\n".encode()
        return code.encode() + struct.pack("<i" if code == "J" else "B", value)

    shape = b"(" + b"".join(number(size) for size in array.shape) + b"t"
    kind = b"cnumpy\ndtype\n(" + _text(array.dtype.str[1:], protocol) + number(0, "K") + number(1, "K") + b"tR("
    kind += number(3, "K") + _text("<", protocol) + b"NNN" + 2 * number(-1) + number(0, "K") + b"tb"
    empty = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(" + number(0, "K") + b"t"
    file.write(empty + _text("b", protocol) + b"tR(" + number(1, "K") + shape + kind)
    numbers = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    if protocol:
        file.write(b"\x89T" + struct.pack("<i", array.nbytes))  # not in Fortran order; so many bytes follow
        file.write(numbers.data)
    else:
        file.write(b"I00\nS" + repr(numbers.tobytes())[1:].encode() + b"\n")
    file.write(b"tb")


def _text(value: str, protocol: int) -> bytes:
    if not protocol:
        return f"S{value!r}\n".encode()
    return b"U" + bytes([len(value)]) + value.encode("ascii")
