"""Whether target labels change anything that is learned: everything is trained twice, the second time with others."""

import json
from copy import copy
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affect.reporting.words import counted
from datamodules.protocols import Protocol
from experiments.audit.disjoint import target_of
from experiments.audit.verdict import Verdict, judge
from experiments.config import Experiment
from experiments.execute import execute
from experiments.plan import Plan, Run

Rows = NDArray[np.int64]
_EPOCHS = 2


def shuffled_labels(plan: Plan, protocol: Protocol) -> Verdict:
    """Replace the target's labels, in the table of trials and as the plan holds them: nothing learned may differ.

    Of every method under every normalisation the first fold's first run is made twice, in at most two epochs; of a
    search, the first and the last setting. Weights must be the same to the last bit, predictions too, and whatever a
    setting is chosen by. Labels that a calibrated fold may learn from are left alone.
    """
    experiment, fold = plan.experiment, plan.folds[0]
    hidden = np.setdiff1d(target_of(fold), fold.target_calibration)
    if not len(hidden) or not plan.targets:
        return Verdict("labels", "exempt", "nobody is tested" if plan.targets else "nothing is learned from labels")
    other = other_ratings(plan.windows.trials, hidden)
    changed = labels(plan, other)
    source = ~np.isin(plan.windows.table.trial, hidden)
    found = [
        f"{target.name}: labels of the source change with ratings of {fold.name}"
        for i, target in enumerate(plan.targets)
        if not np.array_equal(plan.labels[source, i], changed[source, i], equal_nan=True)
    ]
    if not _same_folds(protocol, plan.windows.trials, other):
        found.append(f"{experiment.protocol.class_path}: its folds change with ratings")
    runs = _first(plan)
    with TemporaryDirectory() as folder:
        for i, run in enumerate(runs):
            made = [
                _learned(_with(plan, trials, hidden), run, Path(folder) / f"{i}-{name}")
                for name, trials in (("own", plan.windows.trials), ("other", other))
            ]
            files = [name for name in made[0] if made[0][name] != made[1][name]]
            if files:
                found.append(f"{run.label}: {', '.join(files)} differ")
    said = f"{counted(len(runs), 'run')}: the same weights, predictions and scores whatever {fold.name}'s labels are"
    if len(fold.target_calibration):
        said += f", {len(fold.target_calibration)} calibration trials apart"
    if experiment.selection == "oracle":
        said += "; exempt: the oracle chooses among them by target labels, as it says"
    return judge(
        "labels",
        said,
        found,
        "find what reads them: fit, align, normalise and choose without target labels, or name the selection oracle",
    )


def _first(plan: Plan) -> list[Run]:
    """What is made twice."""
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in plan.runs:
        if run.fold is plan.folds[0] and run.seed == plan.experiment.seeds[0]:
            groups.setdefault((run.method, run.normalisation), []).append(run)
    return [run for group in groups.values() for run in ([group[0], group[-1]] if len(group) > 1 else group)]


def other_ratings(trials: pd.DataFrame, rows: Rows) -> pd.DataFrame:
    """The table with one and the same rating in these rows: the highest number, or the rarest name.

    Not their own in another order or mirrored: their mean or their shares might be the same.
    """
    other = trials.copy()
    for column in [name for name in trials if str(name).startswith("rating.")]:
        own, known = trials[column].iloc[rows], trials[column].dropna()
        if not len(known):
            continue
        if pd.api.types.is_numeric_dtype(known):
            new = known.min() if (own.dropna() == known.max()).all() else known.max()
        else:
            new = min(sorted(known.unique()), key=lambda name: int((own == name).sum()))
        other.iloc[rows, other.columns.get_loc(column)] = np.where(own.isna(), own, new)  # type: ignore[index]
    return other


def labels(plan: Plan, trials: pd.DataFrame) -> NDArray[np.float32]:
    """(n_windows, Q) labels of all windows, had the table these ratings."""
    windows = copy(plan.windows)  # what was computed of the signals is shared
    windows.trials, windows.cache = trials, replace(plan.windows.cache, trials=trials)
    return np.stack([target.labels(windows) for target in plan.targets], axis=1)


def _with(plan: Plan, trials: pd.DataFrame, hidden: Rows) -> Plan:
    """The plan with the ratings of this table; if they are others, with one label wherever labels are hidden."""
    label = labels(plan, trials)
    if trials is not plan.windows.trials:
        rows = plan.windows.table.of_trials(hidden)
        for i, classes in enumerate(plan.classes):
            own = plan.labels[rows, i]
            known = own[~np.isnan(own)]
            new = np.bincount(known.astype(np.int64), minlength=classes).argmin() if classes else known.max() + 1
            label[rows, i] = np.where(np.isnan(own), own, np.float32(new))
    return replace(plan, labels=label)


def _learned(plan: Plan, run: Run, folder: Path) -> dict[str, bytes]:
    """Name → content of what a brief run leaves, but for labels and what is computed from them when all is over."""
    brief = _brief(run.experiment)
    execute(replace(plan, experiment=brief), replace(run, experiment=brief, folder=folder))
    found = {path.name: path.read_bytes() for path in sorted(folder.glob("*.safetensors"))}
    for path in sorted(folder.glob("*.parquet")):
        table = pd.read_parquet(path)
        kept = table[[name for name in table if not str(name).startswith("label_")]]
        found[path.name] = kept.to_csv(index=False).encode()
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    found["metrics.json"] = json.dumps({name: value for name, value in metrics.items() if name != "targets"}).encode()
    return found


def _brief(experiment: Experiment) -> Experiment:
    trainer = experiment.trainer.model_copy(update={"max_epochs": min(_EPOCHS, experiment.trainer.max_epochs)})
    wandb = experiment.wandb.model_copy(update={"mode": "disabled"})
    compute = experiment.compute.model_copy(update={"devices": 1})  # a run's other processes would see true labels
    changed = {"trainer": trainer, "wandb": wandb, "compute": compute, "missing_streams": False}
    return experiment.model_copy(update=changed)


def _same_folds(protocol: Protocol, trials: pd.DataFrame, other: pd.DataFrame) -> bool:
    """Whether a protocol splits both tables alike."""
    both = [protocol.split(table) for table in (trials, other)]
    parts = [[(fold.name, {n: rows.tolist() for n, rows in fold.parts.items()}) for fold in folds] for folds in both]
    return parts[0] == parts[1]
