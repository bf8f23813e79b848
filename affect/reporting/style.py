"""One look for every figure: colours that the colour-blind tell apart, sizes, and how a figure is saved."""

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypedDict

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe & Ito, Color Universal Design (2008), without their yellow, which a line on white does not show."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""A second sign beside each colour, for those who print in grey."""
DASHES = ("-", "--", ":")
"""A third, for lines beyond the seventh."""
INK, MUTED, GRID = "#222222", "#6B6B6B", "#E4E4E4"
Figure: TypeAlias = Any
"""matplotlib's, which is imported when the first one is drawn and not before: it takes a second."""
WIDTH = 8.0
"""Inches; at 150 dots an inch a figure is 1200 pixels wide."""

_SETTINGS: dict[str, Any] = {
    "figure.dpi": 150,
    "savefig.dpi": 150,
    "figure.constrained_layout.use": True,
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same everywhere
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.titlepad": 9,
    "figure.titlesize": 11.5,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "lines.linewidth": 2.0,
    "lines.markersize": 6,
    "svg.hashsalt": "affect",  # the same figure is the same file
}


class Score(TypedDict):
    """What is drawn as a dot and an interval: a mean over people."""

    mean: float
    low: float
    high: float


@contextmanager
def canvas(title: str, height: float) -> Iterator[Figure]:
    """A figure of the project's width and look, with its title; drawn inside the `with`, without pyplot.

    Args:
        height: inches.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with rc_context(_SETTINGS):
        figure = Figure(figsize=(WIDTH, height))
        FigureCanvasAgg(figure)
        figure.suptitle(textwrap.fill(title, 86), x=0.01, ha="left", weight="bold")
        yield figure


def save(figure: Figure, path: Path) -> list[Path]:
    """Write the figure as pixels and as vectors, beside each other.

    Args:
        path: of the figure; its folder is made, its suffix replaced by .png and .svg.

    Returns:
        The files written, .png and .svg.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    paths = [path.with_suffix(".png"), path.with_suffix(".svg")]
    for one in paths:
        one.write_bytes(encoded(figure, "png" if one.suffix == ".png" else "svg"))
    return paths


def encoded(figure: Figure, form: Literal["png", "svg"]) -> bytes:
    """The figure as the content of a file; the same figure is the same bytes."""
    from matplotlib import rc_context

    file = BytesIO()
    with rc_context(_SETTINGS):  # what is laid out late, ticks above all, has the same look
        figure.savefig(file, format=form, **({"metadata": {"Date": None}} if form == "svg" else {}))
        figure.set_layout_engine("none")  # laid out once, which is half of the work
    return file.getvalue()


def chance_line(axis: Any, chance: float, along: Literal["x", "y"]) -> None:
    """A dashed line at chance level, across the axis that the scores are on."""
    look = {"color": MUTED, "linestyle": (0, (4, 3)), "linewidth": 1.2, "zorder": 1}
    axis.axvline(chance, **look) if along == "x" else axis.axhline(chance, **look)
