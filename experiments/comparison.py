"""A table of experiments/tables: its schema, and the figures it asks for.

    title: what is compared
    study: {class_path: experiments.reproductions.Moons, init_args: {…}}      # or
    experiments: [{config: experiments/configs/eegmat.yaml, overrides: ["--seeds=[0]"]}, {folder: runs/eegmat-…}, …]
    metrics: [target accuracy]          # of the study; of experiments: names in summary.json, as macro_f1
    methods: {DANN: dann/subject}       # name in the table: name in the results; default: all, by their own names
    published:                          # each with its source and its protocol
      - {source: …, protocol: …, metric: target accuracy, figures: {DANN: {task: 0.9}}}
    beats: {DANN: NN}                   # on how many tasks is the first better?
    notes: [how our protocol differs]
    stand_in: {corpora: {Deap: {subjects: 4}}, overrides: ["--trainer.max_epochs=2"]}     # with --stand-in

A study yields a figure for each seed, method and task (see reproductions/study.py). An experiment yields a task for
each target; its rows `method/normalisation` are means over people, or over folds where its protocol says so. Trivial
predictors, and source-only beside whatever is compared with it, always have their rows.
"""

import inspect
import json
import sys
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field, ValidationError, model_validator

from affect.errors import UserError
from affect.evaluation.metrics import Level
from affect.evaluation.trivial import TRIVIAL
from affect.reporting.comparison import MEAN, Comparison, Figure, Published
from datamodules.download.sources import read_sources
from experiments.components import build
from experiments.config import Component, Experiment, Section
from experiments.data import build_corpora
from experiments.load import load, put, read
from experiments.reproductions.study import Row, Study, finished, run
from experiments.results import Result, corrected, mixture, stored

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
    config: str | None = None
    """YAML of an experiment, from the project's root."""
    overrides: list[str] = Field(default_factory=list)
    """As on the command line of experiments/run.py."""
    folder: str | None = None
    """Instead of `config`: a folder of results, `runs/NAME-HASH`, made here or elsewhere."""
    task: str | None = None
    """Name in the table; default: of several targets each one's name, else that of the experiment."""
    target: str | None = None
    """The only target that is asked for; default: all."""
    level: Level = "window"
    """What is scored."""
    row: str | None = None
    """Put before the names of its methods, `ROW: method/normalisation`, where experiments are rows."""

    @model_validator(mode="after")
    def _one_place(self) -> "ExperimentRuns":
        if (self.config is None) == (self.folder is None) or (self.folder and self.overrides):
            raise ValueError("give either `config`, with its `overrides`, or `folder`")
        return self


class StandIns(Section):
    root: str = "data/standin"
    """Folder of all stand-ins."""
    corpora: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Class of a corpus → arguments of its stand-in (datamodules.standin)."""
    overrides: list[str] = Field(default_factory=list)
    """Of every experiment, after its own: what makes it short."""


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
    stand_in: StandIns = StandIns()
    """What the table is made of on request, where its corpora are not at hand."""

    @model_validator(mode="after")
    def _one_source(self) -> "Table":
        if (self.study is None) == (not self.experiments):
            raise ValueError("give either `study` or `experiments`")
        strangers = {one.metric for one in self.published} - set(self.metrics)
        if strangers:
            raise ValueError(f"published figures of {sorted(strangers)}, which are not among `metrics`")
        if self.methods:
            known = {*self.methods, *TRIVIAL}
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


def collect(
    table: Table, output: Path, make: bool, workers: int, stand_in: bool = False, allow_mixed: bool = False
) -> tuple[Comparison, list[str]]:
    """The figures that are there, and in words what is missing.

    Args:
        output: folder of the results of studies; experiments have their own.
        make: run what is missing first.
        workers: runs, or units of a study, at a time.
        stand_in: put stand-ins in the place of corpora.
        allow_mixed: show results of different code or data beside each other, marked so.

    Raises:
        UserError: mixed results that are not allowed, or a table that asks for what is not there.
    """
    published = [_published(one) for one in table.published]
    empty = Comparison(table.title, [], published, list(table.beats.items()), notes=table.notes)
    if table.study:
        if stand_in:
            raise UserError("--stand-in", "a table of a study", "a table of experiments", "run it as it is")
        found, notes, missing = _of_study(build(table.study, Study, "study"), output, make, workers)
        figures = _chosen(table, found)
        return replace(empty, figures=figures, notes=[*notes, *table.notes]), missing
    results, missing = _results(table, make, workers, stand_in)
    marks = [f"MIXED: {difference}" for difference in mixture(results)]
    if marks and not allow_mixed:
        expected = "results of one code version and one state of each corpus"
        raise UserError(table.title, "; ".join(marks), expected, "run them again, or allow it: --allow-mixed")
    notes = list(table.notes)
    if invented := dict.fromkeys(name for result in results for name in result.invented):
        marks.insert(0, f"STAND-IN: invented recordings of {', '.join(invented)}; no figure is about people")
        notes += ["Published figures are left out: they are about people."] if published else []
    figures = [figure for result in results for figure in result.figures(table.metrics)]
    regrets = [regret for result in results for regret in result.regrets()]
    names = _names(table, figures)
    return replace(
        empty,
        figures=corrected(_chosen(table, figures)),
        facts=_facts(results),
        regrets=[replace(one, method=name) for name, own in names.items() for one in regrets if one.method == own],
        marks=marks,
        published=[] if invented else published,
        notes=notes,
        folders=list(dict.fromkeys(result.folder for result in results if result.folder)),
    ), missing


def _facts(results: list[Result]) -> list[str]:
    """How figures were made, the tasks of which that is the same together."""
    tasks: dict[str, dict[str, None]] = {}
    for result in results:
        for task, fact in result.facts().items():
            tasks.setdefault(fact, {})[task] = None
    return [f"{'; '.join(names)}: {fact}" for fact, names in tasks.items()]


def _chosen(table: Table, figures: list[Figure]) -> list[Figure]:
    """Under the table's names and in its order, trivial predictors last; what several experiments give, once."""
    found: dict[tuple[str, str, str], Figure] = {}
    for metric in table.metrics:
        own = [figure for figure in figures if figure.metric == metric]
        for name, method in _names(table, figures).items():
            for figure in own:
                if figure.method == method and not figure.trivial:
                    found.setdefault((metric, name, figure.task), replace(figure, method=name))
        for figure in own:
            if figure.trivial:
                found.setdefault((metric, figure.method, figure.task), figure)
    return list(found.values())


