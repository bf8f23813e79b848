"""Our figures beside published ones: what a table holds, and how it is laid out, whatever it is printed as."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from affect.evaluation.metrics import LOWER_IS_BETTER
from affect.reporting.verdict import LEVEL, sign, verdict
from affect.reporting.words import counted, probability

MEAN = "mean"


@dataclass(frozen=True)
class Against:
    """A figure against source-only under the same normalisation, person by person.

    Args:
        difference, low, high: method − source-only, mean over people and its 95 % interval.
        p: two-sided Wilcoxon signed-rank test over people.
        p_holm: the same after Holm, over all comparisons of this metric in the table.
        effect: matched-pairs rank-biserial correlation, 1 where everybody was helped.
        helped, hurt: people.
    """

    difference: float
    low: float
    high: float
    p: float
    p_holm: float
    effect: float
    helped: int
    hurt: int

    @property
    def better(self) -> bool:
        """Whether the method is better than source-only, and the test holds after Holm."""
        return self.sign > 0

    @property
    def sign(self) -> int:
        """1 better, −1 worse, 0 not told apart after Holm."""
        return sign(self.p_holm, self.effect)


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
        sd: standard deviation over `n`; over people, of each one's mean over seeds.
        interval: 95 %, where that is known.
        setting: what the method saw of the target.
        against: source-only, where the method is another.
        trivial: whether it is of a predictor that looks at no signal.
    """

    method: str
    task: str
    metric: str
    mean: float
    n: int
    over: str
    sd: float | None = None
    interval: tuple[float, float] | None = None
    setting: str = ""
    against: Against | None = None
    trivial: bool = False

    @property
    def text(self) -> str:
        """`0.763 ± 0.005`, `0.763 [0.751, 0.774]`, or both."""
        spread = f" ± {self.sd:.3f}" if self.sd is not None else ""
        return f"{self.mean:.3f}{spread}" + (f" {_between(*self.interval)}" if self.interval else "")


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
class Regret:
    """What the choice of one validator gets in a search, and how much less that is than the oracle's choice."""

    method: str
    task: str
    metric: str
    validator: str
    value: float
    regret: float


@dataclass(frozen=True)
class Comparison:
    """What a table shows.

    Args:
        figures: in the order of methods, then tasks.
        beats: (method, other): the table counts on how many tasks the first is better.
        facts: lines above the table: protocol, selection, people and seeds, chance.
        regrets: of every validator, where something was searched.
        marks: what nobody may overlook: stand-ins, figures of different code or data.
        notes: lines under the table.
        folders: of the experiments.
    """

    title: str
    figures: Sequence[Figure]
    published: Sequence[Published] = ()
    beats: Sequence[tuple[str, str]] = ()
    facts: Sequence[str] = ()
    regrets: Sequence[Regret] = ()
    marks: Sequence[str] = ()
    notes: Sequence[str] = field(default_factory=list)
    folders: Sequence[Path] = ()

    def of(self, metric: str) -> dict[tuple[str, str], Figure]:
        return {(figure.method, figure.task): figure for figure in self.figures if figure.metric == metric}

    def told(self, metric: str) -> dict[tuple[str, str], float]:
        """Published values of a metric; of several sources the first that gives one."""
        found: dict[tuple[str, str], float] = {}
        for one in self.published:
            if one.metric == metric:
                found = {**one.values, **found}
        return found

    def best(self, metric: str) -> set[tuple[str, str]]:
        """(method, task) in bold: the best of its task, trivial predictors included, and better than source-only
        after Holm. Where the best is not, nothing is."""
        ours, chosen = self.of(metric), set()
        sign = -1 if metric in LOWER_IS_BETTER else 1
        for task in {task for _, task in ours}:
            first = max((f for f in ours.values() if f.task == task), key=lambda figure: sign * figure.mean)
            if first.against and first.against.better:
                chosen.add((first.method, task))
        return chosen


class Cell(NamedTuple):
    """Of a block."""

    text: str
    bold: bool = False


@dataclass(frozen=True)
class Block:
    """A part of the table: a caption, a header and rows, and lines under them."""

    title: str
    caption: str
    header: list[str]
    rows: list[list[Cell]]
    lines: list[str] = field(default_factory=list)


def layout(comparison: Comparison) -> list[Block]:
    """For each metric the figures, and how they differ from source-only; then what each validator costs."""
    blocks = []
    for metric in dict.fromkeys(figure.metric for figure in comparison.figures):
        ours, told = comparison.of(metric), comparison.told(metric)
        methods, tasks = (list(dict.fromkeys(key[i] for key in ours)) for i in (0, 1))
        by_task = len(tasks) > max(1, len(methods))
        header, rows = _tasks_down(comparison, metric) if by_task else _methods_down(comparison, metric)
        lines = _distances(comparison, metric, methods, tasks)
        blocks.append(Block(metric, _caption(list(ours.values()), bool(told) and by_task), header, rows, lines))
        blocks += _tests(metric, list(ours.values()))
    return blocks + _regrets(comparison.regrets)


