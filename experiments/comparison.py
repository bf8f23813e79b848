"""A table of experiments/tables: its schema, and the figures it asks for.

    title: what is compared
    study: {class_path: experiments.reproductions.Moons, init_args: {…}}      # or
    experiments: [{config: experiments/configs/eegmat.yaml, overrides: ["--seeds=[0]"]}, …]
    metrics: [target accuracy]          # of the study; of experiments: names in summary.json, as macro_f1
    methods: {DANN: dann/subject}       # name in the table: name in the results; default: all, by their own names
    published:                          # each with its source and its protocol
      - {source: …, protocol: …, metric: target accuracy, figures: {DANN: {task: 0.9}}}
    beats: {DANN: NN}                   # on how many tasks is the first better?
    notes: [how our protocol differs]

A study yields a figure for each seed, method and task (see reproductions/study.py); an experiment is one task, its
rows `method/normalisation` are means over people, or over folds where its protocol says so.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, ValidationError, model_validator

from affect.errors import UserError
from affect.reporting.comparison import MEAN, Comparison, Figure, Published
from experiments.components import build
from experiments.config import Component, Experiment, Section
from experiments.load import load, put, read
from experiments.reproductions.study import Row, Study, finished, run

ROOT = Path(__file__).resolve().parent.parent
Text = Annotated[str, Field(min_length=1)]


class PublishedFigures(Section):
    source: Text
    """The publication and the number of its table."""
    protocol: Text
    """How the figures were made and selected."""
    metric: Text
    figures: Annotated[dict[str, Annotated[dict[str, float], Field(min_length=1)]], Field(min_length=1)]
    """Method → task → value."""


class ExperimentRuns(Section):
    config: Text
    """YAML of an experiment, from the project's root."""
    overrides: list[str] = Field(default_factory=list)
    """As on the command line of experiments/run.py."""
    task: str | None = None
    """Name in the table; default: that of the experiment."""
    target: str | None = None
    """Which target, where there are several; default: the first."""
    level: Literal["window", "trial"] = "window"
    """What is scored."""


class Table(Section):
    title: Text
    study: Component | None = None
    """A class of experiments.reproductions."""
    experiments: list[ExperimentRuns] = Field(default_factory=list)
    metrics: Annotated[list[Text], Field(min_length=1)]
    methods: dict[str, str] = Field(default_factory=dict)
    """Name in the table → name in the results; default: all."""
    published: list[PublishedFigures] = Field(default_factory=list)
    beats: dict[str, str] = Field(default_factory=dict)
    """Method → the one it is compared with task by task."""
    notes: list[Text] = Field(default_factory=list)
    """Under the table: above all, how our protocol differs from the published one."""

    @model_validator(mode="after")
    def _one_source(self) -> "Table":
        if (self.study is None) == (not self.experiments):
            raise ValueError("give either `study` or `experiments`")
        strangers = {one.metric for one in self.published} - set(self.metrics)
        if strangers:
            raise ValueError(f"published figures of {sorted(strangers)}, which are not among `metrics`")
        if self.methods:
            known = {*self.methods}
            named = {method for one in self.published for method in one.figures} | {*self.beats, *self.beats.values()}
            if named - known:
                raise ValueError(f"{sorted(named - known)} not among `methods`")
        return self


def load_table(path: Path, overrides: list[str]) -> Table:
    """Read and check a table.

    Args:
        overrides: `--a.b.c=value`, as of experiments/run.py.
    """
    tree = read(path)
    for override in overrides:
        put(tree, override)
    try:
        return Table.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or str(path)
        if first["type"] == "extra_forbidden":
            raise UserError(where, "no such key", "a key of the schema", f"correct {path}") from None
        remedy = f"correct {path}; the schema is in experiments/comparison.py"
        raise UserError(where, repr(first["input"])[:200], first["msg"], remedy) from None


