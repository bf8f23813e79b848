"""The figure of topographies: a number for each electrode, on a head seen from above, nose up."""

from collections.abc import Mapping, Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from affect.reporting.style import Figure, canvas

_RIM = 1.08
"""The circle of the head, where 1 is the equator: the ring from Fpz over T7 to Oz lies on it or just inside."""


class Topographies(TypedDict):
    """What is drawn.

    Args:
        title: of the figure.
        channels: C names of the 10–5 system.
        rows: name → column → (C,) values.
        signed: whether values lie on both sides of 0, which is white then.
        unit: of the values.
        note: how they were computed.
    """

    title: str
    channels: Sequence[str]
    rows: Mapping[str, Mapping[str, NDArray[np.float64]]]
    signed: bool
    unit: str
    note: str


def draw(maps: Topographies) -> Figure:
    """A head for each row and column, all on one scale."""
    from mne.viz import plot_topomap

    rows = maps["rows"]
    columns = list(next(iter(rows.values())))
    most = max(float(np.abs(values).max()) for row in rows.values() for values in row.values()) or 1.0
    places = _places(maps["channels"])
    with canvas(maps["title"], 0.85 + (6.1 / max(3, len(columns)) + 0.15) * len(rows)) as figure:
        figure.set_layout_engine("compressed")  # heads are as wide as high
        axes = figure.subplots(len(rows), len(columns), squeeze=False)
        look = {"cmap": "RdBu_r", "vlim": (-most, most)} if maps["signed"] else {"cmap": "Reds", "vlim": (0, most)}
        look["sphere"] = (0.0, 0.0, 0.0, _RIM)
        for number, (name, row) in enumerate(rows.items()):
            for axis, column in zip(axes[number], columns, strict=True):
                image, _ = plot_topomap(row[column], places, axes=axis, show=False, contours=3, **look)
                axis.set_title("" if number else column, loc="center", size=9.5)
            axes[number, 0].set_ylabel(name, size=9)
        figure.colorbar(image, ax=list(axes.ravel()), shrink=0.9, aspect=15, label=maps["unit"])
        figure.supxlabel(maps["note"], size=8)
        return figure


def _places(channels: Sequence[str]) -> NDArray[np.float64]:
    """(C, 2) on the sphere that fits all standard places best, unrolled from its top: the angle is the distance."""
    from affect.encoders.electrodes import montage

    known = {name.upper(): place for name, place in montage().get_positions()["ch_pos"].items()}
    every = np.stack([*known.values()])
    fit = np.linalg.lstsq(np.c_[2 * every, np.ones(len(every))], (every**2).sum(axis=1), rcond=None)[0]
    x, y, z = (np.stack([known[name.upper()] for name in channels]) - fit[:3]).T
    around = np.arctan2(y, x)
    down = np.arctan2(np.hypot(x, y), z) / (np.pi / 2)
    return np.stack([down * np.cos(around), down * np.sin(around)], axis=1)
