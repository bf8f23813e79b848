"""The figure of a split: who is where in every fold."""

from collections.abc import Mapping, Sequence
from typing import TypedDict

import numpy as np

from affect.reporting.style import GRID, INK, PALETTE, Figure, canvas

PARTS = {
    "source_train": ("source-train: labelled, learned from", PALETTE[5]),
    "source_val": ("source-val: labelled, chosen with", PALETTE[0]),
    "target_unlabelled": ("target-unlabelled: looked at, no labels", PALETTE[4]),
    "target_calibration": ("target-calibration: a few labels", PALETTE[2]),
    "target_test": ("target-test: scored", PALETTE[1]),
}
_TEXT = 40  # people or folds that have room for their names


class Split(TypedDict):
    """What is drawn.

    Args:
        title: of the figure.
        people: in order.
        folds: name → part → the people it has trials of.
    """

    title: str
    people: Sequence[str]
    folds: Mapping[str, Mapping[str, Sequence[str]]]


def draw(split: Split) -> Figure:
    """A row for each person, a column for each fold; who is in several parts has a stripe for each."""
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Patch

    people, folds = list(split["people"]), split["folds"]
    number = {person: i for i, person in enumerate(people)}
    stripes = 60  # a cell divides into up to five
    picture = np.ones((len(people), stripes, len(folds), 3))
    used = [part for part in PARTS if any(part in parts and parts[part] for parts in folds.values())]
    for column, parts in enumerate(folds.values()):
        of: dict[str, list[str]] = {}
        for part in used:
            for person in parts.get(part, ()):
                of.setdefault(person, []).append(part)
        for person, own in of.items():
            for i, part in enumerate(own):
                rows = slice(i * stripes // len(own), (i + 1) * stripes // len(own))
                picture[number[person], rows, column] = to_rgb(PARTS[part][1])
    height = min(7.0, max(1.2, 0.17 * len(people))) + 1.7
    with canvas(split["title"], height) as figure:
        axis = figure.subplots()
        extent = (0, len(folds), len(people), 0)
        axis.imshow(picture.reshape(-1, len(folds), 3), aspect="auto", interpolation="nearest", extent=extent)
        axis.grid(visible=False)
        axis.spines[:].set_visible(False)
        if len(people) <= 2 * _TEXT:
            axis.hlines(range(len(people) + 1), 0, len(folds), color="white", linewidth=1.2)
            axis.vlines(range(len(folds) + 1), 0, len(people), color="white", linewidth=1.2)
        every = -(-len(people) // _TEXT)
        axis.set_yticks(np.arange(0, len(people), every) + 0.5, people[::every], size=7)
        step = -(-len(folds) // _TEXT)
        names = list(folds)[::step]
        turned = 90 if sum(map(len, names)) > 60 else 0
        axis.set_xticks(np.arange(0, len(folds), step) + 0.5, names, size=7, rotation=turned)
        axis.tick_params(length=0)
        axis.set_xlabel("fold")
        axis.set_ylabel("person")
        handles = [Patch(color=PARTS[part][1], label=PARTS[part][0]) for part in used]
        if any(not any(p in parts.get(part, ()) for part in used) for parts in folds.values() for p in people):
            handles.append(Patch(facecolor="white", edgecolor=GRID, label="not in the fold"))
        place = "outside lower center"
        figure.legend(handles=handles, loc=place, ncols=2, frameon=False, fontsize=8.5, labelcolor=INK)
        return figure
