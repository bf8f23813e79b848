"""The reader of Empatica E4 sessions: alignment by absolute time, and files as people save and break them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from affect.errors import UserError
from datamodules.formats.empatica import SENSORS, Session
from datamodules.standin.empatica import LATE, RATE, invent, measure, write_session

START = 1_600_000_000
SECONDS = 60


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A minute of all streams, to spoil."""
    rng = np.random.default_rng(0)
    streams, beats = measure(rng, invent(rng, 1.0), np.zeros(SECONDS * RATE))
    write_session(tmp_path / "session", START, streams, beats)
    return tmp_path / "session"


def error_of(act: Callable[[], object]) -> UserError:
    with pytest.raises(UserError) as caught:
        act()
    return caught.value


def clock(folder: Path, stream: str, rate: float, start: float = START, samples: int | None = None) -> None:
    """A stream whose samples say when they were taken, s after START."""
    samples = round(SECONDS * rate) if samples is None else samples
    values = (f"{start - START + i / rate:.6f}" for i in range(samples))
    text = "\n".join([f"{start:.6f}", f"{rate:.6f}", *values]) + "\n"
    (folder / SENSORS[stream].file).write_text(text)


def test_streams_units_and_rates(folder: Path) -> None:
    session = Session(folder)
    assert session.streams == ("bvp", "eda", "temp", "hr", "acc")
    assert [path.name for path in session.files] == ["BVP.csv", "EDA.csv", "TEMP.csv", "HR.csv", "ACC.csv"]
    found = {name: session.cut(name, START + LATE, START + 40) for name in session.streams}
    assert {name: s.data.shape for name, s in found.items()} == {
        "bvp": (1, 1920),
        "eda": (1, 120),
        "temp": (1, 120),
        "hr": (1, 30),
        "acc": (3, 960),
    }
    assert {name: s.rate for name, s in found.items()} == {"bvp": 64, "eda": 4, "temp": 4, "hr": 1, "acc": 32}
    assert {name: s.unit for name, s in found.items()} == {
        "bvp": "a.u.",
        "eda": "µS",
        "temp": "°C",
        "hr": "1/min",
        "acc": "g",
    }
    assert all(s.data.dtype == np.float32 for s in found.values())
    assert np.linalg.norm(found["acc"].data, axis=0).mean() == pytest.approx(1, abs=0.1)  # the wrist lies still


def test_a_stream_without_a_file_was_not_recorded(folder: Path) -> None:
    (folder / "ACC.csv").unlink()
    session = Session(folder)
    assert "acc" not in session.streams
    assert session.cut("eda", START, START + 10).seconds == 10
    assert "ACC.csv" in error_of(lambda: session.cut("acc", START, START + 10)).where


@pytest.mark.parametrize(("stream", "rate"), [("bvp", 64), ("eda", 4), ("hr", 1), ("temp", 8)])
def test_cuts_are_aligned_by_absolute_time(folder: Path, stream: str, rate: float) -> None:
    clock(folder, stream, rate, start=START + 2.5)
    session, rng = Session(folder), np.random.default_rng(1)
    for start, length in zip(rng.uniform(3, 30, 30), rng.uniform(1, 25, 30), strict=True):
        signal = session.cut(stream, START + start, START + start + length)
        assert signal.rate == rate
        assert signal.data.shape == (1, int(length * rate + 1e-6))
        taken = start + np.arange(signal.data.shape[1]) / rate
        np.testing.assert_allclose(signal.data[0], taken, atol=0.5 / rate + 1e-3)


def test_a_span_may_miss_a_second_at_either_end_and_no_more(folder: Path) -> None:
    clock(folder, "eda", 4)
    session = Session(folder)
    assert session.cut("eda", START - 1, START + 10).data[0, 0] == 0  # its first sample
    late = session.cut("eda", START + 50, START + 61)
    assert (late.seconds, late.data[0, 0]) == (10, 50)


@pytest.mark.parametrize(
    ("start", "stop", "told"),
    [
        (-1.5, 10, "starts 1.5 s after"),
        (50, 62, "ends 2.0 s before"),
        (-90, -80, "starts 90.0 s after"),
        (90, 100, "ends 40.0 s before"),
    ],
)
def test_a_span_that_was_not_recorded(folder: Path, start: float, stop: float, told: str) -> None:
    clock(folder, "eda", 4)
    error = error_of(lambda: Session(folder).cut("eda", START + start, START + stop))
    assert told in error.found
    assert error.where.endswith("EDA.csv")


