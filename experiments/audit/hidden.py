"""Whether target labels change anything that is learned: everything is trained twice, the second time with others."""

from copy import copy
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affect.reporting.words import counted
from datamodules.protocols import Fold, Protocol
from datamodules.windows import WindowSet
from experiments.audit.again import chosen, learned, two_folds, what_is_made
from experiments.audit.disjoint import target_of
from experiments.audit.verdict import Verdict, judge
from experiments.plan import Plan

Rows = NDArray[np.int64]


def shuffled_labels(plan: Plan, protocol: Protocol) -> Verdict:
    """Replace the target's labels, in the table of trials and as the plan holds them: nothing learned may differ.

    What `chosen` names is made twice. Weights must be the same to the last bit, predictions too, and whatever a setting
    is chosen by. Labels that a calibrated fold may learn from are left alone.
    """
    experiment, folds = plan.experiment, two_folds(plan)
    if not plan.targets or not any(len(target_of(fold)) for fold in folds):
        return Verdict("labels", "exempt", "nobody is tested" if plan.targets else "nothing is learned from labels")
    found: list[str] = []
    count = 0
    with TemporaryDirectory() as folder:
        for fold in folds:
            hidden = np.setdiff1d(target_of(fold), fold.target_calibration)
            other = other_ratings(plan.windows.trials, hidden)
            found += _before_training(plan, protocol, fold, other, hidden)
            for run in chosen(plan, fold):
                count += 1
                made = [
                    learned(_with(plan, trials, hidden), run, Path(folder) / f"{count}-{name}")
                    for name, trials in (("own", plan.windows.trials), ("other", other))
                ]
                if files := [name for name in made[0] if made[0][name] != made[1][name]]:
                    found.append(f"{run.label}: {', '.join(files)} differ")
    said = f"{what_is_made(plan, count)}: the same weights, predictions and scores whatever the target's labels are"
    if given := max(fold.calibration for fold in folds):
        said += f", {counted(given, 'calibration trial')} a person apart"
    if experiment.selection == "oracle":
        said += "; exempt: the oracle chooses among them by target labels, as it says"
    return judge(
        "labels",
        said,
        found,
        "find what reads them: fit, align, normalise and choose without target labels, or name the selection oracle",
    )


def _before_training(plan: Plan, protocol: Protocol, fold: Fold, other: pd.DataFrame, hidden: Rows) -> list[str]:
    """What changes with the ratings of a fold's target although it is nobody's label: labels of the source, folds."""
    changed = labels(plan, other)
    source = ~np.isin(plan.windows.table.trial, hidden)
    found = [
        f"{target.name}: labels of the source change with ratings of {fold.name}"
        for i, target in enumerate(plan.targets)
        if not np.array_equal(plan.labels[source, i], changed[source, i], equal_nan=True)
    ]
    if not _same_folds(protocol, plan.windows.trials, other):
        found.append(f"{plan.experiment.protocol.class_path}: its folds change with ratings")
    return found


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
    windows = _windows(plan, trials)
    return np.stack([target.labels(windows) for target in plan.targets], axis=1)


def _windows(plan: Plan, trials: pd.DataFrame) -> WindowSet:
    """The plan's windows under this table of trials."""
    windows = copy(plan.windows)  # what was computed of the signals is shared
    windows.trials, windows.cache = trials, replace(plan.windows.cache, trials=trials)
    return windows


def _with(plan: Plan, trials: pd.DataFrame, hidden: Rows) -> Plan:
    """The plan with the ratings of this table; if they are others, with one label wherever labels are hidden."""
    label = labels(plan, trials)
    if trials is not plan.windows.trials:
        rows = plan.windows.table.of_trials(hidden)
        for i, classes in enumerate(plan.classes):
            own = plan.labels[rows, i]
            known = own[~np.isnan(own)]
            if not len(known):
                continue
            new = np.bincount(known.astype(np.int64), minlength=classes).argmin() if classes else known.max() + 1
            label[rows, i] = np.where(np.isnan(own), own, np.float32(new))
    return replace(plan, labels=label, windows=_windows(plan, trials))


def _same_folds(protocol: Protocol, trials: pd.DataFrame, other: pd.DataFrame) -> bool:
    """Whether a protocol splits both tables alike."""
    both = [protocol.split(table) for table in (trials, other)]
    parts = [[(fold.name, {n: rows.tolist() for n, rows in fold.parts.items()}) for fold in folds] for folds in both]
    return parts[0] == parts[1]
