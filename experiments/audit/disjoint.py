"""Who and what must not be on both sides of a split, by name: people, trials, stimuli, people of pretraining."""

from collections.abc import Iterable
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from affect.reporting.words import counted
from datamodules.protocols import Fold, Protocol, WithinSubject
from experiments.audit.verdict import Verdict, judge
from experiments.plan import Plan

Rows = NDArray[np.int64]


def source_of(fold: Fold) -> Rows:
    """Trials whose labels are learned from, or chosen with, and that are not the target's."""
    return np.union1d(fold.source_train, fold.source_val).astype(np.int64)


def target_of(fold: Fold) -> Rows:
    """Trials of the target, whatever they are used for."""
    parts = (fold.target_unlabelled, fold.target_test, fold.target_calibration)
    return np.unique(np.concatenate(parts)).astype(np.int64)


def name_of(plan: Plan, trial: int) -> str:
    """Person, stimulus and place of a trial."""
    facts = plan.windows.trials.iloc[trial]
    (person,) = plan.people(np.array([trial]))
    return f"{person}, {facts['stimulus']} ({facts['where']})"


def people(plan: Plan, protocol: Protocol) -> Verdict:
    """Nobody is both source and target."""
    name = type(protocol).__name__
    if isinstance(protocol, WithinSubject):
        return Verdict("people", "exempt", f"{name} trains and tests on the same people, as it says")
    found = []
    for fold in plan.folds:
        both = set(plan.people(source_of(fold))) & set(plan.people(target_of(fold)))
        found += [f"{person} is source and target in fold {fold.name}" for person in sorted(both)]
    said = f"{counted(len(plan.folds), 'fold')} of {name}: source and target people are disjoint"
    path = plan.experiment.protocol.class_path
    return judge("people", said, found, f"correct {path}: no target person may be in the source")


def trials(plan: Plan, windows: Iterable[tuple[Fold, dict[str, Rows]]]) -> Verdict:
    """No trial in two parts of a fold, and no window of one trial in two parts.

    Args:
        windows: fold, and the windows of each part as training and testing get them.
    """
    found, count = [], 0
    for fold, parts in windows:
        for (one, a), (other, b) in combinations(_apart(fold).items(), 2):
            found += [f"{name_of(plan, t)} is in {one} and {other} of fold {fold.name}" for t in np.intersect1d(a, b)]
        of = {name: plan.windows.table.trial[rows] for name, rows in parts.items()}
        count += sum(map(len, of.values()))
        for (one, a), (other, b) in combinations(of.items(), 2):
            both = np.intersect1d(a, b)
            found += [f"windows of {name_of(plan, t)} are in {one} and {other} of fold {fold.name}" for t in both]
    said = f"no trial, and none of {count} windows, on both sides of a fold"
    return judge("trials", said, found, "split trials before they are cut into windows")


def _apart(fold: Fold) -> dict[str, Rows]:
    """Parts that must not share a trial."""
    return {
        "source_train": fold.source_train,
        "source_val": fold.source_val,
        "target_calibration": fold.target_calibration,
        "target_test": fold.target_test,
    }


def stimuli(plan: Plan, protocol: Protocol) -> Verdict:
    """Where the protocol promises new stimuli, none that was trained on is tested."""
    stimulus = plan.windows.trials["stimulus"].to_numpy(dtype=str)
    met = [(fold, np.intersect1d(stimulus[source_of(fold)], stimulus[fold.target_test])) for fold in plan.folds]
    if not getattr(protocol, "new_stimuli", 0):
        shared = np.unique(np.concatenate([both for _, both in met]))
        said = f"not promised: {counted(len(shared), 'stimulus', 'stimuli')} trained on and tested with"
        return Verdict("stimuli", "exempt", f"{said}; protocol.new_stimuli would part them")
    found = [f"{name} is trained on and tested in fold {fold.name}" for fold, both in met for name in both]
    said = f"{counted(len(plan.folds), 'fold')}: every tested stimulus is new"
    return judge("stimuli", said, found, "correct the protocol, or do not promise new_stimuli")


def pretraining_people(plan: Plan) -> Verdict:
    """No encoder begins with weights that met somebody it is tested on, or adapts to."""
    found: list[str] = []
    silent: list[str] = []
    used = 0
    for run in plan.runs:
        tested = set(plan.people(target_of(run.fold)))
        for stream, weights in run.weights.items():
            used += 1
            if weights.card is None:
                silent.append(f"{stream} from {weights.where}")
                continue
            where = f"tested in fold {run.fold.name}, is on the card of {weights.file} ({stream})"
            found += [f"{person}, {where}" for person in sorted(tested & set(weights.card.people))]
    prepared = _prepared(plan)
    unknown = f"; without a card: who it met is not known: {', '.join(prepared)}" if prepared else ""
    if not used:
        return Verdict("pretraining", "exempt", f"no encoder begins with saved weights{unknown}")
    said = f"{counted(used, 'encoder')} of {counted(len(plan.runs), 'run')} met nobody they are tested on"
    if silent:
        said += f"; without a card, taken to have met none of these people: {', '.join(dict.fromkeys(silent))}"
    remedy = "pretrain on other people, or with the same protocol, fold by fold"
    return judge("pretraining", said + unknown, found, remedy)


def _prepared(plan: Plan) -> list[str]:
    """What streams are prepared with that was trained by others, and comes without a card."""
    found = []
    for name, stream in plan.experiment.data.streams.items():
        for component in [*stream.steps, *([stream.features] if stream.features else [])]:
            if "weights" in component.init_args:
                given, kind = component.init_args, component.class_path.rpartition(".")[2]
                found.append(f"{name} by {kind} from {given['weights'] or given.get('backbone', 'published weights')}")
    return found
