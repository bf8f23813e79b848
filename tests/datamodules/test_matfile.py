"""The reader of MATLAB files: scipy is the reference for format 5, a writer of MATLAB's HDF5 for 7.3."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.sparse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from matlab73 import write_mat73
from scipy.io import loadmat, savemat

from affect.errors import UserError
from datamodules.formats.matfile import read_mat

Write = Callable[[Path, dict[str, Any]], None]
WRITERS: dict[str, Write] = {
    "v6": lambda path, content: savemat(path, content, long_field_names=True),
    "v7": lambda path, content: savemat(path, content, long_field_names=True, do_compression=True),
    "v7.3": write_mat73,
}
NAMES = st.text("abcXYZ019_", min_size=0, max_size=20).map(lambda rest: "f" + rest)
NUMBERS = hnp.arrays(
    st.sampled_from(["f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "?"]),
    hnp.array_shapes(min_dims=2, max_dims=3, min_side=0, max_side=4),
)
TEXTS = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs", "Cc"]), max_size=12).map(str.strip)


def cells(values: list[Any]) -> np.ndarray:
    array = np.empty((1, len(values)), dtype=object)
    array[0, :] = values
    return array


VALUES = st.recursive(
    NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4).map(cells) | st.dictionaries(NAMES, inner, min_size=1, max_size=4),
    max_leaves=12,
)


def error_of(act: Callable[[], object]) -> UserError:
    with pytest.raises(UserError) as caught:
        act()
    return caught.value


def same(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray) and a.dtype == object:
        return a.shape == b.shape and all(same(x, y) for x, y in zip(a.ravel(), b.ravel(), strict=True))
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.shape == b.shape and a.dtype == b.dtype and np.array_equal(a, b, equal_nan=True)
    return isinstance(a, str) and a == b


def plain(value: Any) -> Any:
    """What scipy gives, without its wrapping."""
    if value.dtype.names:
        return {name: plain(value[name].item()) for name in value.dtype.names}
    if value.dtype == object:
        return cells([plain(v) for v in value.ravel()]).reshape(value.shape)
    return "".join(value.ravel()) if value.dtype.kind == "U" else value


def mixed() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    people = [{"Age": "22", "EEG": rng.normal(size=(500, 14)), "left": cells(["ä", np.zeros((0, 0))])} for _ in "abc"]
    return {"one": np.arange(6.0).reshape(2, 3), "DREAMER": {"Data": cells(people), "rate": np.array([[128.0]])}}


# ---- what is in a file


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(value=VALUES)
def test_all_formats_give_the_same_plain_structure(tmp_path: Path, value: Any) -> None:
    for name, write in WRITERS.items():
        write(tmp_path / f"{name}.mat", {"other": np.ones((3, 3)), "value": value})
        assert same(read_mat(tmp_path / f"{name}.mat", ["value"])["value"], value), name


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(value=VALUES)
def test_scipy_agrees(tmp_path: Path, value: Any) -> None:
    savemat(tmp_path / "x.mat", {"value": value}, long_field_names=True)
    expected = plain(loadmat(tmp_path / "x.mat", mat_dtype=True, chars_as_strings=False)["value"])
    assert same(read_mat(tmp_path / "x.mat", ["value"])["value"], expected)


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_what_is_not_wanted_is_passed_over(tmp_path: Path, write: Write) -> None:
    path, content = tmp_path / "Überprüfung 数据.mat", mixed()
    write(path, content)
    asked = []

    def wanted(at: tuple[str | int, ...]) -> bool:
        asked.append(at)
        return at[1:2] != ("Data",) or at[2:3] in ((), (1,))

    found = read_mat(path, ["DREAMER"], wanted)
    assert list(found) == ["DREAMER"]
    data = found["DREAMER"]["Data"]
    assert data.shape == (1, 3)
    assert data[0, 0] is None
    assert data[0, 2] is None
    assert same(data[0, 1], content["DREAMER"]["Data"][0, 1])
    assert same(found["DREAMER"]["rate"], np.array([[128.0]]))
    assert ("DREAMER", "Data", 1, "left", 0) in asked
    assert not any(at[2:] and at[2] != 1 for at in asked if len(at) > 3)


@pytest.mark.parametrize("order", "<>")
def test_whole_numbers_as_matlab_stores_them(tmp_path: Path, order: str) -> None:
    """A double array of small whole numbers takes a byte each; tiny elements share their tag; either byte order."""

    def element(kind: int, data: bytes) -> bytes:
        if len(data) <= 4:
            return struct.pack(order + "I", len(data) << 16 | kind) + data.ljust(4, b"\0")
        return struct.pack(order + "II", kind, len(data)) + data.ljust(len(data) + -len(data) % 8, b"\0")

    def array(flags: int, shape: tuple[int, ...], name: bytes, kind: int, data: bytes) -> bytes:
        sizes = struct.pack(f"{order}{len(shape)}i", *shape)
        inner = element(6, struct.pack(order + "II", flags, 0)) + element(5, sizes) + element(1, name)
        inner += element(kind, data)
        return struct.pack(order + "II", 14, len(inner)) + inner

    packed = zlib.compress(array(6, (2, 3), b"longer_name", 2, bytes([1, 2, 3, 4, 5, 6])))
    path = tmp_path / "x.mat"
    path.write_bytes(
        b"MATLAB 5.0 MAT-file".ljust(124)
        + struct.pack(order + "HH", 0x0100, 0x4D49)
        + array(0x206, (1, 3), b"x", 2, bytes([1, 0, 1]))
        + struct.pack(order + "II", 15, len(packed))
        + packed
        + array(4, (1, 2), b"t", 4, "数据".encode("utf-16-le" if order == "<" else "utf-16-be"))
    )
    found = read_mat(path, ["x", "longer_name", "t"])
    assert same(found["x"], np.array([[True, False, True]]))
    assert same(found["longer_name"], np.array([[1.0, 3.0, 5.0], [2.0, 4.0, 6.0]]))
    assert found["t"] == "数据"


# ---- what is no good


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_a_file_cut_off_anywhere_is_told(tmp_path: Path, write: Write) -> None:
    write(tmp_path / "whole.mat", mixed())
    whole, path = (tmp_path / "whole.mat").read_bytes(), tmp_path / "x.mat"
    for keep in [0, 1, 127, 129, 140, 600, 2500, len(whole) // 2, len(whole) - 100, len(whole) - 1]:
        path.write_bytes(whole[:keep])
        error = error_of(lambda: read_mat(path, ["DREAMER"]))
        assert error.where == str(path)
        assert "download" in error.remedy


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_a_damaged_file_is_told_or_read(tmp_path: Path, write: Write) -> None:
    """No byte makes the reader fall over in another way."""
    content = {"value": cells([np.arange(30.0).reshape(10, 3), "text", {"a": np.ones((2, 2))}])}
    write(tmp_path / "whole.mat", content)
    whole, path, rng = (tmp_path / "whole.mat").read_bytes(), tmp_path / "x.mat", np.random.default_rng(0)
    told = 0
    for at in rng.integers(124, len(whole), 150):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        try:
            read_mat(path, ["value"])
        except UserError:
            told += 1
    assert told > (100 if write is WRITERS["v7"] else 1)  # compressed data has a checksum


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (scipy.sparse.csc_array(np.eye(3)), "sparse matrix"),
        (np.array([[1j]]), "complex"),
        (np.array([[(1.0,), (2.0,)]], dtype=[("a", "f8")]), "array of 2 structs"),
        (np.array(["ab", "cd"]), "text of 2 rows"),
    ],
)
def test_other_things_are_refused(tmp_path: Path, value: Any, found: str) -> None:
    savemat(tmp_path / "x.mat", {"x": value, "fine": 1.0})
    error = error_of(lambda: read_mat(tmp_path / "x.mat", ["x"]))
    assert found in error.found
    assert read_mat(tmp_path / "x.mat", ["fine"])["fine"].item() == 1.0


def test_hdf5_of_others_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.mat"
    with h5py.File(path, "w") as file:
        file["x"] = np.ones((2, 2))
        file["table"] = np.zeros(3, dtype=[("a", "f8")])
        loop = file.create_dataset("loop", (1, 1), dtype=h5py.ref_dtype)
        loop.attrs["MATLAB_class"] = np.bytes_("cell")
        loop[0, 0] = loop.ref
        file.create_group("group")
    for name in ("x", "table", "loop", "group"):
        assert error_of(lambda name=name: read_mat(path, [name])).where == str(path)


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_missing_variables_are_named(tmp_path: Path, write: Write) -> None:
    write(tmp_path / "x.mat", {"here": np.ones((1, 1)), "there": "text"})
    error = error_of(lambda: read_mat(tmp_path / "x.mat", ["here", "gone"]))
    assert error.found == "no variable ['gone'] among ['here', 'there']"


def test_other_files(tmp_path: Path) -> None:
    path = tmp_path / "x.mat"
    assert "No such file" in error_of(lambda: read_mat(path, ["x"])).found
    for content in (b"", b"<html>Please log in</html>" * 100, np.random.default_rng(0).bytes(5000)):
        path.write_bytes(content)
        assert error_of(lambda: read_mat(path, ["x"])).found.startswith("no MATLAB file")