def _names(table: Table, figures: list[Figure]) -> dict[str, str]:
    """Name in the table → name in the results, with source-only under every normalisation that is compared with it."""
    methods = dict.fromkeys(figure.method for figure in figures if not figure.trivial)
    names = dict(table.methods) or {method: method for method in methods}
    for own in list(names.values()):
        before, _, normalisation = own.rpartition("/")
        row = f"{before.rpartition(': ')[0]}: " if ": " in before else ""
        reference = f"{row}source-only/{normalisation}"
        if own in methods and reference in methods and reference not in names.values():
            names[reference] = reference
    return names


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


def _results(table: Table, make: bool, workers: int, stand_in: bool) -> tuple[list[Result], list[str]]:
    """Of every experiment that is finished; in words what is missing of the others."""
    results: list[Result] = []
    missing: list[str] = []
    for one in table.experiments:
        found: dict[str, Any] | str
        folder = Path(one.folder).expanduser() if one.folder else None
        if folder is not None:
            name, found = str(one.folder), stored(folder)
        else:
            assert one.config is not None
            overrides = [f"--launcher.local.workers={workers}", *one.overrides]
            experiment = load(ROOT / one.config, overrides)
            if stand_in:
                corpora = json.dumps([_stand_in(c, table.stand_in) for c in experiment.data.corpus])
                changed = [*overrides, f"--data.corpus={corpora}", *table.stand_in.overrides]
                experiment = load(ROOT / one.config, changed)
            name = experiment.name
            made = _absent(experiment) or _summary(experiment, make)
            found, folder = (made, None) if isinstance(made, str) else made
        if isinstance(found, str):
            missing.append(f"{one.task or name}: {found}")
        else:
            results.append(Result(found, one.task, one.target, one.level, one.row, folder))
    return results, missing


def _stand_in(corpus: Component, sizes: StandIns) -> dict[str, Any]:
    """The stand-in of a corpus, with what it takes of the corpus's own arguments."""
    from datamodules import standin

    name = corpus.class_path.rpartition(".")[2]
    found = getattr(standin, f"StandIn{name}", None)
    if found is None:
        raise UserError("--stand-in", corpus.class_path, "a corpus with a stand-in", "see datamodules/standin")
    takes = inspect.signature(found).parameters
    own = {key: value for key, value in corpus.init_args.items() if key in takes}
    arguments = {**own, **sizes.corpora.get(name, {}), "root": sizes.root}
    return {"class_path": f"datamodules.standin.StandIn{name}", "init_args": arguments}


def _absent(experiment: Experiment) -> str | None:
    """In words which corpus is not at hand, and where to get it; None where all are."""
    for corpus in build_corpora(experiment):
        try:
            corpus.check()
        except UserError as error:
            told = f"{corpus.name} is not at {corpus.root} ({error.remedy})"
            source = read_sources(ROOT / "scripts" / "sources.yaml").get(corpus.name.replace("_", "-"))
            if source is None:
                return told
            how = source.ask or f"uv run python scripts/download.py {corpus.name} {corpus.root}"
            return (
                f"{told}\n  {source.title}: {source.page}\n  {how}\n  or try the table on stand-ins: --stand-in --run"
            )
    return None


def _summary(experiment: Experiment, make: bool) -> tuple[dict[str, Any], Path] | str:
    """Of an experiment whose runs are all done, with its folder; else in words what is missing."""
    from experiments.check import check
    from experiments.plan import make as plan_of
    from experiments.session import run as run_experiment
    from experiments.summary import summarise as summary_of

    with redirect_stdout(sys.stderr):  # the table alone goes to stdout
        if make and run_experiment(experiment):
            return "runs that failed"
    plan = plan_of(check(experiment))
    absent = [run for run in plan.runs if not run.done]
    if absent:
        half = sum(run.folder.exists() for run in absent)
        told = f" ({half} half-written)" if half else ""
        return f"{len(absent)} of {len(plan.runs)} runs{told}, the first {absent[0].label} in {absent[0].folder}"
    return summary_of(plan), plan.folder
