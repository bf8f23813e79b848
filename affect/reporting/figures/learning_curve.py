"""The figure of learning curves: what a method gets from few labelled windows, trials or people."""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from affect.reporting.style import DASHES, INK, MARKERS, MUTED, PALETTE, Figure, Score, canvas, chance_line


class LearningCurves(TypedDict):
    """What is drawn.

    Args:
        title: of the figure.
        metric: what the scores are.
        chance: its level.
        x_label: what is counted.
        lines: method → count → score; counts may differ between methods.
    """

    title: str
    metric: str
    chance: float
    x_label: str
    lines: Mapping[str, Mapping[int, Score]]


def draw(curves: LearningCurves) -> Figure:
    """A line with its interval for each method, named at its end."""
    with canvas(curves["title"], 4.6) as figure:
        axis = figure.subplots()
        chance_line(axis, curves["chance"], "y")
        counts = sorted({count for line in curves["lines"].values() for count in line})
        ends = {"chance": (counts[-1], curves["chance"], MUTED)}
        for i, (name, line) in enumerate(curves["lines"].items()):
            cycle, colour, own = i // len(PALETTE), PALETTE[i % len(PALETTE)], sorted(line)
            means, lows, highs = ([line[count][key] for count in own] for key in ("mean", "low", "high"))
            axis.fill_between(own, lows, highs, color=colour, alpha=0.08, linewidth=0)
            for edge in (lows, highs):  # bands that lie on each other are told apart by their edges
                axis.plot(own, edge, color=colour, linewidth=0.7, alpha=0.6)
            axis.plot(own, means, color=colour, marker=MARKERS[i % len(MARKERS)], linestyle=DASHES[cycle % len(DASHES)])
            ends[name] = (own[-1], means[-1], colour)
        _count_axis(axis, counts)
        axis.set_xlabel(curves["x_label"])
        axis.set_ylabel(curves["metric"])
        _name_ends(axis, ends)
        return figure


def _count_axis(axis: Any, counts: Sequence[int]) -> None:
    """Ticks at the counts themselves; doublings evenly spaced where counts range widely, 0 included."""
    from matplotlib.ticker import NullLocator

    smallest = next((count for count in counts if count > 0), 1)
    if counts[-1] >= 8 * smallest:
        axis.set_xscale("symlog", base=2, linthresh=smallest)
    axis.set_xticks(counts, [str(count) for count in counts])
    axis.xaxis.set_minor_locator(NullLocator())


def _name_ends(axis: Any, ends: Mapping[str, tuple[int, float, str]]) -> None:
    """Names right of the axis, each as near to the end of its line as the others let it."""
    axis.figure.draw_without_rendering()  # lays out: from here on data have places in pixels
    names = sorted(ends, key=lambda name: ends[name][1])
    gap = 13 * axis.figure.dpi / 72
    wanted = axis.transData.transform([ends[name][:2] for name in names])[:, 1]
    low, high = axis.bbox.intervaly
    leader = {"arrowstyle": "-", "linewidth": 1.2, "shrinkA": 0, "shrinkB": 5, "relpos": (0, 0.5)}
    for name, place in zip(names, (spread(wanted, gap) - low) / (high - low), strict=True):
        count, mean, colour = ends[name]
        axis.annotate(
            name,
            (count, mean),
            (1.04, place),
            textcoords="axes fraction",
            color=MUTED if colour == MUTED else INK,
            va="center",
            annotation_clip=False,
            arrowprops=leader | {"color": colour},
        )


def spread(wanted: NDArray[np.float64], gap: float) -> NDArray[np.float64]:
    """Ascending places → the nearest places, in the sense of least squares, that are `gap` apart or more."""
    from scipy.optimize import isotonic_regression

    steps = gap * np.arange(len(wanted))
    moved: NDArray[np.float64] = isotonic_regression(wanted - steps).x + steps
    return moved
