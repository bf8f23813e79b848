"""Trials of a sweep without a server (Optuna): side by side on this machine, or one by one on a cluster.

What was drawn and scored is in a journal beside the results. Values of grid and random sweeps depend on the number of
the trial alone; those of Bayes on the trials before it. A trial is an experiment like any other: its runs lie where
the door would put them, so that nothing is made twice.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock, Timeout
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from affect.errors import UserError
from datamodules.atomic import write_text
from datamodules.fingerprint import digest
from experiments.launchers import Report, launcher_of
from experiments.launchers.processes import Died, in_processes
from experiments.objective import Running
from experiments.plan import make
from experiments.summary import summarise
from experiments.sweep import Checked, Parameter, load_sweep

logging.getLogger("optuna").setLevel(logging.ERROR)


class _Stopped(BaseException):
    """A trial is not worth its other runs; a run's own handling of failures must not catch it."""


@dataclass(frozen=True)
class Searcher:
    """Makes trials until there are as many as asked for; goes by pickle to the process it works in.

    Args:
        more: overrides that say who makes the runs of a trial.
    """

    path: Path
    overrides: list[str]
    folder: Path
    trials: int
    more: tuple[str, ...]

    def __call__(self, report: Report) -> list[str]:
        checked, failures = load_sweep(self.path, self.overrides), []
        study = _study(checked, self.folder)
        while (trial := self._next(checked, study)) is not None:
            try:
                failures += _make(checked, study, trial, self.more)
            except _Stopped:
                study.tell(trial, state=TrialState.PRUNED)
            report(_told(study.get_trials(deepcopy=False)[trial.number]), 1)
        return failures

    def _next(self, checked: Checked, study: optuna.Study) -> Trial | None:
        with FileLock(self.folder / ".ask"):
            there = study.get_trials(deepcopy=False)
            waits = any(trial.state == TrialState.WAITING for trial in there)
            if not waits and _counted(study) >= self.trials:
                return None
            study.sampler = optuna.samplers.TPESampler(seed=len(there), constant_liar=True)
            return study.ask({key: _distribution(p) for key, p in checked.sweep.parameters.items()})


