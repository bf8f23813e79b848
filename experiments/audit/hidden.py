"""Whether target labels change anything that is learned: everything is trained twice, the second time with others."""

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
from experiments.execute import execute
from experiments.plan import Plan, Run

Rows = NDArray[np.int64]
_EPOCHS = 2


def shuffled_labels(plan: Plan, protocol: Protocol) -> Verdict:
    """Replace the target's labels, in the table of trials and as the plan holds them: nothing learned may differ.

    Of every method under every normalisation the first fold's first run is made twice, in at most two epochs: weights
    must be the same to the last bit, and predictions. Labels that a calibrated fold may learn from are left alone.
    """
    experiment, fold = plan.experiment, plan.folds[0]
    hidden = np.setdiff1d(target_of(fold), fold.target_calibration)
    if experiment.selection == "oracle":
        return Verdict("labels", "exempt", "selection is oracle: chosen by target labels, as it says")
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
    runs = [run for run in plan.runs if run.fold is fold and run.seed == experiment.seeds[0]]
    with TemporaryDirectory() as folder:
        for i, run in enumerate(runs):
            made = [
                _learned(_with(plan, trials, hidden), run, Path(folder) / f"{i}-{name}")
                for name, trials in (("own", plan.windows.trials), ("other", other))
            ]
            files = [name for name in made[0] if made[0][name] != made[1][name]]
            if files:
                found.append(f"{run.method} · {run.normalisation}: {', '.join(files)} of fold {fold.name} differ")
    said = f"{counted(len(runs), 'method')} × normalisation: the same weights and predictions whatever fold "
    kept = f", {len(fold.target_calibration)} calibration trials apart" if len(fold.target_calibration) else ""
    return judge(
        "labels",
        f"{said}{fold.name}'s labels are{kept}",
        found,
        "find what reads them: fit, align, normalise and choose without target labels, or name the selection oracle",
    )


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
    """The plan with the ratings of this table, trained briefly; with other ratings all hidden labels are one."""
    experiment = plan.experiment
    brief = {"max_epochs": min(_EPOCHS, experiment.trainer.max_epochs)}
    quick = experiment.model_copy(
        update={
            "trainer": experiment.trainer.model_copy(update=brief),
            "wandb": experiment.wandb.model_copy(update={"mode": "disabled"}),
            "missing_streams": False,
        }
    )
    label = labels(plan, trials)
    if trials is not plan.windows.trials:
        rows = plan.windows.table.of_trials(hidden)
        for i, classes in enumerate(plan.classes):
            own = plan.labels[rows, i]
            known = own[~np.isnan(own)]
            new = np.bincount(known.astype(np.int64), minlength=classes).argmin() if classes else known.max() + 1
            label[rows, i] = np.where(np.isnan(own), own, np.float32(new))
    return replace(plan, experiment=quick, labels=label)


def _learned(plan: Plan, run: Run, folder: Path) -> dict[str, bytes]:
    """Name → content of what a run leaves, but for the labels it is scored with."""
    execute(plan, replace(run, folder=folder))
    found = {path.name: path.read_bytes() for path in sorted(folder.glob("*.safetensors"))}
    for path in sorted(folder.glob("*.parquet")):
        table = pd.read_parquet(path)
        kept = table[[name for name in table if not str(name).startswith("label_")]]
        found[path.name] = kept.to_csv(index=False).encode()
    return found


def _same_folds(protocol: Protocol, trials: pd.DataFrame, other: pd.DataFrame) -> bool:
    """Whether a protocol splits both tables alike."""
    both = [protocol.split(table) for table in (trials, other)]
    parts = [[(fold.name, {n: rows.tolist() for n, rows in fold.parts.items()}) for fold in folds] for folds in both]
    return parts[0] == parts[1]
