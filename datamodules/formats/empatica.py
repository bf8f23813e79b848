"""Empatica E4 wristband: a session's folder of csv files, cut into spans of absolute time.

The layout is that of the E4 manager's export (its `info.txt`): `BVP.csv`, `EDA.csv`, `TEMP.csv`, `HR.csv`, `ACC.csv`;
row 1 is when the stream starts (Unix s, UTC), row 2 its rate in Hz, the rest samples.
"""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affect.batch import Signal
from affect.errors import UserError
from datamodules.formats.tables import AGAIN


class Sensor(NamedTuple):
    """A stream of the wristband: its file and what is in it, at the rate the E4 has."""

    file: str
    rate: float
    channels: tuple[str, ...]
    unit: str
    scale: float = 1.0
    """Unit of one step in the file."""


SENSORS: Mapping[str, Sensor] = {
    "bvp": Sensor("BVP.csv", 64.0, ("BVP",), "a.u."),
    "eda": Sensor("EDA.csv", 4.0, ("EDA",), "µS"),
    "temp": Sensor("TEMP.csv", 4.0, ("temperature",), "°C"),
    "hr": Sensor("HR.csv", 1.0, ("hr",), "1/min"),
    "acc": Sensor("ACC.csv", 32.0, ("x", "y", "z"), "g", 1 / 64),
}
SHORT = 1.0
"""s by which a stream may miss either end of a span that is cut from it."""
UNEVEN = 10.0
"""s between the first start and the last, or the first end and the last, of a session's streams: the heart rate, a
mean over 10 s, starts that much later; buffers are not emptied together."""


class Recorded(NamedTuple):
    """One stream of a session, all of it."""

    start: float
    """Unix time of the first sample, s."""
    rate: float
    data: NDArray[np.float32]
    """(C, T) in the sensor's unit."""

    @property
    def stop(self) -> float:
        seconds: float = self.data.shape[1] / self.rate
        return self.start + seconds


class Session:
    """One recording of the wristband; every file is read once, when first needed.

    Streams: `bvp` (blood volume pulse, arbitrary units, 64 Hz), `eda` (µS, 4 Hz), `temp` (skin, °C, 4 Hz), `hr` (the
    E4's own heart rate, 1/min, 1 Hz), `acc` (x, y, z in g, 32 Hz), at the rates their files say. Which were recorded
    differs; `streams` are those with a file. `IBI.csv` is left alone: the E4 gives up beats while the wrist moves (in
    Stress-Predict it keeps 6 to 80 % of them), too few for a signal; Beats and HeartRate of affect.preprocessing find
    them in `bvp`. So is `tags.csv`: what the button meant only the study knows.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._read: dict[str, Recorded] = {}

    @property
    def streams(self) -> tuple[str, ...]:
        """Those recorded."""
        return tuple(name for name, sensor in SENSORS.items() if (self.folder / sensor.file).is_file())

    @property
    def files(self) -> list[Path]:
        """Of `streams`."""
        return [self.folder / SENSORS[name].file for name in self.streams]

    def recorded(self, stream: str) -> Recorded:
        """All of one stream.

        Raises:
            UserError: no file, no start or rate, no number where one should be, no samples.
        """
        if stream not in self._read:
            self._read[stream] = _read(self.folder / SENSORS[stream].file, SENSORS[stream])
        return self._read[stream]

    def shared(self, start: float, stop: float) -> tuple[float, float]:
        """The part of a span (Unix s) that all of its streams cover, if they end unevenly there, else the span.

        An end moves by 10 s at most: a stream that misses more is broken, which `cut` tells when it is asked for, and
        so is one that cannot be read.
        """
        first, last = start, stop
        for stream in self.streams:
            try:
                recorded = self.recorded(stream)
            except UserError:
                continue
            if recorded.start <= start + UNEVEN:
                first = max(first, recorded.start)
            if recorded.stop >= stop - UNEVEN:
                last = min(last, recorded.stop)
        return (first, last) if first < last else (start, stop)

    def cut(self, stream: str, start: float, stop: float) -> Signal:
        """A stream from `start` to `stop` (Unix s), to the nearest sample.

        Up to a second that is missing at either end is left missing: the signal is that much shorter.

        Raises:
            UserError: as `recorded`; the stream misses more than a second of the span.
        """
        recorded = self.recorded(stream)
        if (late := recorded.start - start) > SHORT or (early := stop - recorded.stop) > SHORT:
            path = self.folder / SENSORS[stream].file
            what = f"starts {late:.1f} s after" if late > SHORT else f"ends {early:.1f} s before the end of"
            found = f"{stream} that {what} the span {start:.0f} to {stop:.0f} (Unix s)"
            remedy = f"{AGAIN}, or leave the trial out with --data.bad_trials=drop"
            raise UserError(path, found, f"a recording of the whole span, to {SHORT:g} s", remedy)
        first = round((start - recorded.start) * recorded.rate)
        count = int((stop - start) * recorded.rate + 1e-6)
        data = np.ascontiguousarray(recorded.data[:, max(first, 0) : max(first + count, 0)])
        return Signal(data, recorded.rate, SENSORS[stream].channels, SENSORS[stream].unit)


def _read(path: Path, sensor: Sensor) -> Recorded:
    columns = len(sensor.channels)
    expected = (
        f"{columns} column{'s' if columns > 1 else ''} of numbers: start time (Unix s), rate (Hz), "
        f"then samples ({sensor.rate:g} Hz)"
    )
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(path, f"no readable text ({error})", expected, AGAIN) from error
    text = text[: text.rfind("\n") + 1].rstrip()  # a last line without its break may have been cut off in a number
    try:
        table = pd.read_csv(
            io.StringIO(_plain(text, columns)),
            header=None,
            dtype=np.float64,
            skipinitialspace=True,
            skip_blank_lines=False,  # without its gap a gap would shift what comes after it
        )
    except ValueError as error:  # pandas' own are ValueErrors too
        raise UserError(path, f"not a table of numbers ({str(error).strip()})", expected, AGAIN) from error
    values = table.dropna(axis="columns", how="all").to_numpy()  # commas at the ends of lines make an empty column
    if values.shape[1] != columns or len(values) < 3:
        raise UserError(path, f"{values.shape[1]} columns, {len(values)} rows", expected, AGAIN)
    (start, *starts), (rate, *rates) = values[0].tolist(), values[1].tolist()
    if not (0 < start < np.inf and 0 < rate <= 1000) or {start, *starts} != {start} or {rate, *rates} != {rate}:
        found = f"start {values[0].tolist()} and rate {values[1].tolist()} in the first two rows"
        raise UserError(path, found, expected, AGAIN)
    return Recorded(start, rate, (values[2:].T * sensor.scale).astype(np.float32))


def _plain(text: str, columns: int) -> str:
    """The table with commas between columns and decimal points, as spreadsheets elsewhere do not save it."""
    if ";" in text or "\t" in text:
        return text.replace(",", ".").replace(";", ",").replace("\t", ",")
    return text.replace(",", ".") if columns == 1 and "." not in text else text
