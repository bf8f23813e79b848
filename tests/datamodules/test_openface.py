"""What OpenFace writes of a film, a row a frame, becomes a signal in time."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest

from affect.errors import UserError
from datamodules.formats.openface import ACTION_UNITS, read_openface

HEAD = ("frame", "face_id", "timestamp", "confidence", "success", "gaze_0_x", "x_0", *ACTION_UNITS)


def row(frame: int, fps: float, success: int = 1, unit: str | None = None) -> list[str]:
    """As OpenFace writes it: times to the millisecond, values to the hundredth."""
    graded = unit or f"{frame % 50 / 10:.2f}"
    values = [graded if name.endswith("_r") else unit or "1.00" for name in ACTION_UNITS]
    return [str(frame), "0", f"{(frame - 1) / fps:.3f}", "0.98", str(success), "-0.12", "412.5", *values]


def write(path: Path, rows: Iterable[list[str]], head: Iterable[str] = HEAD, between: str = ", ") -> Path:
    path.write_text("\n".join(between.join(line) for line in [list(head), *rows]) + "\n", encoding="utf-8")
    return path


def error_of(act: Callable[[], object]) -> UserError:
    with pytest.raises(UserError) as caught:
        act()
    return caught.value


def test_all_units_in_time(tmp_path: Path) -> None:
    units = read_openface(write(tmp_path / "ü.csv", (row(n, 25) for n in range(1, 101))))
    assert (units.rate, units.channels, units.data.shape) == (25.0, ACTION_UNITS, (35, 100))
    assert units.data.dtype == np.float32
    np.testing.assert_allclose(units.data[0], [n % 50 / 10 for n in range(1, 101)], rtol=1e-6)
    assert (units.data[17:] == 1).all()
    assert units.seconds == pytest.approx(4)


def test_fewer_units_are_those_that_are_there(tmp_path: Path) -> None:
    head = ("frame", "timestamp", "success", "AU12_r", "AU12_c")
    units = read_openface(write(tmp_path / "x.csv", ([str(n), f"{n / 25}", "1", "2", "0"] for n in range(9)), head))
    assert units.channels == ("AU12_r", "AU12_c")
    assert np.array_equal(units.data, [[2] * 9, [0] * 9])


@pytest.mark.parametrize("fps", [10, 15, 24, 24_000 / 1001, 25, 30, 30_000 / 1001, 50, 60_000 / 1001, 12.5])
def test_the_rate_is_the_films_whatever_its_length(tmp_path: Path, fps: float) -> None:
    """Clips of one camera must agree to the last bit: streams of two rates do not go together."""
    found = {
        read_openface(write(tmp_path / f"{n}.csv", (row(i, fps) for i in range(1, n)))).rate for n in (80, 111, 1500)
    }
    if fps == 12.5:  # no film's rate: as exact as the stamps are
        assert all(rate == pytest.approx(fps, rel=1e-3) for rate in found)
    else:
        assert len(found) == 1
        assert found.pop() == pytest.approx(fps, rel=1e-9)


def test_frames_without_a_face_are_missing_and_not_made_up(tmp_path: Path) -> None:
    rows = [row(n, 30, success=int(n not in (3, 4)), unit={3: "0.00", 4: "-nan(ind)"}.get(n)) for n in range(1, 31)]
    units = read_openface(write(tmp_path / "x.csv", rows))
    assert units.data.shape == (35, 30)
    assert np.flatnonzero(np.isnan(units.data).all(axis=0)).tolist() == [2, 3]
    assert np.isnan(units.data).sum() == 2 * 35


def test_tables_as_people_save_them(tmp_path: Path) -> None:
    rows = [row(n, 30) for n in range(1, 31)]
    plain = read_openface(write(tmp_path / "a.csv", rows)).data
    decimal = [[cell.replace(".", ",") for cell in line] for line in rows]
    saved = write(tmp_path / "b.csv", decimal, ["\ufeff" + HEAD[0], *HEAD[1:]], ";")
    assert np.array_equal(read_openface(saved).data, plain)


def test_what_is_no_such_file_is_told(tmp_path: Path) -> None:
    rows = [row(n, 30) for n in range(1, 31)]
    path = tmp_path / "x.csv"

    def refused(rows: Iterable[list[str]], head: Iterable[str] = HEAD) -> UserError:
        error = error_of(lambda: read_openface(write(path, rows, head)))
        assert str(path) in error.where
        return error

    assert "no such file" in error_of(lambda: read_openface(path)).found
    assert "['success']" in refused(rows, ["lost" if name == "success" else name for name in HEAD]).found
    assert "no action unit" in refused([line[:7] for line in rows], HEAD[:7]).found
    assert "row 31" in refused([*rows[:-1], rows[-1][:20]]).where  # cut off in its last line
    assert "one face" in refused([line for line in rows for _ in range(2)]).expected
    assert "fewer than two" in refused([]).found
    assert "fewer than two" in refused(rows[:1]).found
    assert "evenly" in refused([*rows[:10], *rows[20:]]).expected
    assert "evenly" in refused([[*line[:2], "0.000", *line[3:]] for line in rows]).expected
    assert "'?'" in refused([*rows[:5], row(6, 30, unit="?")]).found
    path.write_bytes(b"\x00\xff" * 500)
    assert error_of(lambda: read_openface(path)).where == str(path)
