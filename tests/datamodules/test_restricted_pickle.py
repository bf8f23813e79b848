"""The unpickler that runs nothing and leaves the numbers in the file."""

import mmap
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from affect.errors import UserError
from datamodules.formats.restricted_pickle import StoredArray, load
from datamodules.standin import python2_pickle

# What cPickle of Python 2.7 writes for a recording of WESAD's structure, memo and back references included.
CPICKLE = {
    0: (
        b"(dp1\nS'signal'\np2\n(dp3\nS'chest'\np4\n(dp5\nS'ECG'\np6\ncnumpy.core.multiarray\n_reconstruct\np7\n(cnumpy\n"
        b"ndarray\np8\n(I0\ntp9\nS'b'\ntRp10\n(I1\n(I3\nI1\ntp11\ncnumpy\ndtype\np12\n(S'f8'\np13\nI0\nI1\ntRp14\n(I3\n"
        b"S'<'\nNNNI-1\nI-1\nI0\ntp15\nbI00\nS'\\x00\\x00\\x00\\x00\\x00\\x00\\xe0?\\x00\\x00\\x00\\x00\\x00\\x00\\xf4"
        b"\\xbf\\x83\\xb6:\\xd2\\x97\\x12\\xc0\\x01'\np16\ntbsS'Temp'\np17\ng7\n(g8\ng9\nS'b'\ntRp18\n(I1\n(I3\nI1\n"
        b"tp19\ng12\n(S'f4'\np20\nI0\nI1\ntRp21\ng15\nbI00\nS'\\x00\\x00\\xf4A\\x00\\x00\\x00\\x80\\xf9\\x02\\x15P'\n"
        b"p22\ntbsssS'label'\np29\ng7\n(g8\ng9\nS'b'\ntRp30\n(I1\n(I3\ntp31\ng12\n(S'i4'\np32\nI0\nI1\ntRp33\ng15\n"
        b"bI00\nS'\\x00\\x00\\x00\\x00\\x01\\x00\\x00\\x00\\n\\x00\\x00\\x00'\np34\ntbsS'subject'\np35\nS'S2'\np36\ns."
    ),
    2: (
        b"\x80\x02}q\x01(U\x06signalq\x02}q\x03U\x05chestq\x04}q\x05(U\x03ECGq\x06cnumpy.core.multiarray\n"
        b"_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85q\tU\x01b\x87Rq\n(K\x01K\x03K\x01\x86q\x0bcnumpy\ndtype\n"
        b"q\x0cU\x02f8q\rK\x00K\x01\x87Rq\x0e(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x0fb\x89U\x18"
        b"\x00\x00\x00\x00\x00\x00\xe0?\x00\x00\x00\x00\x00\x00\xf4\xbf\x83\xb6:\xd2\x97\x12\xc0\x01q\x10tbU\x04Tempq"
        b"\x11h\x07h\x08h\tU\x01b\x87Rq\x12(K\x01K\x03K\x01\x86q\x13h\x0cU\x02f4q\x14K\x00K\x01\x87Rq\x15h\x0fb\x89U"
        b"\x0c\x00\x00\xf4A\x00\x00\x00\x80\xf9\x02\x15Pq\x16tbusU\x05labelq\x1dh\x07h\x08h\tU\x01b\x87Rq\x1e(K\x01K"
        b"\x03\x85q\x1fh\x0cU\x02i4q K\x00K\x01\x87Rq!h\x0fb\x89U\x0c\x00\x00\x00\x00\x01\x00\x00\x00\n\x00\x00\x00"
        b'q"tbU\x07subjectq#U\x02S2q$u.'
    ),
}


class Exploit:
    """Pickled, it makes a folder when it is loaded."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., None], tuple[str]]:
        return os.mkdir, (str(self.marker),)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.pkl"


def error_of(act: Callable[[], object]) -> UserError:
    with pytest.raises(UserError) as caught:
        act()
    return caught.value


def in_the_file(array: np.ndarray) -> bool:
    """Whether the array's memory is a map of the file."""
    base = array
    while isinstance(base, np.ndarray):
        base = base.base
    return isinstance(base, memoryview) and isinstance(base.obj, mmap.mmap)


# ---- nothing runs


@pytest.mark.parametrize("protocol", range(6))
def test_nothing_in_a_pickle_runs(tmp_path: Path, protocol: int) -> None:
    for number, wrap in enumerate([lambda x: x, lambda x: {"data": np.zeros(3), "x": [x]}, lambda x: np.array([x])]):
        file, marker = tmp_path / f"{number}.dat", tmp_path / f"ran{number}"
        file.write_bytes(pickle.dumps(wrap(Exploit(marker)), protocol))
        error = error_of(lambda file=file: load(file))
        assert f"{os.mkdir.__module__}.mkdir" in error.found
        assert "nothing in it was run" in error.found
        assert not marker.exists()
        pickle.loads(file.read_bytes())  # the proof that it would have
        assert marker.exists()


@pytest.mark.parametrize(
    "name", ["numpy.load", "builtins.eval", "numpy.ndarray.tofile", "numpy.core.multiarray.fromfile"]
)
def test_other_names_are_refused(path: Path, name: str) -> None:
    module, _, function = name.rpartition(".")
    path.write_bytes(b"\x80\x02c" + f"{module}\n{function}\n".encode() + b"(U\x01xtR.")
    assert name in error_of(lambda: load(path)).found


