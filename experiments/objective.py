"""What a sweep maximises: a validator's score, which reads no target label, and how it stands while runs are made."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from affect.errors import UserError
from affect.evaluation.selection import VALIDATORS
from experiments.config import Experiment
from experiments.launchers import Report
from experiments.plan import Plan, Run


@dataclass(frozen=True)
class Objective:
    """`selection/VALIDATOR`, the mean over all runs, or `selection/METHOD/VALIDATOR`, over those of a method.

    The higher the better. Scores of target labels have no name here.
    """

    validator: str
    method: str | None = None

    @classmethod
    def named(cls, name: str) -> "Objective":
        """
        Raises:
            UserError: a name of anything else.
        """
        kind, _, rest = name.partition("/")
        method, _, validator = rest.rpartition("/")
        if kind != "selection" or validator not in VALIDATORS:
            raise UserError(
                "metric.name",
                f"{name!r}",
                f"selection/VALIDATOR or selection/METHOD/VALIDATOR, a validator being one of {', '.join(VALIDATORS)}",
                "choose by a score that reads no label of the target: one that does would be an oracle's",
            )
        return cls(validator, method or None)

    @property
    def name(self) -> str:
        return "/".join(["selection", *([self.method] if self.method else []), self.validator])

    def scores(self, plan: Plan) -> Iterator[float | None]:
        """Of the finished runs at the beginning of the plan: in the same order whoever finishes first."""
        for run in plan.runs:
            if self.method in (None, run.method):
                if not run.done:
                    return
                yield _scores(run)[self.validator]

    def value(self, plan: Plan) -> float | None:
        """Mean over the runs; None where one of them has no score, as one that diverged."""
        return _mean(list(self.scores(plan)))


def objectives(experiment: Experiment) -> list[Objective]:
    """All that an experiment could be tuned by."""
    return [Objective(validator, method) for method in (None, *experiment.methods) for validator in VALIDATORS]


class Running:
    """Objectives while runs are made: their means over the runs so far."""

    def __init__(self, plan: Plan, objectives: list[Objective]) -> None:
        self.plan, self.objectives = plan, objectives
        self._told = dict.fromkeys(objectives, 0)

    def news(self) -> dict[str, list[tuple[int, float]]]:
        """Name → (runs, mean over them) for every run that was finished since the last call."""
        found = {}
        for objective in self.objectives:
            scores = list(objective.scores(self.plan))
            means = [(n, _mean(scores[:n])) for n in range(self._told[objective] + 1, len(scores) + 1)]
            self._told[objective] = len(scores)
            if known := [(n, mean) for n, mean in means if mean is not None]:
                found[objective.name] = known
        return found


class AgentRun:
    """The run of W&B in which a sweep's agent looks for the objective, while the experiment lasts.

    Outside of `wandb agent` there is none, and nothing is done.
    """

    def __init__(self, experiment: Experiment) -> None:
        self._run: Any = None
        self._running: Running | None = None
        if "WANDB_SWEEP_ID" not in os.environ or experiment.wandb.mode == "disabled":
            return
        os.environ.setdefault("WANDB_SILENT", "true")
        import wandb

        settings = experiment.wandb
        self._run = wandb.init(
            project=settings.project,
            entity=settings.entity,
            mode=settings.mode,
            job_type="trial",
            config={"experiment": experiment.model_dump(mode="json")},
            reinit="create_new",  # beside it, not in it, are the runs of folds
        )
        for name in ("WANDB_SWEEP_ID", "WANDB_RUN_ID", "WANDB_SWEEP_PARAM_PATH"):
            os.environ.pop(name, None)  # the runs of folds are none of the sweep's

    def follow(self, plan: Plan, report: Report) -> Report:
        """Report, and log the objectives as runs are finished, for hyperband to stop by."""
        if self._run is None:
            return report
        self._running = Running(plan, objectives(plan.experiment))

        def both(label: str, epochs: int) -> None:
            report(label, epochs)
            self._log()

        return both

    def finish(self, plan: Plan) -> None:
        """Log what is left, and leave the objectives in the run's summary."""
        if self._run is None:
            return
        self._log()
        for objective in objectives(plan.experiment):
            if (value := objective.value(plan)) is not None:
                self._run.summary[objective.name] = value
        self._run.finish()

    def _log(self) -> None:
        news = self._running.news() if self._running else {}
        for i in range(max(map(len, news.values()), default=0)):
            self._run.log({name: means[i][1] for name, means in news.items() if i < len(means)})


def _scores(run: Run) -> dict[str, float | None]:
    found: dict[str, float | None] | None = json.loads((run.folder / "metrics.json").read_text())["selection"]
    return found or dict.fromkeys(VALIDATORS)  # a classical model outside of a search has none


def _mean(scores: list[float | None]) -> float | None:
    known = [score for score in scores if score is not None]
    return float(np.mean(known)) if len(known) == len(scores) > 0 else None
