"""Action units as OpenFace's FeatureExtraction writes them: one csv a film, one row a frame.

Baltrušaitis, Zadeh, Lim, Morency: OpenFace 2.0: Facial Behavior Analysis Toolkit. IEEE FG 2018.
"""

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from affect.batch import Signal
from affect.errors import UserError
from datamodules.formats.tables import AGAIN, numbers, read_table

_GRADED = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45)
ACTION_UNITS = (
    *(f"AU{number:02d}_r" for number in _GRADED),
    *(f"AU{number:02d}_c" for number in sorted((*_GRADED, 28))),
)
"""The 17 intensities (_r, 0–5) and 18 presences (_c, 0 or 1), in the order of OpenFace's files."""
UNIT = "intensity 0–5 (_r), presence 0–1 (_c)"
_EXPECTED = "a csv of OpenFace's FeatureExtraction with frame, timestamp, success and action units (AU01_r …)"


def read_openface(path: Path) -> Signal:
    """The action units of a film, (C, T) a value a frame, in the order of the file's columns.

    A frame whose face was not tracked (success 0) is NaN in all channels: what OpenFace writes there is left over
    from other frames. Pose, gaze and landmarks are left out.

    Raises:
        UserError: not such a file, cut off, more than one face, or frames that are not evenly spaced.
    """
    wanted = re.compile(r"frame|timestamp|success|au\d\d_[rc]")
    table = read_table(path, ("frame", "timestamp", "success"), _EXPECTED, lambda name: bool(wanted.fullmatch(name)))
    columns = [c for c in table.columns if re.fullmatch(r"au\d\d_[rc]", c)]
    if not columns:
        raise UserError(path, f"no action unit among {list(table.columns)[:20]}", _EXPECTED, "run it with -aus")
    facts = numbers(table, ("frame", "timestamp", "success"), path)
    lost = facts["success"] == 0
    table.loc[lost, columns] = None  # whatever stands there, "-nan(ind)" included
    units = numbers(table, columns, path)
    gaps = units.isna().any(axis=1) & ~lost | facts.isna().any(axis=1)
    if gaps.any():
        row = f"{path}, row {int(gaps.to_numpy().argmax()) + 2}"
        raise UserError(
            row, "cells without a number", "a number in every column", "the file was cut off: write it again"
        )
    if facts["frame"].duplicated().any():
        raise UserError(
            path, "more than one face in a frame", "one face", "use FeatureExtraction, which follows one face"
        )
    rate = _frame_rate(facts["timestamp"].to_numpy(), path)
    names = tuple(c[:-1].upper() + c[-1] for c in columns)
    return Signal(np.ascontiguousarray(units.to_numpy(np.float32).T), rate, names, UNIT)


def _frame_rate(stamps: NDArray[np.float64], path: Path) -> float:
    """Hz, from time stamps rounded to ms.

    A film has a whole number of frames a second, or that number · 1000/1001 (29.97); the mean distance of rounded
    stamps is a little off either, and clips of one film camera would differ.
    """
    if len(stamps) < 2:
        raise UserError(path, "fewer than two frames", "a film", AGAIN)
    steps = np.diff(stamps)
    usual = float(np.median(steps))
    if not usual > 0 or np.abs(steps - usual).max() > usual / 2:
        found = f"frames {1000 * steps.min():.0f} to {1000 * steps.max():.0f} ms apart"
        raise UserError(path, found, "evenly spaced frames", "convert the film to a constant frame rate first")
    rate = (len(stamps) - 1) / float(stamps[-1] - stamps[0])
    usual_rates = np.array([round(rate), round(rate * 1.001) / 1.001])
    nearest = float(usual_rates[np.abs(usual_rates - rate).argmin()])
    rounding = 2e-3 / float(stamps[-1] - stamps[0])
    return nearest if abs(nearest / rate - 1) < rounding else rate
