"""The figure of risk and coverage: how many errors are left when a model may keep silent."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from affect.reporting.figures.reliability import Confidence
from affect.reporting.style import DASHES, PALETTE, Figure, canvas

COVERAGE: NDArray[np.float64] = np.linspace(0.05, 1, 20)


def risk(told: Confidence) -> NDArray[np.float64]:
    """(20,) error among the most confident share of windows, each of COVERAGE; a mean over people, each of whose own
    windows are sorted (El-Yaniv & Wiener, JMLR 2010)."""
    curves = []
    for person in np.unique(told["subject"]):
        own = told["subject"] == person
        order = np.argsort(-told["confidence"][own], kind="stable")
        errors = np.cumsum(~told["correct"][own][order])
        kept = np.maximum(1, np.ceil(COVERAGE * len(order) - 1e-9).astype(int))
        curves.append(errors[kept - 1] / kept)
    mean: NDArray[np.float64] = np.mean(curves, axis=0)
    return mean


def draw(title: str, methods: Mapping[str, Confidence]) -> Figure:
    """A line for each method; a good one falls to the left."""
    with canvas(title, 3.6) as figure:
        axis = figure.subplots()
        for i, (name, told) in enumerate(methods.items()):
            line = risk(told)
            look = {"color": PALETTE[i % len(PALETTE)], "linestyle": DASHES[i // len(PALETTE) % len(DASHES)]}
            label = f"{name.replace('/', ' · ')}: area {line.mean():.3f}"
            axis.plot(COVERAGE, line, label=label, linewidth=1.7, **look)
        axis.set_xlim(0, 1.01)
        axis.set_ylim(bottom=0)
        axis.xaxis.set_major_formatter("{x:.0%}")
        axis.set_xlabel("coverage: share of each person's windows, the most confident first")
        axis.set_ylabel("error, mean over people")
        axis.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.01, 1))
        return figure
