"""The figure of missing streams: what each subset of streams is worth, and what random loss costs."""

from collections.abc import Mapping
from typing import Any, TypedDict

from affect.reporting.style import INK, MUTED, PALETTE, Figure, Score, canvas, chance_line

_BESIDE: dict[str, Any] = {"textcoords": "offset points", "color": MUTED, "size": 8.5}


class MissingStreams(TypedDict):
    """What is drawn.

    Args:
        title: of the figure.
        metric: what the scores are.
        chance: its level.
        subsets: streams that are there, joined by `+` → score.
        rates: share of streams lost at random, 0 … 1 → score.
        fused: the subset of all streams.
    """

    title: str
    metric: str
    chance: float
    subsets: Mapping[str, Score]
    rates: Mapping[float, Score]
    fused: str


def draw(curve: MissingStreams) -> Figure:
    """Left: a row for each subset, the largest first and the best first among its like. Right: score against loss."""
    height = max(3.4, 1.5 + 0.27 * len(curve["subsets"]))
    with canvas(curve["title"], height) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
        _subsets(left, curve)
        _rates(right, curve)
        return figure


def _subsets(axis: Any, curve: MissingStreams) -> None:
    scores = curve["subsets"]
    names = sorted(scores, key=lambda name: (-name.count("+"), -scores[name]["mean"]))
    chance_line(axis, curve["chance"], "x")
    axis.annotate("chance", (curve["chance"], 0), (4, 4), xycoords=("data", "axes fraction"), **_BESIDE)
    for row, name in enumerate(names):
        score, colour = scores[name], PALETTE[0] if name == curve["fused"] else INK
        axis.plot([score["low"], score["high"]], [row, row], color=colour, linewidth=1.8, alpha=0.6)
        axis.plot(score["mean"], row, "o", color=colour)
        fewer = row + 1 < len(names) and names[row + 1].count("+") < name.count("+")
        if fewer:
            axis.axhline(row + 0.5, color=MUTED, linewidth=0.5)
    axis.set_yticks(range(len(names)), [name.replace("+", " + ") for name in names])
    for name, label in zip(names, axis.get_yticklabels(), strict=True):
        label.set(color=PALETTE[0], weight="bold") if name == curve["fused"] else None
    axis.set_ylim(len(names) - 0.4, -0.6)
    axis.grid(visible=False, axis="y")
    axis.tick_params(axis="y", length=0)
    axis.set_title("with these streams alone")
    axis.set_xlabel(curve["metric"])


def _rates(axis: Any, curve: MissingStreams) -> None:
    rates = sorted(curve["rates"])
    scores = [curve["rates"][rate] for rate in rates]
    chance_line(axis, curve["chance"], "y")
    axis.annotate("chance", (0, curve["chance"]), (4, 2), xycoords=("axes fraction", "data"), **_BESIDE)
    lows, highs = [score["low"] for score in scores], [score["high"] for score in scores]
    axis.fill_between(rates, lows, highs, color=PALETTE[0], alpha=0.18, linewidth=0)
    axis.plot(rates, [s["mean"] for s in scores], "o-", color=PALETTE[0])
    axis.set_xlim(-0.03, 1.03 * max(rates) + 0.01)
    axis.xaxis.set_major_formatter("{x:.0%}")
    axis.set_title("each stream lost at random")
    axis.set_xlabel("share of windows in which it is lost")
    axis.set_ylabel(curve["metric"])


def of_summary(summary: Mapping[str, Any]) -> dict[str, MissingStreams]:
    """`target-method-normalisation` → what is drawn, for every row that was tested with streams missing."""
    from affect.evaluation.metrics import metrics_of

    found: dict[str, MissingStreams] = {}
    for target, block in summary["targets"].items():
        metric = metrics_of(block["classes"])[0]
        for row, missing in block["missing_streams"].items():
            subsets = {name: score for name, score in missing["subsets"].items() if score}
            found[f"{target}-{row.replace('/', '-')}"] = {
                "title": f"{summary['experiment']}: {target}, {row.replace('/', ', normalised by ')}",
                "metric": f"{metric.replace('_', ' ')}, mean over people who have them",
                "chance": block["chance"][metric],
                "subsets": subsets,
                "rates": {float(rate): score for rate, score in missing["rates"].items()},
                "fused": max(subsets, key=lambda name: name.count("+")),
            }
    return found
