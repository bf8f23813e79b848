"""The figure of embeddings: what an alignment does to the features of source and target."""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from affect.reporting.style import GRID, INK, MARKERS, PALETTE, Figure, canvas

POINTS = 800  # windows of one panel


class Embedded(TypedDict):
    """Features of n windows, in the plane.

    Args:
        place: (n, 2), as of `plane`.
        label: (n,) number of the class, -1 where it is unknown.
        person: (n,) number of whose they are.
        target: (n,) whether they are of the tested person.
        probe: what a straight line reads from the features themselves, in words.
    """

    place: NDArray[np.float64]
    label: NDArray[np.int64]
    person: NDArray[np.int64]
    target: NDArray[np.bool_]
    probe: str


def plane(features: NDArray[Any], seed: int = 0) -> NDArray[np.float64]:
    """(n, D) → (n, 2) by UMAP (McInnes et al., 2018), the same every time; standardised first.

    What lies near in the plane was near in the features; distances between clusters mean little.
    """
    import warnings

    from umap import UMAP

    deviation = features.std(axis=0)
    x = (features - features.mean(axis=0)) / np.where(deviation > 0, deviation, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a seed means one thread
        found: NDArray[np.float64] = UMAP(n_neighbors=min(15, len(x) - 1), random_state=seed).fit_transform(x)
    return found


def _marker(number: int) -> str:
    """Another one when colours begin again."""
    return MARKERS[(number + number // len(PALETTE)) % len(MARKERS)]


def draw(title: str, classes: Sequence[str], methods: Mapping[str, Embedded]) -> Figure:
    """Columns are methods; above, colour and sign are the class, rings the target; below, colour is the person and
    the target is black."""
    columns = len(methods)
    with canvas(title, 6.6) as figure:
        axes = figure.subplots(2, columns, squeeze=False)
        for (name, one), (above, below) in zip(methods.items(), axes.T, strict=True):
            of_class = [(one["label"] == i) for i in range(len(classes))]
            for i, rows in enumerate(of_class):
                look = {"marker": _marker(i), "linewidth": 0, "color": PALETTE[i % len(PALETTE)]}
                source, target = rows & ~one["target"], rows & one["target"]
                above.plot(*one["place"][source].T, markersize=2.8, alpha=0.35, markeredgewidth=0, **look)
                above.plot(*one["place"][target].T, markersize=5, markeredgecolor=INK, markeredgewidth=0.7, **look)
            people = np.unique(one["person"][~one["target"]])
            hue = dict(zip(people, np.linspace(0.05, 0.95, len(people)), strict=True))
            source = ~one["target"]
            colours = [hue[person] for person in one["person"][source]]
            look = {"s": 7, "cmap": "turbo", "alpha": 0.6, "linewidths": 0, "vmin": 0, "vmax": 1}
            below.scatter(*one["place"][source].T, c=colours, **look)
            below.plot(*one["place"][one["target"]].T, "o", color=INK, markersize=3.5, markeredgewidth=0)
            above.set_title(f"{name.replace('/', ' · ')}\n{one['probe']}", size=9)
        for axis in axes.ravel():
            axis.set_xticks([])
            axis.set_yticks([])
            axis.spines[:].set_color(GRID)
            axis.spines[:].set_visible(True)
        axes[0, 0].set_ylabel("by class")
        axes[1, 0].set_ylabel("by person")
        handles = [
            axes[0, 0].plot([], [], _marker(i), color=PALETTE[i % len(PALETTE)], label=name)[0]
            for i, name in enumerate(classes)
        ]
        ring = {"color": "white", "markeredgecolor": INK, "markersize": 6, "linewidth": 0}
        handles.append(axes[0, 0].plot([], [], "o", label="ringed above, black below: the tested", **ring)[0])
        figure.legend(handles=handles, loc="outside lower center", ncols=5, frameon=False, fontsize=8.5)
        return figure
