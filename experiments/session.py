"""One experiment from a checked config to its printed table, with progress."""

import sys
from types import TracebackType
from typing import Any

from tqdm import tqdm

from experiments.check import check
from experiments.config import Experiment


def run(experiment: Experiment, dry_run: bool = False, audit: bool = False) -> int:
    """Prepare, run what is not done, print the table, write the page; or look for leaks.

    Returns:
        0, or 1: a run failed, or there is a leak.
    """
    tracking = experiment.wandb.mode
    experiment = check(experiment)
    if experiment.wandb.mode != tracking:
        _say("nobody is logged in to W&B: goes on offline, as wandb.without_key says")
    from experiments.launchers import launcher_of
    from experiments.objective import AgentRun
    from experiments.plan import make

    launcher = launcher_of(experiment)
    if not (dry_run or audit):
        agent = AgentRun(experiment)
        launcher.prepare()
    with Progress("people") as bar:
        plan = make(experiment, bar.stage)
    done = sum(run.done for run in plan.runs)
    for reason in plan.dropped:
        _say(f"left out: {reason}")
    _say("\n".join(labels(plan, everybody=dry_run)))
    if dry_run:
        print(describe(plan))
        return 0
    if audit:
        from experiments.audit import report

        text, leaks = report(plan)
        print(text)
        return int(leaks)
    _say(f"{len(plan.runs)} runs, {done} done → {plan.folder}")
    from experiments.summary import summarise
    from experiments.tracking_summary import track_summary

    with Progress("epochs", (len(plan.runs) - done) * experiment.trainer.max_epochs) as bar:
        failures = launcher.launch(plan, agent.follow(plan, bar.epoch))
    if failures:
        for failure in failures[:5]:
            print(f"error: {failure}", file=sys.stderr)
        print(f"{len(failures)} failures; finished runs are kept, the same command tries the rest", file=sys.stderr)
        return 1
    if experiment.pretraining:
        from experiments.pretrain import summarise_pretraining

        print(summarise_pretraining(plan))
        track_summary(plan)
        _say(f"\nweights for --model.transfer.STREAM.weights: {plan.folder}")
        return 0
    from affect.reporting.table import table

    print(table(summarise(plan)))
    from experiments.report import ExperimentFolder, brief, write_page

    folder = ExperimentFolder(plan.folder)
    page = write_page(folder, list(brief(folder)))
    track_summary(plan)
    agent.finish(plan)
    _say(f"\n{folder.path / 'summary.json'}\n{page}")
    return 0


def labels(plan: Any, everybody: bool) -> list[str]:
    """How the labels of every target are distributed, and with `everybody` those of each person."""
    from affect.reporting.priors import of_all, of_everybody
    from experiments.priors import priors

    lines = []
    for target, column in zip(plan.targets, plan.labels.T, strict=True):
        found = priors(target, column, plan.windows)
        lines.append(of_all(target.name, found, target.classes))
        if everybody:
            lines += [f"  {line}" for line in of_everybody(found, target.classes)]
    return lines


def describe(plan: Any) -> str:
    """The plan in words: folds, who is in each, runs, what is already done."""
    trials = plan.windows.trials

    def who(rows: Any) -> str:
        people = list(dict.fromkeys(trials["subject"].iloc[rows]))
        shown = ", ".join(people[:6]) + (f" … ({len(people)})" if len(people) > 6 else "")
        return f"{shown} [{len(rows)} trials, {len(plan.windows.table.of_trials(rows))} windows]" if len(rows) else "–"

    lines = [
        f"{plan.experiment.name}: {len(plan.windows.people)} people, {len(trials)} trials, "
        f"{len(plan.windows.table)} windows of {plan.windows.table.seconds:g} s"
    ]
    for fold in plan.folds:
        lines.append(f"fold {fold.name}")
        lines.append(f"  source-train       {who(fold.source_train)}")
        lines.append(f"  source-val         {who(fold.source_val)}")
        lines.append(f"  target-unlabelled  {who(fold.target_unlabelled)}")
        lines.append(f"  target-test        {who(fold.target_test)}")
        if fold.calibration:
            lines.append(f"  target-calibration {who(fold.target_calibration)}")
    lines.append("runs")
    groups: dict[tuple[str, str, str], list[Any]] = {}
    for item in plan.runs:
        groups.setdefault((item.method, item.normalisation, item.setting), []).append(item)
    for (method, normalisation, setting), runs in groups.items():
        done = sum(item.done for item in runs)
        lines.append(
            f"  {method} · {normalisation} · {setting}: {len(runs)} runs "
            f"({len(plan.folds)} folds × seeds {plan.experiment.seeds}), {done} done"
        )
    lines.append(f"{sum(item.done for item in plan.runs)} of {len(plan.runs)} runs done → {plan.folder}")
    return "\n".join(lines)


class Progress:
    """A bar with the time left on a terminal; silent elsewhere.

    Args:
        unit: of what is counted.
        total: how many there are, where that is known from the start.
    """

    def __init__(self, unit: str, total: int = 0) -> None:
        self._bar = tqdm(total=total, unit=f" {unit}", disable=not sys.stderr.isatty(), leave=False, smoothing=0.05)
        self._seen: dict[str, int] = {}

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._bar.close()

    def stage(self, what: str, done: int, total: int) -> None:
        """`done` of `total` subjects through a stage of the preparation."""
        self._bar.total, self._bar.n = total, done
        self._bar.set_description(what)

    def epoch(self, label: str, epochs: int) -> None:
        """A run has finished `epochs` epochs."""
        self._bar.update(epochs - self._seen.get(label, 0))
        self._seen[label] = epochs
        self._bar.set_description(label)


def _say(text: str) -> None:
    print(text, flush=True)
