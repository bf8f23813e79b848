"""The figure of the valence–arousal plane: where trials were rated to lie, and where they are predicted to."""

from collections.abc import Mapping
from typing import TypedDict

import numpy as np
import pandas as pd

from affect.reporting.style import MARKERS, MUTED, PALETTE, Figure, canvas

_MOST = 1500  # trials that are drawn


class Plane(TypedDict):
    """What is drawn.

    Args:
        title: of the figure.
        ratings: a row for each trial: valence, arousal, as it was rated.
        predicted: method → the same rows, as it predicts them.
        centre: (valence, arousal) where the quadrants meet.
        limits: lowest and highest of both; None: as the numbers lie.
        unit: what the axes show.
    """

    title: str
    ratings: pd.DataFrame
    predicted: Mapping[str, pd.DataFrame]
    centre: tuple[float, float]
    limits: tuple[float, float] | None
    unit: str


def draw(plane: Plane) -> Figure:
    """A panel for the ratings and one for each method; colour and sign are the quadrant that was rated."""
    ratings = plane["ratings"]
    chosen = np.random.default_rng(0).permutation(len(ratings))[:_MOST]
    pairs = zip(("valence", "arousal"), plane["centre"], strict=True)
    high = [ratings[name].to_numpy() > centre for name, centre in pairs]
    quadrant = (2 * high[0] + high[1])[chosen]
    panels = {"as rated": ratings, **plane["predicted"]}
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    names = ("low valence, low arousal", "low, high", "high, low", "high valence, high arousal")
    jitter = np.random.default_rng(1).normal(0, 1, (len(chosen), 2))
    with canvas(plane["title"], 0.8 + 2.75 * rows) as figure:
        axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
        for axis in axes[len(panels) :]:
            axis.set_axis_off()
        for axis, (name, frame) in zip(axes, panels.items(), strict=False):
            values = frame[["valence", "arousal"]].to_numpy(dtype=float)[chosen]
            if len(np.unique(values, axis=0)) < len(values) / 4:  # ratings on a few steps would hide each other
                values = values + 0.02 * np.ptp(values, axis=0) * jitter
            for i in range(4):
                own = quadrant == i
                look = {"markersize": 3, "alpha": 0.45, "linewidth": 0, "markeredgewidth": 0}
                axis.plot(*values[own].T, marker=MARKERS[i], color=PALETTE[i], label=names[i], **look)
            axis.axvline(plane["centre"][0], color=MUTED, linewidth=0.8)
            axis.axhline(plane["centre"][1], color=MUTED, linewidth=0.8)
            axis.set_title(name.replace("/", " · "))
            axis.set_xlabel(f"valence, {plane['unit']}")
            if plane["limits"]:
                axis.set_xlim(*plane["limits"])
                axis.set_ylim(*plane["limits"])
        for axis in axes[::columns]:
            axis.set_ylabel(f"arousal, {plane['unit']}")
        handles, labels = axes[0].get_legend_handles_labels()
        legend = figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=8.5)
        for handle in legend.legend_handles:
            handle.set(markersize=6, alpha=1)
        return figure
