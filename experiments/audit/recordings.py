"""Recordings on both sides of a split: the same one under two names, or parts of one."""

import re
from itertools import combinations

import numpy as np
import xxhash
from numpy.typing import NDArray

from affect.reporting.words import counted
from datamodules.protocols import Protocol, WithinSubject
from datamodules.windows import StreamWindows
from experiments.audit.disjoint import name_of, source_of
from experiments.audit.sketch import shared, sketch
from experiments.audit.verdict import Verdict, judge
from experiments.plan import Plan

Rows = NDArray[np.int64]
_WINDOWS = 4  # of a trial, at its start, are its fingerprint
_DISTINCT = 8  # values at least: a flat or silent start is nobody's
_PART = re.compile(r", (part|stretch) \d+\b.*$")  # how `where` ends in a trial that is cut from a longer recording


def recordings(plan: Plan) -> Verdict:
    """No recording under two names, one on each side.

    Two trials are one recording if the first windows are the same numbers, or if a quarter of the stretches in their
    sketches are the same: of samples as they are prepared, moved in time by some of them, or scaled.
    """
    trials = np.unique(np.concatenate([rows for fold in plan.folds for rows in fold.parts.values()])).astype(np.int64)
    pairs: dict[tuple[int, int], list[str]] = {}
    for name, stream in plan.windows.streams.items():
        for pair in sorted({*_same_start(stream, trials), *_same_stretches(plan, name, trials)}):
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


def parts(plan: Plan, protocol: Protocol) -> Verdict:
    """No recording that was cut into several trials has some of them on each side, as far as `where` tells them."""
    whole = [_PART.sub("", str(where)) for where in plan.windows.trials["where"]]
    of = np.unique(np.array(whole, dtype=str), return_inverse=True)[1]
    cut = np.bincount(of)[of] > 1
    if not cut.any():
        return Verdict("parts", "exempt", "no trial is called a part of a longer recording")
    given: set[int] = set()
    found: dict[int, str] = {}
    for fold in plan.folds:
        tested = fold.target_test[cut[fold.target_test]]
        given |= set(tested[np.isin(of[tested], of[fold.target_calibration])].tolist())
        for trial in tested[np.isin(of[tested], of[source_of(fold)])].tolist():
            found.setdefault(trial, f"another part of {name_of(plan, trial)} is in the source of fold {fold.name}")
    several = len(np.unique(of[cut]))
    said = f"{counted(several, 'recording')} cut into trials: none on both sides of a fold"
    if isinstance(protocol, WithinSubject) and found:
        both = f"{counted(len(found), 'tested trial')} with other parts of their recordings in training"
        return Verdict("parts", "exempt", f"{both}, as {type(protocol).__name__} says")
    if given and not found:
        both = f"{counted(len(given), 'tested trial')} with other parts of their recordings in calibration"
        return Verdict("parts", "exempt", f"{both}, as the protocol says: neighbours in time")
    return judge("parts", said, list(found.values()), "split recordings, not their parts")


def _same_start(stream: StreamWindows, trials: Rows) -> list[tuple[int, int]]:
    """Trials whose first windows are the same numbers."""
    same: dict[str, list[int]] = {}
    for trial in trials.tolist():
        if print_ := _fingerprint(stream, trial):
            same.setdefault(print_, []).append(trial)
    return [pair for group in same.values() for pair in combinations(group, 2)]


def _same_stretches(plan: Plan, name: str, trials: Rows) -> list[tuple[int, int]]:
    """Trials that share samples; none of films."""
    stream = plan.windows.cache.streams[name]
    there = [] if stream.size else [trial for trial in trials.tolist() if stream.length[trial]]
    return shared({trial: sketch(stream.signal(trial)) for trial in there})


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
