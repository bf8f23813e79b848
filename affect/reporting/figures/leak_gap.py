"""The figure of the leak gap: the same model under a random split of windows, of trials and of people."""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import numpy as np

from affect.reporting.style import INK, MUTED, PALETTE, Figure, Score, canvas, chance_line

_WORDS = {
    "windows": "windows at random\n(trials and people are shared)",
    "trials": "trials at random\n(people are shared)",
    "people": "people at random\n(never seen before)",
}


class LeakGapFigure(TypedDict):
    """What is drawn.

    Args:
        title: of the figure.
        chance: of balanced accuracy.
        splits: windows, trials (where it is defined), people → balanced accuracy over people.
        people: split → balanced accuracy of every person, in the same order.
        note: under the figure: what was the same in all splits.
    """

    title: str
    chance: float
    splits: Mapping[str, Score]
    people: Mapping[str, Sequence[float]]
    note: str


def draw(gap: LeakGapFigure) -> Figure:
    """A row for each split: its mean and interval, and the people as points behind them."""
    names = list(gap["splits"])
    with canvas(gap["title"], 1.5 + 0.75 * len(names)) as figure:
        axis = figure.subplots()
        chance_line(axis, gap["chance"], "x")
        axis.annotate(
            "chance", (gap["chance"], 1), (4, -10), xycoords=("data", "axes fraction"),
            textcoords="offset points", color=MUTED, size=8.5,
        )  # fmt: skip
        scatter = np.random.default_rng(0)
        for row, name in enumerate(names):
            score, colour = gap["splits"][name], PALETTE[0] if name == "people" else PALETTE[1]
            own = gap["people"][name]
            axis.plot(own, row + scatter.uniform(0.14, 0.3, len(own)), "o", color=colour, markersize=3.5, alpha=0.35)
            axis.plot([score["low"], score["high"]], [row, row], color=colour, linewidth=2.2, alpha=0.6)
            axis.plot(score["mean"], row, "o", color=colour, markersize=7.5)
            text = f"{score['mean']:.2f}".removeprefix("0")
            axis.annotate(
                text, (score["mean"], row), (0, 8), textcoords="offset points", ha="center", color=INK, weight="bold"
            )
        axis.set_yticks(range(len(names)), [_WORDS[name] for name in names])
        axis.set_ylim(len(names) - 0.45, -0.6)
        axis.set_xlim(min(0.0 if gap["chance"] < 0.4 else 0.3, min(map(min, gap["people"].values())) - 0.02), 1.02)
        axis.grid(visible=False, axis="y")
        axis.tick_params(axis="y", length=0)
        axis.set_xlabel(f"balanced accuracy, mean over people with its 95 % interval\n{gap['note']}")
        return figure


def of_audit(experiment: str, gap: Mapping[str, Any]) -> LeakGapFigure:
    """What is drawn of the `leak_gap` in an experiment's audit.json."""
    splits = gap["splits"]
    return {
        "title": f"{experiment}, {gap['target']}: one linear model, {len(splits)} ways to split",
        "chance": gap["chance"],
        "splits": {name: {"mean": s["mean"], "low": s["low"], "high": s["high"]} for name, s in splits.items()},
        "people": {name: list(split["subjects"].values()) for name, split in splits.items()},
        "note": f"{gap['training_windows']} training windows in each of {gap['folds']} folds, whatever the split",
    }