def _tasks_down(comparison: Comparison, metric: str) -> tuple[list[str], list[list[Cell]]]:
    """Many tasks: a row each, published figures in brackets."""
    ours, told, bold = comparison.of(metric), comparison.told(metric), comparison.best(metric)
    methods, tasks = (list(dict.fromkeys(key[i] for key in ours)) for i in (0, 1))

    def cell(key: tuple[str, str]) -> Cell:
        text = ours[key].text if key in ours else "–"
        return Cell(f"{text} ({told[key]:.3f})" if key in told else text, key in bold)

    return ["task", *methods], [[Cell(task), *(cell((method, task)) for method in methods)] for task in tasks]


def _methods_down(comparison: Comparison, metric: str) -> tuple[list[str], list[list[Cell]]]:
    """Few tasks: columns, with the published figure beside ours."""
    ours, told, bold = comparison.of(metric), comparison.told(metric), comparison.best(metric)
    methods, tasks = (list(dict.fromkeys(key[i] for key in ours)) for i in (0, 1))
    beside = {task: [one for one in told if one[1] == task and one in ours] for task in tasks}
    settings = {m: "; ".join(dict.fromkeys(f.setting for f in ours.values() if f.method == m)) for m in methods}
    header, rows = ["method"], [[Cell(method)] for method in methods]
    if any(settings.values()):
        header.append("setting")
        rows = [[*row, Cell(setting)] for row, setting in zip(rows, settings.values(), strict=True)]
    for task in tasks:
        header.append(task)
        header += ["published", "difference"] if beside[task] else []
        for row, method in zip(rows, methods, strict=True):
            key = (method, task)
            row.append(Cell(ours[key].text, key in bold) if key in ours else Cell("–"))
            if key in beside[task]:
                row += [Cell(f"{told[key]:.3f}"), Cell(f"{ours[key].mean - told[key]:+.3f}")]
            elif beside[task]:
                row += [Cell("–"), Cell("–")]
    return header, rows


def _tests(metric: str, figures: list[Figure]) -> list[Block]:
    """How methods differ from source-only under the same normalisation."""
    compared = [figure for figure in figures if figure.against]
    if not compared:
        return []
    header = ["method", "task", "difference", "p", "p (Holm)", "effect", "helped/hurt", "n"]
    rows = []
    for figure in compared:
        assert figure.against
        a = figure.against
        difference = f"{a.difference:+.3f} {_between(a.low, a.high, '+')}"
        texts = [figure.method, figure.task, difference, probability(a.p), probability(a.p_holm), f"{a.effect:+.2f}"]
        rows.append([Cell(text, a.better) for text in [*texts, f"{a.helped}/{a.hurt}", f"{figure.n}"]])
    caption = (
        f"difference [95 % interval] over {compared[0].over}; p: paired Wilcoxon; Holm over the {len(compared)} "
        f"comparisons of {metric} in this table; effect: matched-pairs rank-biserial correlation; bold: better, and "
        f"p (Holm) < {LEVEL:g}"
    )
    several = len({figure.task for figure in compared}) > 1
    told = verdict({f"{f.method} ({f.task})" if several else f.method: f.against.sign for f in compared if f.against})
    return [Block(f"{metric}: against source-only under the same normalisation", caption, header, rows, [told])]


def _regrets(regrets: Sequence[Regret]) -> list[Block]:
    blocks = []
    for task, metric in dict.fromkeys((one.task, one.metric) for one in regrets):
        own = {(r.method, r.validator): r for r in regrets if (r.task, r.metric) == (task, metric)}
        methods, validators = (list(dict.fromkeys(key[i] for key in own)) for i in (0, 1))
        rows = [
            [
                Cell(m),
                *(
                    Cell(f"{own[m, v].value:.3f} ({own[m, v].regret:.3f})" if (m, v) in own else "–")
                    for v in validators
                ),
            ]
            for m in methods
        ]
        caption = "mean over folds and seeds (regret: how much less than the oracle, who knows the target's labels)"
        blocks.append(Block(f"{task}: {metric} of what each validator chooses", caption, ["method", *validators], rows))
    return blocks


def _distances(comparison: Comparison, metric: str, methods: list[str], tasks: list[str]) -> list[str]:
    """How far from the published figures, and who beats whom on how many tasks."""
    ours, told, lines = comparison.of(metric), comparison.told(metric), []
    single = [task for task in tasks if task != MEAN]
    for method in methods:
        keys = [(method, task) for task in single if (method, task) in told and (method, task) in ours]
        apart = [abs(ours[key].mean - told[key]) for key in keys]
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
    return lines


def _caption(figures: list[Figure], in_brackets: bool) -> str:
    counts, over = sorted({figure.n for figure in figures}), figures[0].over
    number = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    spread = " ± standard deviation" if any(f.sd is not None for f in figures) else ""
    spread += " [95 % interval]" if figures[0].interval else ""
    nested = "" if over == "seeds" or not spread else ", seeds averaged first"
    compared = any(figure.against for figure in figures)
    bold = "; bold: the best, and better than source-only after Holm" if compared else ""
    return f"mean{spread} over {number} {over}{nested}{'; in brackets: published' if in_brackets else ''}{bold}"


def _between(low: float, high: float, sign: str = "") -> str:
    return f"[{low:{sign}.3f}, {high:{sign}.3f}]"