def test_the_shared_part_is_what_all_streams_cover(folder: Path) -> None:
    clock(folder, "eda", 4, samples=4 * (SECONDS - 3))
    (folder / "TEMP.csv").write_text("broken")
    clock(folder, "acc", 1, start=START + 30)  # a column only: broken too
    session = Session(folder)
    assert session.shared(START, START + SECONDS) == (START + LATE, START + SECONDS - 3)
    assert session.shared(START + 15, START + 20) == (START + 15, START + 20)
    clock(folder, "bvp", 64, samples=64 * 20)  # lost after 20 s: for the cut to tell
    session = Session(folder)
    first, last = session.shared(START + 15, START + SECONDS)
    assert (first, last) == (START + 15, START + SECONDS - 3)
    assert "ends 37.0 s before" in error_of(lambda: session.cut("bvp", first, last)).found


def test_files_from_a_spreadsheet(folder: Path) -> None:
    session = Session(folder)
    straight = {name: session.recorded(name) for name in ("eda", "acc")}

    def saved(name: str, change: Callable[[str], str], encoding: str = "utf-8", newline: str = "\n") -> None:
        path = folder / SENSORS[name].file
        before = path.read_text(encoding="utf-8-sig")
        path.write_text(change(before), encoding=encoding, newline=newline)
        again = Session(folder).recorded(name)
        assert (again.start, again.rate) == (straight[name].start, straight[name].rate)
        assert np.array_equal(again.data, straight[name].data)
        path.write_text(before, encoding="utf-8")

    for name in ("eda", "acc"):
        saved(name, lambda text: text, "utf-8-sig", "\r\n")
        saved(name, lambda text: text.replace("\n", ",\n"))
        saved(name, lambda text: text + "\n\n")
        saved(name, lambda text: text + "0.3")  # cut off in the middle of a line
        saved(name, lambda text: text.replace(", ", ";").replace(",", ";").replace(".", ","))
        saved(name, lambda text: text.replace(", ", "\t").replace(",", "\t"))
    saved("eda", lambda text: text.replace(".", ","))


def test_an_empty_line_keeps_its_time(folder: Path) -> None:
    clock(folder, "eda", 4)
    path = folder / "EDA.csv"
    lines = path.read_text().splitlines()
    lines[2 + 8] = ""
    path.write_text("\n".join(lines) + "\n")
    data = Session(folder).cut("eda", START, START + 10).data[0]
    assert np.isnan(data[8])
    assert data[9] == 9 / 4


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "not a table"),
        ("1600000000.0", "not a table"),
        ("1600000000.0\n4.0\n", "1 columns, 2 rows"),
        ("EDA\n4.0\n0.1\n", "EDA"),
        ("1600000000.0\n4.0\n0.1\nbroken\n0.2\n", "broken"),
        ("1600000000.0\n0.1\n", "1 columns, 2 rows"),
        ("1600000000.0\n-0.1\n0.2\n0.2\n", "rate [-0.1]"),
        ("1600000000.0\n0\n0.2\n0.2\n", "rate [0.0]"),
        ("\n4.0\n0.2\n0.2\n", "not a table"),
        ("-3\n4.0\n0.2\n0.2\n", "start [-3.0]"),
        ("1600000000.0\ninf\n0.2\n0.2\n", "rate [inf]"),
        ("1600000000.0,1600000000.0\n4.0,4.0\n0.1,0.2\n", "2 columns"),
        ("1600000000.0\n4.0\n0.1\n0.2,0.3\n", "not a table"),
    ],
)
def test_broken_files_are_refused_in_words(folder: Path, text: str, told: str) -> None:
    (folder / "EDA.csv").write_text(text)
    error = error_of(lambda: Session(folder).recorded("eda"))
    assert error.where == str(folder / "EDA.csv")
    assert told in error.found
    assert "start time (Unix s), rate (Hz)" in error.expected
    assert Session(folder).cut("temp", START, START + 10).seconds == 10  # the others are none the worse


@pytest.mark.parametrize(
    ("line", "text", "told"),
    [
        (0, "1600000000, 1600000000, 1600000001", "start"),
        (1, "32, 32, 16", "rate"),
        (7, "1,2,3,4", "not a table"),
        (7, "1,2,x", "not a table"),
    ],
)
def test_broken_acceleration(folder: Path, line: int, text: str, told: str) -> None:
    path = folder / "ACC.csv"
    lines = path.read_text().splitlines()
    lines[line] = text
    path.write_text("\n".join(lines) + "\n")
    assert told in error_of(lambda: Session(folder).recorded("acc")).found


def test_an_axis_that_is_missing(folder: Path) -> None:
    path = folder / "ACC.csv"
    rows = path.read_text().splitlines()
    path.write_text("\n".join(row.rpartition(",")[0] for row in rows) + "\n")
    assert "2 columns" in error_of(lambda: Session(folder).recorded("acc")).found


def test_no_text_at_all(folder: Path) -> None:
    (folder / "EDA.csv").write_bytes(b"\xff\xfe\x00\x80" * 100)
    assert "no readable text" in error_of(lambda: Session(folder).recorded("eda")).found