def collect(table: Table, output: Path, make: bool, workers: int) -> tuple[Comparison, list[str]]:
    """The figures that are there, and in words what is missing.

    Args:
        output: folder of the results of studies; experiments have their own.
        make: run what is missing first.
        workers: units of a study at a time.
    """
    if table.study:
        figures, notes, missing = _of_study(build(table.study, Study, "study"), output, make, workers)
    else:
        figures, notes, missing = _of_experiments(table.experiments, table.metrics, make)
    names = table.methods or {figure.method: figure.method for figure in figures}
    chosen = [
        Figure(**{**vars(figure), "method": name})
        for metric in table.metrics
        for name, own in names.items()
        for figure in figures
        if figure.metric == metric and figure.method == own
    ]
    return Comparison(
        title=table.title,
        figures=chosen,
        published=[_published(one) for one in table.published],
        beats=list(table.beats.items()),
        notes=[*notes, *table.notes],
    ), missing


def _published(one: PublishedFigures) -> Published:
    """With the mean over tasks, where a method has several and none is given."""
    values = {(method, task): value for method, tasks in one.figures.items() for task, value in tasks.items()}
    for method, tasks in one.figures.items():
        if len(tasks) > 1:
            values.setdefault((method, MEAN), float(np.mean(list(tasks.values()))))
    return Published(one.source, one.protocol, one.metric, values)


def _of_study(study: Study, output: Path, make: bool, workers: int) -> tuple[list[Figure], list[str], list[str]]:
    found = run(study, output, workers) if make else finished(study, output)
    absent = [unit for unit in study.units() if unit not in found]
    units = len(study.units())
    missing = [f"{study.name}: {len(absent)} of {units} units, the first {absent[0]}"] if absent else []
    return summarise(study.rows(found)), study.notes(found) if found else [], missing


def summarise(rows: list[Row]) -> list[Figure]:
    """Over seeds: of every task, and of the mean over tasks, of seeds that have them all."""
    figures: list[Figure] = []
    for metric, method in dict.fromkeys((row.metric, row.method) for row in rows):
        own = [row for row in rows if row.metric == metric and row.method == method]
        tasks = list(dict.fromkeys(row.task for row in own))
        figures += [_figure(metric, method, task, [row.value for row in own if row.task == task]) for task in tasks]
        by_seed = {row.seed: [one.value for one in own if one.seed == row.seed] for row in own}
        complete = [float(np.mean(values)) for values in by_seed.values() if len(values) == len(tasks)]
        if len(tasks) > 1 and complete:
            figures.append(_figure(metric, method, MEAN, complete))
    return figures


def _figure(metric: str, method: str, task: str, values: list[float]) -> Figure:
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Figure(method, task, metric, float(np.mean(values)), len(values), "seeds", sd=sd)


def _of_experiments(
    runs: list[ExperimentRuns], metrics: list[str], make: bool
) -> tuple[list[Figure], list[str], list[str]]:
    figures: list[Figure] = []
    notes: list[str] = []
    missing: list[str] = []
    for one in runs:
        experiment = load(ROOT / one.config, one.overrides)
        task = one.task or experiment.name
        summary = _summary(experiment, make)
        if isinstance(summary, str):
            missing.append(f"{task}: {summary}")
            continue
        targets = summary["targets"]
        if one.target is not None and one.target not in targets:
            raise UserError("target", repr(one.target), f"one of {', '.join(targets)}", f"correct it for {one.config}")
        block = targets[one.target or next(iter(targets))]
        over = "folds" if summary["unit"] == "fold" else "people"
        for name, row in block["methods"].items():
            for metric in metrics:
                if metric not in row[one.level]:
                    allowed = ", ".join(row[one.level])
                    raise UserError("metrics", repr(metric), f"one of {allowed}", f"correct it for {one.config}")
                if score := row[one.level][metric]:
                    interval = (score["low"], score["high"])
                    n = len(score["subjects"])
                    figures.append(Figure(name, task, metric, score["mean"], n, over, interval=interval))
        notes += [f"{task}, {name}: {row['setting']}" for name, row in block["methods"].items()]
        notes.append(f"{task}: selection {summary['selection']}, seeds {summary['seeds']}")
    return figures, notes, missing


def _summary(experiment: Experiment, make: bool) -> Any:
    """Of an experiment whose runs are all done; else in words what is missing."""
    from experiments.check import check
    from experiments.plan import make as plan_of
    from experiments.session import run as run_experiment
    from experiments.summary import summarise as summary_of

    if make and run_experiment(experiment):
        return "runs that failed"
    plan = plan_of(check(experiment))
    absent = sum(not one.done for one in plan.runs)
    return f"{absent} of {len(plan.runs)} runs" if absent else summary_of(plan)
