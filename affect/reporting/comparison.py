"""Our figures beside published ones, as markdown or as tidy csv."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from affect.reporting.words import counted

MEAN = "mean"
_CSV = ("table", "metric", "task", "method", "mean", "sd", "low", "high", "n", "over", "published", "difference")


@dataclass(frozen=True)
class Figure:
    """One of ours.

    Args:
        method: as the table calls it.
        task: what it was tried on; `mean` for the mean over tasks.
        metric: what is measured.
        mean: over `n`.
        n: how many seeds, people or folds.
        over: what is counted by `n`.
        sd: standard deviation over `n`, where that is what is known of the spread.
        interval: 95 %, where that is.
    """

    method: str
    task: str
    metric: str
    mean: float
    n: int
    over: str
    sd: float | None = None
    interval: tuple[float, float] | None = None

    @property
    def text(self) -> str:
        """`0.763 ± 0.005`, or `0.763 [0.751, 0.774]`."""
        if self.interval:
            return f"{self.mean:.3f} [{self.interval[0]:.3f}, {self.interval[1]:.3f}]"
        return f"{self.mean:.3f}" + (f" ± {self.sd:.3f}" if self.sd is not None else "")


@dataclass(frozen=True)
class Published:
    """Figures of one source: (method, task) → value.

    Args:
        source: the publication, with the number of its table.
        protocol: how they were made, and selected.
    """

    source: str
    protocol: str
    metric: str
    values: dict[tuple[str, str], float]


@dataclass(frozen=True)
class Comparison:
    """What a table shows.

    Args:
        figures: in the order of methods, then tasks.
        beats: (method, other): the table counts on how many tasks the first is better.
        notes: lines under the table.
    """

    title: str
    figures: Sequence[Figure]
    published: Sequence[Published] = ()
    beats: Sequence[tuple[str, str]] = ()
    notes: Sequence[str] = field(default_factory=list)

    def of(self, metric: str) -> dict[tuple[str, str], Figure]:
        return {(figure.method, figure.task): figure for figure in self.figures if figure.metric == metric}

    def told(self, metric: str) -> dict[tuple[str, str], float]:
        """Published values of a metric; of several sources the first that gives one."""
        found: dict[tuple[str, str], float] = {}
        for one in self.published:
            if one.metric == metric:
                found = {**one.values, **found}
        return found


def markdown(comparison: Comparison) -> str:
    """A block for each metric; published figures in brackets where there are several tasks, else in a column."""
    lines = [f"# {comparison.title}"]
    for metric in dict.fromkeys(figure.metric for figure in comparison.figures):
        ours, told = comparison.of(metric), comparison.told(metric)
        methods, tasks = (list(dict.fromkeys(key[i] for key in ours)) for i in (0, 1))
        block = _many(ours, told, methods, tasks) if len(tasks) > 1 else _one(ours, told, methods, tasks[0])
        lines += ["", f"**{metric}** ({_spread(list(ours.values()), bool(told))})", "", *_piped(block)]
        lines += _summary(comparison, ours, told, methods, tasks)
    if comparison.published:
        lines += ["", "Published:", *(f"- {one.source}: {one.protocol}" for one in comparison.published)]
    if comparison.notes:
        lines += ["", "Notes:", *(f"- {note}" for note in comparison.notes)]
    return "\n".join(lines)


def as_csv(comparison: Comparison) -> str:
    """A line for each figure: title, metric, task, method, ours and what is known of its spread, published, source."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*_CSV, "source"])
    for f in comparison.figures:
        told, source = comparison.told(f.metric).get((f.method, f.task)), ""
        for one in comparison.published:
            if one.metric == f.metric and (f.method, f.task) in one.values:
                source = source or one.source
        low, high = f.interval or (None, None)
        row = [comparison.title, f.metric, f.task, f.method, f.mean, f.sd, low, high, f.n, f.over, told]
        writer.writerow([*row, None if told is None else f.mean - told, source])
    return out.getvalue()


def _many(
    ours: dict[tuple[str, str], Figure], told: dict[tuple[str, str], float], methods: list[str], tasks: list[str]
) -> list[list[str]]:
    def cell(key: tuple[str, str]) -> str:
        text = ours[key].text if key in ours else "–"
        return f"{text} ({told[key]:.3f})" if key in told else text

    return [["task", *methods], *([task, *(cell((method, task)) for method in methods)] for task in tasks)]


def _one(
    ours: dict[tuple[str, str], Figure], told: dict[tuple[str, str], float], methods: list[str], task: str
) -> list[list[str]]:
    rows = [["method", task, "published", "difference"]]
    for method in methods:
        figure, known = ours[method, task], told.get((method, task))
        beside = ["–", "–"] if known is None else [f"{known:.3f}", f"{figure.mean - known:+.3f}"]
        rows.append([method, figure.text, *beside])
    return rows


def _summary(
    comparison: Comparison,
    ours: dict[tuple[str, str], Figure],
    told: dict[tuple[str, str], float],
    methods: list[str],
    tasks: list[str],
) -> list[str]:
    """How far from the published figures, and who beats whom on how many tasks."""
    lines = []
    single = [task for task in tasks if task != MEAN]
    for method in methods:
        apart = [
            abs(ours[method, t].mean - told[method, t]) for t in single if (method, t) in told and (method, t) in ours
        ]
        if len(apart) > 1:
            lines.append(f"{method}: mean |difference| to published {np.mean(apart):.4f}, largest {max(apart):.3f}")
    for method, other in comparison.beats:
        both = [task for task in single if (method, task) in ours and (other, task) in ours]
        won = sum(ours[method, task].mean > ours[other, task].mean for task in both)
        if len(both) > 1:
            there = [task for task in both if (method, task) in told and (other, task) in told]
            published = sum(told[method, task] > told[other, task] for task in there)
            lines.append(
                f"{method} better than {other} on {won} of {counted(len(both), 'task')}"
                + (f" (published: {published} of {len(there)})" if there else "")
            )
    return ["", *(f"{line}  " for line in lines)] if lines else []


def _spread(figures: list[Figure], published: bool) -> str:
    counts = sorted({figure.n for figure in figures})
    number = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    kind = "[95 % interval]" if figures[0].interval else "± standard deviation"
    beside = "; in brackets: published" if published and len({figure.task for figure in figures}) > 1 else ""
    return f"mean {kind} over {number} {figures[0].over}{beside}"


def _piped(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |" for row in rows]
    return [lines[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *lines[1:]]