def test_objects_cannot_hide_in_an_array(path: Path) -> None:
    path.write_bytes(pickle.dumps({"data": np.array([1, "a", None], dtype=object)}))
    assert "O8" in error_of(lambda: load(path)).found
    path.write_bytes(pickle.dumps(np.zeros(3, dtype=[("a", "f8")])))
    assert "structured" in error_of(lambda: load(path)).found


@pytest.mark.parametrize("shape", ["(I-1\nt", "(I4\nt", "(F1.5\nt", "(S'a'\nt", "I3\n"])
def test_a_forged_shape_reads_no_other_memory(path: Path, shape: str) -> None:
    state = CPICKLE[0][:-1].replace(b"(I3\ntp31\n", shape.encode())
    path.write_bytes(state + b".")
    assert error_of(lambda: load(path)).where == str(path)


# ---- what is in it arrives


@pytest.mark.parametrize("protocol", [0, 2])
def test_what_python_2_wrote(path: Path, protocol: int) -> None:
    path.write_bytes(CPICKLE[protocol])
    content = load(path)
    chest = content["signal"]["chest"]
    assert content["subject"] == "S2"
    assert chest["ECG"].numpy().tolist() == [[0.5], [-1.25], [3e-300]]
    assert (chest["Temp"].dtype, chest["Temp"].shape) == (np.float32, (3, 1))
    assert np.array_equal(chest["Temp"].numpy(), np.array([[30.5], [-0.0], [1e10]], np.float32))
    assert content["label"].numpy().tolist() == [0, 1, 10]


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_and_plain_values_survive(path: Path, protocol: int) -> None:
    rng = np.random.default_rng(0)
    arrays = {
        "big": rng.normal(size=(100, 200)),
        "fortran": np.asfortranarray(rng.normal(size=(3, 4))),
        "swapped": np.arange(5, dtype=">i2"),
        "flags": np.array([True, False]),
        "scalar": np.array(4.0, np.float32),
    }
    plain = {"subject": "S2", "rate": np.float64(700.0), "n": 3, "nested": [("a", None), {"b": 1.5}]}
    path.write_bytes(pickle.dumps({**arrays, **plain}, protocol))
    back = load(path)
    for name, array in arrays.items():
        assert (back[name].dtype, back[name].shape) == (array.dtype, array.shape)
        assert np.array_equal(back[name].numpy(), array)
        assert not back[name].numpy().flags.writeable
    assert {name: back[name] for name in plain} == plain


@pytest.mark.parametrize("protocol", [0, 2])
def test_numbers_stay_in_the_file_until_asked_for(path: Path, protocol: int) -> None:
    rng = np.random.default_rng(0)
    data = rng.integers(0, 256, (20_000, 8)).astype(np.uint8).view("<f8")  # all bytes occur
    with path.open("wb") as file:
        python2_pickle.dump(file, {"a": {"data": data}, "small": data[:3]}, protocol)
    if protocol == 2:
        assert pickle.loads(path.read_bytes(), encoding="latin1")["a"]["data"].tobytes() == data.tobytes()
    stored = load(path)["a"]["data"]
    assert isinstance(stored, StoredArray)
    assert stored.shape == (20_000, 1)
    held = stored.raw if protocol else stored.raw.line
    assert in_the_file(np.frombuffer(held, np.uint8))
    assert stored.numpy().tobytes() == data.tobytes()
    assert in_the_file(stored.numpy()) == (protocol == 2)  # protocol 0 has to be decoded, once
    assert np.shares_memory(stored.numpy(), stored.numpy())
    assert load(path)["small"].numpy().tobytes() == data[:3].tobytes()


# ---- damage is told


@pytest.mark.parametrize("protocol", [0, 2])
@pytest.mark.parametrize("keep", [0, 1, 60, 300, 100_000, -1])
def test_cut_off_files_are_told(path: Path, protocol: int, keep: int) -> None:
    with path.open("wb") as file:
        python2_pickle.dump(file, {"data": np.random.default_rng(0).normal(size=20_000), "subject": "S2"}, protocol)
    path.write_bytes(path.read_bytes()[:keep])
    error = error_of(lambda: load(path))
    assert error.where == str(path)
    assert f"{path.stat().st_size:,} bytes" in error.found


def test_a_payload_of_another_size_is_told(path: Path) -> None:
    with path.open("wb") as file:
        python2_pickle.dump(file, {"data": np.zeros(20_000)}, 0)
    path.write_bytes(path.read_bytes().replace(b"\\x00" * 8, b"", 1))  # one number less, which only decoding shows
    stored = load(path)["data"]
    assert error_of(stored.numpy).where == str(path)


@pytest.mark.parametrize("protocol", [0, 2])
def test_a_file_that_shrinks_while_it_is_read_is_told(path: Path, protocol: int) -> None:
    """Touching a map beyond the end of its file would end the process."""
    with path.open("wb") as file:
        python2_pickle.dump(file, {"data": np.random.default_rng(0).normal(size=200_000)}, protocol)
    stored = load(path)["data"]
    os.truncate(path, 5000)
    error = error_of(stored.numpy)
    assert "changed" in error.found


def test_noise_is_told(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for size in (10, 1000, 100_000):
        (tmp_path / "x").write_bytes(rng.bytes(size))
        error_of(lambda: load(tmp_path / "x"))
    error_of(lambda: load(tmp_path / "nowhere"))
