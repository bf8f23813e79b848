"""The figure of topographies: a number for each electrode, on a head seen from above, nose up."""

from collections.abc import Mapping, Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from affect.reporting.style import Figure, canvas


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
    import mne

    from affect.encoders.electrodes import montage

    rows = maps["rows"]
    columns = list(next(iter(rows.values())))
    most = max(float(np.abs(values).max()) for row in rows.values() for values in row.values()) or 1.0
    info = mne.create_info(list(maps["channels"]), 256.0, "eeg", verbose="error")
    info.set_montage(montage(), match_case=False, verbose="error")
    with canvas(maps["title"], 1.1 + (7.2 / max(3, len(columns)) + 0.25) * len(rows)) as figure:
        axes = figure.subplots(len(rows), len(columns), squeeze=False)
        look = {"cmap": "RdBu_r", "vlim": (-most, most)} if maps["signed"] else {"cmap": "viridis", "vlim": (0, most)}
        for line, (name, row) in zip(axes, rows.items(), strict=True):
            for axis, column in zip(line, columns, strict=True):
                image, _ = mne.viz.plot_topomap(
                    row[column], info, axes=axis, show=False, contours=4, sensors="k.", **look
                )
                axis.set_title(column if line is axes[0] else "", loc="center", size=9.5)
            line[0].set_ylabel(name, size=9)
        figure.colorbar(image, ax=list(axes.ravel()), shrink=0.75, aspect=25, label=maps["unit"])
        figure.supxlabel(maps["note"], size=8)
        return figure
