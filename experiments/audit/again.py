"""What an audit trains twice, and what such a brief run leaves."""

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd

from affect.reporting.words import counted
from datamodules.protocols import Fold
from experiments.config import Experiment
from experiments.execute import execute
from experiments.plan import Plan, Run

_EPOCHS = 2


def two_folds(plan: Plan) -> list[Fold]:
    """The first and the last: what is wrong in one alone is rarely wrong in neither."""
    return [*plan.folds[:1], *plan.folds[1:][-1:]]


def chosen(plan: Plan, fold: Fold) -> list[Run]:
    """Every method under every normalisation with the first seed; of a search, the first and the last setting."""
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in plan.runs:
        if run.fold is fold and run.seed == plan.experiment.seeds[0]:
            groups.setdefault((run.method, run.normalisation), []).append(run)
    return [run for group in groups.values() for run in ([group[0], group[-1]] if len(group) > 1 else group)]


def what_is_made(plan: Plan, runs: int) -> str:
    """`4 runs of folds s01 and s32, 2 epochs`"""
    names = " and ".join(fold.name for fold in two_folds(plan))
    folds = f"{'folds' if len(plan.folds) > 1 else 'fold'} {names}"
    return f"{counted(runs, 'run')} of {folds}, {counted(brief(plan.experiment).trainer.max_epochs, 'epoch')}"


def learned(plan: Plan, run: Run, folder: Path) -> dict[str, bytes]:
    """Name → content of what a brief run leaves, but for labels and what is computed from them when all is over."""
    short = brief(run.experiment)
    execute(replace(plan, experiment=short), replace(run, experiment=short, folder=folder))
    found = {path.name: path.read_bytes() for path in sorted(folder.glob("*.safetensors"))}
    for path in sorted(folder.glob("*.parquet")):
        table = pd.read_parquet(path)
        kept = table[[name for name in table if not str(name).startswith("label_")]]
        found[path.name] = kept.to_csv(index=False).encode()
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    found["metrics.json"] = json.dumps({name: value for name, value in metrics.items() if name != "targets"}).encode()
    return found


def brief(experiment: Experiment) -> Experiment:
    """The experiment in so few epochs, in one process, told to nobody."""
    trainer = experiment.trainer.model_copy(update={"max_epochs": min(_EPOCHS, experiment.trainer.max_epochs)})
    wandb = experiment.wandb.model_copy(update={"mode": "disabled"})
    compute = experiment.compute.model_copy(update={"devices": 1})  # a run's other processes would see true labels
    changed = {"trainer": trainer, "wandb": wandb, "compute": compute, "missing_streams": False}
    return experiment.model_copy(update=changed)
