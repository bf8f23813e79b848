"""A recording of one's own, read by the ending of its file: array, table, EDF, BDF, FIF, sound, film, picture."""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from affect.batch import Signal, Video
from affect.errors import UserError
from datamodules.corpora.streams_yaml import Facts
from datamodules.formats.biosignal import BIOSIGNAL, read_biosignal, samples
from datamodules.formats.media import FILM, SOUND, STILL, VideoFile, read_sound, sound_of

ARRAY = (".npy",)
TABLE = (".csv", ".tsv")
SUFFIXES = (*ARRAY, *TABLE, *BIOSIGNAL, *SOUND, *FILM, *STILL)
_REPAIR = "correct the file, or leave the trial out with --data.bad_trials=drop"


class Span(NamedTuple):
    """Seconds `start` to `stop` of a file; infinite: to its end."""

    path: Path
    start: float = 0.0
    stop: float = float("inf")


def read(span: Span, stream: str, facts: Facts) -> Signal | Video:
    """One stream of one trial.

    Raises:
        UserError: the file is not what its ending or `facts` promise, or ends before the span does.
    """
    path, kind = span.path, span.path.suffix.lower()
    if kind in STILL or (kind in FILM and stream != "audio"):
        return VideoFile(path, span.start, None if np.isinf(span.stop) else span.stop - span.start)
    if kind in BIOSIGNAL:
        signal = read_biosignal(path, stream, facts.channels, facts.unit, span.start, span.stop)
    elif kind in ARRAY:
        signal = _cut(_array(path, stream, facts), span)
    elif kind in TABLE:
        signal = _cut(_table(path, stream, facts), span)
    else:
        signal = _cut(sound_of(path) if kind in FILM else read_sound(path), span)
    if facts.rate is not None and abs(signal.rate - facts.rate) > 1e-3 * facts.rate:
        raise UserError(path, f"{signal.rate:g} Hz", f"{facts.rate:g} Hz, as streams.yaml says", _REPAIR)
    return signal


def _cut(signal: Signal, span: Span) -> Signal:
    if signal.rate == 0 or (span.start == 0 and np.isinf(span.stop)):
        return signal
    part = samples(span.path, span.start, span.stop, signal.rate, signal.data.shape[1])
    return replace(signal, data=np.ascontiguousarray(signal.data[:, part]))


def _array(path: Path, stream: str, facts: Facts) -> Signal:
    """(C, T), or (T,) of a single channel."""
    expected = "numbers (channels, samples) saved with numpy.save"
    try:
        data = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise UserError(path, f"no array that can be read ({error})", expected, _REPAIR) from None
    if not isinstance(data, np.ndarray) or data.dtype.kind not in "fiu":
        raise UserError(path, f"values of type {getattr(data, 'dtype', 'npz')}", expected, _REPAIR)
    data = data[None] if data.ndim == 1 else data
    names = facts.channels or ((stream,) if data.ndim == 2 and len(data) == 1 else None)
    if data.ndim != 2 or len(data) != len(names or data):
        turned = data.ndim == 2 and data.shape[1] == len(names or ())
        raise UserError(
            path,
            f"shape {data.shape}" + (": samples first, as it seems" if turned else ""),
            f"({len(names) if names else 'C'} channels, T samples)",
            "save it transposed: numpy.save(path, array.T)" if turned else "save one such array a trial",
        )
    if names is None or facts.rate is None:
        raise _undeclared(path, stream, facts, f"names of its {len(data)} rows")
    with np.errstate(over="ignore"):  # what overflows becomes infinite, and is refused by name later
        return Signal(np.ascontiguousarray(data, dtype=np.float32), facts.rate, names, facts.unit or "a.u.")


def _table(path: Path, stream: str, facts: Facts) -> Signal:
    """Names in the first row, then a row a sample; or what OpenFace writes."""
    expected = "channel names in the first row, then one row of numbers a sample"
    try:
        with path.open(encoding="utf-8-sig") as file:
            head, first = file.readline(), file.readline()
        if facts.channels is None and "au01_" in head.lower():
            from datamodules.formats.openface import read_openface

            return read_openface(path)
        separator = max(";,\t", key=head.count)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of rows longer than the header
            table = pd.read_csv(
                path,
                sep=separator,
                decimal="," if separator != "," and "," in first else ".",
                encoding="utf-8-sig",
                skipinitialspace=True,
                index_col=False,
                skip_blank_lines=False,
            )
    except UserError:
        raise
    except Exception as error:  # the decoder and the parser raise each their own
        raise UserError(path, f"no table ({error})", expected, _REPAIR) from None
    columns = [str(name).strip() for name in table.columns]
    names = facts.channels or (tuple(columns) if len(columns) == 1 else None)
    if names is None or facts.rate is None:
        raise _undeclared(path, stream, facts, f"some of its columns {columns[:40]}")
    if absent := [name for name in names if name not in columns]:
        raise UserError(path, f"no column {absent} among {columns[:40]}", expected, "correct channels in streams.yaml")
    filled = np.flatnonzero(table.notna().any(axis=1))
    table = table.iloc[
        : filled[-1] + 1 if len(filled) else 0
    ]  # a missing sample is an empty line, the last ones are not
    rows = []
    for name in names:
        column = table.iloc[:, columns.index(name)]
        values = pd.to_numeric(column.astype("string").str.replace(",", "."), errors="coerce")
        if (bad := values.isna() & column.notna()).any():
            row = int(bad.to_numpy().argmax())
            raise UserError(f"{path}, row {row + 2}", f"{name} {column.iloc[row]!r}", "a number", _REPAIR)
        rows.append(values.to_numpy(dtype=np.float32))
    return Signal(np.stack(rows), facts.rate, names, facts.unit or "a.u.")


def _undeclared(path: Path, stream: str, facts: Facts, names: str) -> UserError:
    lacks = [key for key in ("rate", "channels") if getattr(facts, key) is None]
    return UserError(
        path,
        f"{stream} whose {' and '.join(lacks)} nothing says",
        f"for {path.suffix} files, in streams.yaml: rate, Hz, and channels, {names}",
        f"add there, under streams:  {stream}: {{rate: 256, channels: [Fp1, Fp2], unit: µV}}",
    )
