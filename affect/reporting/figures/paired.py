"""The figure of paired dots: every person under source-only and under a method."""

from collections.abc import Mapping
from typing import TypedDict

from affect.reporting.style import INK, MUTED, PALETTE, Figure, canvas, chance_line

HELPED, HURT = PALETTE[0], PALETTE[1]
_ROW = 5  # panels side by side


class Paired(TypedDict):
    """What is drawn.

    Args:
        title: of the figure.
        metric: what the scores are.
        chance: its level; None where it has none.
        lower_is_better: as of an error.
        panels: name → (person → score under source-only, person → score under the method).
    """

    title: str
    metric: str
    chance: float | None
    lower_is_better: bool
    panels: Mapping[str, tuple[Mapping[str, float], Mapping[str, float]]]


def draw(paired: Paired) -> Figure:
    """A panel for each method: a line for each person, blue where the method helps, vermilion where it hurts; means
    in black."""
    rows = -(-len(paired["panels"]) // _ROW)
    with canvas(paired["title"], 0.7 + 2.9 * rows) as figure:
        columns = min(_ROW, max(3, len(paired["panels"])))
        axes = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
        for axis in axes[len(paired["panels"]) :]:
            axis.set_visible(False)
        for axis, (name, (before, after)) in zip(axes, paired["panels"].items(), strict=False):
            people = [person for person in before if person in after]
            sign = -1 if paired["lower_is_better"] else 1
            gains = [sign * (after[person] - before[person]) for person in people]
            if paired["chance"] is not None:
                chance_line(axis, paired["chance"], "y")
            for person, gain in zip(people, gains, strict=True):
                colour, style = (HELPED, "-") if gain > 0 else (HURT, "--") if gain < 0 else (MUTED, ":")
                look = {"color": colour, "linestyle": style, "linewidth": 1.0, "markersize": 3.5, "alpha": 0.65}
                axis.plot([0, 1], [before[person], after[person]], marker="o", **look)
            means = [sum(side[person] for person in people) / len(people) for side in (before, after)]
            axis.plot([0, 1], means, marker="D", color=INK, linewidth=2.4, markersize=6)
            helped, hurt = sum(gain > 0 for gain in gains), sum(gain < 0 for gain in gains)
            axis.set_title(f"{name.replace('/', ' · ')}\nhelped {helped}, hurt {hurt} of {len(people)}", size=8.5)
            axis.set_xticks([0, 1], ["source-only", name.partition("/")[0]], size=8.5)
            axis.set_xlim(-0.35, 1.35)
            axis.grid(visible=False, axis="x")
        for axis in axes[::columns]:
            axis.set_ylabel(paired["metric"])
        return figure
