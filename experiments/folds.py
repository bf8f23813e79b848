"""What makes a split useless, or dishonest, for the targets and normalisations asked for: said before training."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from affect.errors import UserError
from datamodules.protocols import Fold
from datamodules.targets import Target
from datamodules.windows import WindowSet
from experiments.config import Pretraining


def check_folds(
    folds: Sequence[Fold],
    targets: Sequence[Target],
    labels: NDArray[np.float32],
    windows: WindowSet,
    validates: bool,
    pretraining: Pretraining | None = None,
) -> None:
    """Refuse folds that a target cannot be learned from, chosen on or tested on.

    Args:
        labels: (n_windows, Q), NaN where unknown.
        validates: whether epochs are chosen on source-val.
        pretraining: nothing is tested then.
    """
    for fold in folds:
        if len(windows.table.of_trials(fold.source_train)) == 0:
            raise UserError(f"fold {fold.name}", "no window to train on", "at least one", "take more people or trials")
        if pretraining is None and len(fold.target_test) == 0:
            raise UserError(
                "protocol",
                f"fold {fold.name}, in which nobody is tested",
                "a protocol that tests people",
                "take another protocol; Everyone is for pretraining",
            )
        if pretraining and pretraining.objective:
            if not validates or len(windows.table.of_trials(fold.source_val)):
                continue
            raise UserError(
                f"fold {fold.name}",
                "no window of held-out source people to choose an epoch with",
                "at least one",
                "raise protocol.validation, take more people, or set --selection=last",
            )
        source = np.union1d(fold.source_train, fold.source_val).astype(np.int64)
        both = np.intersect1d(windows.subject[source], windows.subject[fold.target_test])
        for target, column in zip(targets, labels.T, strict=True):
            if target.personal and len(both):
                raise UserError(
                    "data.target",
                    f"{target.name} by each person's own ratings; {windows.people[both[0]]} is trained and tested on",
                    "classes whose borders no tested rating has moved",
                    "use a fixed threshold, or a protocol that leaves people out",
                )
            where = f"fold {fold.name}" + (f", target {target.name}" if len(targets) > 1 else "")
            present = column[windows.table.of_trials(fold.source_train)]
            _check_training(where, target, present)
            if validates and np.isnan(column[windows.table.of_trials(fold.source_val)]).all():
                raise UserError(
                    where,
                    "no labelled window of held-out source people to choose an epoch with",
                    "at least one",
                    "raise protocol.validation, take more people, or set --selection=last",
                )
            if pretraining is None and np.isnan(column[windows.table.of_trials(fold.target_test)]).all():
                raise UserError(
                    where,
                    "no labelled window to test on",
                    "at least one",
                    "leave these people out with --data.corpus.subjects, or shorten the window",
                )


def _check_training(where: str, target: Target, label: NDArray[np.float32]) -> None:
    known = label[~np.isnan(label)]
    if target.classes:
        missing = [name for i, name in enumerate(target.classes) if i not in known]
        if missing:
            raise UserError(
                where,
                f"no training window of class {missing} ({len(label)} windows in all)",
                f"every class of the target: {list(target.classes)}",
                "move the threshold, choose other classes, or take more people",
            )
    elif len(known) == 0 or np.ptp(known) == 0:
        found = f"{known[0]:g} in every training window" if len(known) else "no labelled training window"
        raise UserError(where, found, f"values of {target.name} that differ", "take more people or trials")


def check_streams(folds: Sequence[Fold], windows: WindowSet, methods: Mapping[str, Sequence[str]]) -> None:
    """Refuse a stream that nobody trained on has: its encoder would be tested untrained.

    Args:
        methods: name → its streams.
    """
    for fold in folds:
        rows = windows.table.of_trials(fold.source_train)
        for name in dict.fromkeys(stream for streams in methods.values() for stream in streams):
            if not windows.streams[name].present[rows].any():
                raise UserError(
                    f"data.streams.{name}",
                    f"absent in all {len(rows)} training windows of fold {fold.name}",
                    "somebody to learn it from",
                    "leave the stream out, or take people who have it",
                )


def check_baselines(folds: Sequence[Fold], windows: WindowSet, normalisation: Sequence[str]) -> None:
    """Refuse to subtract baselines where trials have none; a stream without time needs none."""
    removed = [name for name in normalisation if "baseline" in name]
    if not removed:
        return
    used = np.unique(np.concatenate([rows for fold in folds for rows in fold.parts.values()]))
    for name, moments in windows.moments.items():
        if windows.cache.streams[name].rate == 0:
            continue
        here = used[moments.count[used] > 0]
        without = here[np.isnan(moments.baseline[here]).any(axis=(1, 2))]
        if len(without):
            short = " long enough for its features" if windows.trials["onset"].iloc[without[0]] > 0 else ""
            raise UserError(
                "normalisation",
                f"{removed[0]!r}, and {name} of {len(without)} of {len(here)} trials has no baseline{short}; "
                f"first: {windows.trials['where'].iloc[without[0]]}",
                "a baseline before every trial",
                "use source or subject, or leave these people out with --data.corpus.subjects",
            )
