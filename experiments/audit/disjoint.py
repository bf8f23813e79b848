"""Who and what must not be on both sides of a split: people, trials, recordings, stimuli, people of pretraining."""

from collections.abc import Iterable
from itertools import combinations

import numpy as np
import xxhash
from numpy.typing import NDArray

from affect.reporting.words import counted
from datamodules.protocols import Fold, Protocol, WithinSubject
from datamodules.windows import StreamWindows
from experiments.audit.verdict import Verdict, judge
from experiments.plan import Plan

Rows = NDArray[np.int64]
_WINDOWS = 4  # of a trial, at its start, are its fingerprint
_DISTINCT = 8  # values at least: a flat or silent start is nobody's


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


def recordings(plan: Plan) -> Verdict:
    """No recording under two names, one on each side: the first windows of its trials are not the same numbers."""
    trials = np.unique(np.concatenate([rows for fold in plan.folds for rows in fold.parts.values()]))
    pairs: dict[tuple[int, int], list[str]] = {}
    for name, stream in plan.windows.streams.items():
        same: dict[str, list[int]] = {}
        for trial in trials.astype(np.int64):
            if print_ := _fingerprint(stream, int(trial)):
                same.setdefault(print_, []).append(int(trial))
        for group in same.values():
            for pair in combinations(group, 2):
                pairs.setdefault(pair, []).append(name)
    found = []
    for (a, b), streams in pairs.items():
        for fold in plan.folds:
            train = np.concatenate([source_of(fold), fold.target_calibration])
            sides = [(one in train, other in fold.target_test) for one, other in ((a, b), (b, a))]
            if (True, True) in sides:
                what = f"{', '.join(streams)} of {name_of(plan, a)} = {name_of(plan, b)}"
                found.append(f"{what}, both sides of fold {fold.name}")
                break
    said = f"{counted(len(trials), 'trial')}: no recording under two names"
    return judge("recordings", said, found, "remove one of the two from the corpus, or give them one person's name")


def _fingerprint(stream: StreamWindows, trial: int) -> str:
    """Of the samples of a trial's first windows; empty where they are absent or say nothing."""
    begin, end = np.searchsorted(stream.table.trial, [trial, trial + 1])
    rows = np.arange(begin, min(end, begin + _WINDOWS))
    if not len(rows) or not stream.present[rows].any():
        return ""
    samples = np.ascontiguousarray(stream.raw(rows))
    if len(np.unique(samples)) < _DISTINCT:
        return ""
    return str(xxhash.xxh3_128(samples.tobytes()).hexdigest())


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
    if not used:
        return Verdict("pretraining", "exempt", "no encoder begins with saved weights")
    said = f"{counted(used, 'encoder')} of {counted(len(plan.runs), 'run')} met nobody they are tested on"
    if silent:
        said += f"; without a card, taken to have met none of these people: {', '.join(dict.fromkeys(silent))}"
    return judge("pretraining", said, found, "pretrain on other people, or with the same protocol, fold by fold")
