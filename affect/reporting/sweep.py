"""A sweep's ranking: as text, and as a figure of the objective against each parameter."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from affect.reporting.style import GRID, MARKERS, PALETTE, canvas, save

SHOWN = 20
"""Trials that are printed."""


def text(rows: Sequence[Mapping[str, Any]], metric: str, reads_target: bool) -> str:
    """The best trials, a line each.

    Args:
        rows: as of ranking.json, the best first.
        reads_target: whether the objective looks at the target's unlabelled windows.
    """
    keys = list(rows[0]["parameters"]) if rows else []
    head = ["", "trial", metric, *keys, "experiment"]
    lines = [
        [
            str(rank),
            str(row["trial"]),
            row["state"] if row["score"] is None else f"{row['score']:.4f}",
            *(_short(row["parameters"].get(key)) for key in keys),
            row["experiment"] or "–",
        ]
        for rank, row in enumerate(rows[:SHOWN], start=1)
    ]
    widths = [max(map(len, column)) for column in zip(head, *lines, strict=True)]
    table = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in (head, *lines)
    ]
    more = [f"… and {len(rows) - SHOWN} more"] if len(rows) > SHOWN else []
    seen = "unlabelled windows of the target: transductive" if reads_target else "source people alone"
    return "\n".join([f"chosen by {metric} (the higher the better), which looks at {seen}", *table, *more])


def draw(rows: Sequence[Mapping[str, Any]], metric: str, title: str, path: Path) -> list[Path]:
    """The objective of finished trials against each parameter; a ring around the best.

    Returns:
        The files written, .png and .svg.
    """
    done = [row for row in rows if row["score"] is not None]
    keys = list(rows[0]["parameters"]) if rows else []
    with canvas(title, 3.6) as figure:
        axes = figure.subplots(1, max(1, len(keys)), sharey=True, squeeze=False)[0]
        for i, (axis, key) in enumerate(zip(axes, keys, strict=False)):
            values = [row["parameters"][key] for row in done]
            x, ticks = _places(values)
            axis.plot(x, [row["score"] for row in done], MARKERS[i % len(MARKERS)], color=PALETTE[i % len(PALETTE)])
            if done:
                axis.plot(x[:1], [done[0]["score"]], "o", markersize=13, fillstyle="none", color=PALETTE[1])
            if ticks:
                axis.set_xticks(range(len(ticks)), ticks)
            elif min(x, default=0) > 0 and max(x) > 20 * min(x):
                axis.set_xscale("log")
            axis.set_xlabel(key)
            axis.grid(color=GRID)
        axes[0].set_ylabel(metric)
        return save(figure, path)


def _places(values: Sequence[Any]) -> tuple[list[float], list[str]]:
    """Numbers where they lie; of words, each at a place of its own, in order."""
    try:
        return [float(value) for value in values], []
    except ValueError:
        names = sorted({str(value) for value in values})
        return [float(names.index(str(value))) for value in values], names


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
