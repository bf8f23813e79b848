"""The figure of confusion matrices: which class is taken for which, as a mean over people."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affect.evaluation.metrics import columns_of
from affect.reporting.style import INK, Figure, canvas

_WIDE = 4  # classes, from which on fewer panels fit side by side


class Confusions(TypedDict):
    """What is drawn.

    Args:
        title: of the figure.
        classes: K names.
        panels: name → (K, K) shares, rows the true class; NaN in the rows of classes that nobody has.
        counts: (K,) windows of each class.
        people: (K,) how many have it.
    """

    title: str
    classes: Sequence[str]
    panels: Mapping[str, NDArray[np.float64]]
    counts: Sequence[int]
    people: Sequence[int]


def confusion(predictions: pd.DataFrame, target: str, classes: Sequence[str]) -> NDArray[np.float64]:
    """(P, K, K) of each person of a table of predictions: shares of what windows of a class were taken for; NaN where
    the person has none."""
    known = predictions[predictions[f"label_{target}"].notna()]
    label = known[f"label_{target}"].to_numpy().astype(int)
    predicted = known[columns_of(target, classes)].to_numpy().argmax(axis=1)
    person, names = pd.factorize(known["subject"])
    counts = np.zeros((len(names), len(classes), len(classes)))
    np.add.at(counts, (person, label, predicted), 1)
    total = counts.sum(axis=2, keepdims=True)
    shares: NDArray[np.float64] = np.divide(counts, total, out=np.full_like(counts, np.nan), where=total > 0)
    return shares


def draw(confusions: Confusions) -> Figure:
    """A panel for each method; every row sums to 1, the diagonal is the recall."""
    classes, panels = confusions["classes"], confusions["panels"]
    columns = min(len(panels), 4 if len(classes) <= _WIDE else 3)
    rows, side = -(-len(panels) // columns), 6.2 / max(columns, 2)
    height = rows * (side + 0.25) + 1.7
    with canvas(confusions["title"], height) as figure:
        figure.set_layout_engine("compressed")  # squares leave room
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for axis in axes[len(panels) :]:
            axis.set_visible(False)
        image: Any = None
        for number, (axis, (name, shares)) in enumerate(zip(axes, panels.items(), strict=False)):
            image = axis.imshow(shares, vmin=0, vmax=1, cmap="Blues")
            small = 7.0 if len(classes) > 5 else 9.0
            for (row, column), share in np.ndenumerate(shares):
                if np.isfinite(share) and (len(classes) <= 10 or row == column):
                    colour = "white" if share > 0.55 else INK
                    text = f"{share:.2f}".removeprefix("0") if share < 1 else "1"
                    axis.text(column, row, text, ha="center", va="center", color=colour, size=small)
            axis.set_title(name.replace("/", " · "), size=9)
            below = number + columns >= len(panels)  # no other panel is
            names = classes if below else [""] * len(classes)
            axis.set_xticks(range(len(classes)), names, rotation=90 if len(classes) > 3 or columns > 3 else 0, size=8)
            axis.set_xlabel("taken for" if below else "")
            axis.set_yticks(range(len(classes)), classes if number % columns == 0 else [""] * len(classes), size=8)
            axis.grid(visible=False)
            axis.spines[:].set_visible(False)
            axis.tick_params(length=0)
        for axis in axes[::columns]:
            axis.set_ylabel("true class")
        figure.colorbar(image, ax=list(axes), shrink=0.8, aspect=25, label="share of the true class")
        told = zip(classes, confusions["counts"], confusions["people"], strict=True)
        counts = ", ".join(f"{name} {n} ({people})" for name, n, people in told)
        said = f"mean over people who have the class; windows of each class (people): {counts}"
        figure.supxlabel(textwrap.fill(said, 120), size=8)
        return figure