def search(path: Path, overrides: list[str], trials: int | None, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Make the trials of a sweep that are not there, and rank all of them.

    Args:
        trials: in all, those of earlier commands included; default: run_cap, or the whole grid.

    Returns:
        A row for each trial, the best first; also in `ranking.json` of the sweep's folder.
    """
    checked = load_sweep(path, overrides)
    count = _count(checked, trials)
    experiment = checked.experiment
    launcher = launcher_of(experiment)
    launcher.prepare()
    folder = folder_of(checked)
    make(experiment)  # the data is prepared once
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock", timeout=0):
            study = _study(checked, folder)
            _begin(checked, study, count)
            waiting = sum(trial.state == TrialState.WAITING for trial in study.get_trials(deepcopy=False))
            left = waiting + max(0, count - _counted(study))
            say(f"{count} trials, {count - left} done → {folder}")
            workers = min(launcher.workers, left)
            own = ("--launcher={local: {workers: 1}}",) if workers > 1 else ()
            searcher = Searcher(path, overrides, folder, count, own)

            def report(trial: str, _: int) -> None:
                say(trial)

            try:
                failures = in_processes(searcher, workers, report) if workers > 1 else searcher(report)
            except Died as death:
                failures = [str(death)]
    except Timeout:
        raise UserError(folder, "another command at work on this sweep", "one at a time", "wait for it") from None
    for failure in failures[:5]:
        say(f"failed: {failure}")
    rows = ranking(checked, study)
    write_text(folder / "ranking.json", json.dumps({"metric": checked.objective.name, "trials": rows}, indent=1))
    return rows


def folder_of(checked: Checked) -> Path:
    """Of a sweep's journal and ranking, named by all that decides what its trials are."""
    sweep = checked.sweep.model_dump(exclude={"name", "description", "project", "entity", "run_cap", "command"})
    experiment = checked.experiment.model_dump(mode="json", exclude={"launcher", "wandb", "output"})
    output = Path(checked.experiment.output).expanduser()
    return output / "sweeps" / f"{checked.sweep.name}-{digest([sweep, experiment], 8)}"


def ranking(checked: Checked, study: optuna.Study) -> list[dict[str, Any]]:
    """A row for each trial, the best first, those without a score last."""
    rows = [
        {
            "trial": trial.number,
            "score": trial.value if trial.state == TrialState.COMPLETE else None,
            "state": {"COMPLETE": "done", "PRUNED": "stopped early", "FAIL": "failed"}.get(trial.state.name, "open"),
            "parameters": trial.params,
            "experiment": trial.user_attrs.get("experiment"),
        }
        for trial in study.get_trials(deepcopy=False)
        if trial.number not in _interrupted(study)
    ]
    return sorted(rows, key=lambda row: (row["score"] is None, -(row["score"] or 0.0), row["trial"]))


def _make(checked: Checked, study: optuna.Study, trial: Trial, more: tuple[str, ...]) -> list[str]:
    """One trial: all runs of its experiment, its summary, its score."""
    plan = make(checked.trial(trial.params, *more))
    trial.set_user_attr("experiment", plan.folder.name)
    running = Running(plan, [checked.objective])

    def follow(label: str, epochs: int) -> None:
        for step, mean in running.news().get(checked.objective.name, []):
            trial.report(mean, step)
            if trial.should_prune():
                raise _Stopped

    failures = launcher_of(plan.experiment).launch(plan, follow)
    value = None if failures else checked.objective.value(plan)
    if failures or value is None:
        study.tell(trial, state=TrialState.FAIL)
        return [f"trial {trial.number}: {text}" for text in failures or ["a run has no score"]]
    summarise(plan)
    study.tell(trial, value)
    return []


def _study(checked: Checked, folder: Path) -> optuna.Study:
    storage = JournalStorage(JournalFileBackend(str(folder / "journal.log")))
    early = checked.sweep.early_terminate
    pruner: optuna.pruners.BasePruner = optuna.pruners.NopPruner()
    if early:  # W&B's hyperband stops a trial that is not among the best 1/eta at min_iter · etaⁿ, as this does
        pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=early.min_iter, reduction_factor=early.eta)
    return optuna.create_study(
        storage=storage, pruner=pruner, study_name="sweep", direction="maximize", load_if_exists=True
    )


def _begin(checked: Checked, study: optuna.Study, count: int) -> None:
    """Lay out what does not depend on scores, and take up again what an earlier command left."""
    running = [trial for trial in study.get_trials(deepcopy=False) if trial.state == TrialState.RUNNING]
    study.set_user_attr("interrupted", [*_interrupted(study), *(trial.number for trial in running)])
    for trial in running:
        study.tell(trial.number, state=TrialState.FAIL)
        study.enqueue_trial(trial.params)
    if checked.sweep.method != "bayes":
        grid = checked.grid() if checked.sweep.method == "grid" else None
        for number in range(_counted(study), count):
            study.enqueue_trial(grid[number] if grid else checked.drawn(number))


def _interrupted(study: optuna.Study) -> list[int]:
    """Trials of killed commands, each begun again under another number."""
    return list(study.user_attrs.get("interrupted", []))


def _counted(study: optuna.Study) -> int:
    return len(study.get_trials(deepcopy=False)) - len(_interrupted(study))


def _told(trial: FrozenTrial) -> str:
    score = "stopped early" if trial.state == TrialState.PRUNED else "failed"
    if trial.state == TrialState.COMPLETE:
        score = f"{trial.value:.4f}"
    return " · ".join([f"trial {trial.number}", score, *(f"{key} {value}" for key, value in trial.params.items())])


def _count(checked: Checked, trials: int | None) -> int:
    whole = len(checked.grid()) if checked.sweep.method == "grid" else None
    count = trials or checked.sweep.run_cap or whole
    if count is None:
        raise UserError("--trials", "nothing, and no run_cap", "how many trials", "give one of them")
    return min(count, whole) if whole else count


def _distribution(parameter: Parameter) -> BaseDistribution:
    if parameter.choices is not None:
        return CategoricalDistribution(parameter.choices)
    assert parameter.min is not None
    assert parameter.max is not None
    if parameter.whole:
        return IntDistribution(int(parameter.min), int(parameter.max))
    return FloatDistribution(float(parameter.min), float(parameter.max), log=parameter.log)
