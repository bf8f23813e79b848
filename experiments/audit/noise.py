"""The canary on an experiment's folds: with labels that mean nothing, a nearest neighbour must be at chance.

Once as training and testing get the windows, and once standardised for each person, where a gain or an offset of all
of a person's recordings is gone.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from affect.evaluation.canary import ALARM, Neighbours, Projection, canary, neighbours
from affect.preprocessing.normalisation import Normalisation
from datamodules.module import FoldData
from experiments.audit.disjoint import name_of
from experiments.audit.verdict import Verdict
from experiments.learn import fold_data
from experiments.plan import Plan, Run

Rows = NDArray[np.int64]
_PER_TRIAL = 12  # windows, evenly spaced
_SAMPLE = 512  # windows that the axes are found in
_AT_ONCE = 64


def data_of(plan: Plan, run: Run, normalisation: Normalisation = "source") -> FoldData:
    """The windows of a run's fold as training and testing get them; by default normalised alike on both sides."""
    return fold_data(plan, replace(run, normalisation=normalisation))


def neighbours_of(plan: Plan, data: FoldData) -> Neighbours | None:
    """Of the tested windows of a fold among its training windows; None where nobody is tested."""
    trial = plan.windows.table.trial
    train, tested = _spaced(data.source_train, trial), _spaced(data.target_test, trial)
    if not len(train) or not len(tested):
        return None
    sample = np.random.default_rng(0).permutation(train)[:_SAMPLE]
    project = Projection(
        np.concatenate([_flat(data, sample[i : i + _AT_ONCE]) for i in range(0, len(sample), _AT_ONCE)])
    )
    values = [
        np.concatenate([project(_flat(data, rows[i : i + _AT_ONCE])) for i in range(0, len(rows), _AT_ONCE)])
        for rows in (train, tested)
    ]
    return neighbours(values[0], trial[train], values[1], trial[tested], project.dimension)


def random_labels(plan: Plan, found: Mapping[Normalisation, list[Neighbours]]) -> Verdict:
    """What the canary says of all folds.

    Args:
        found: normalisation → neighbours in every fold; false alarms are shared out among them.
    """
    looks = {name: folds for name, folds in found.items() if folds}
    if not looks:
        return Verdict("canary", "exempt", "nobody is tested")
    songs = {name: canary(folds, alarm=ALARM / len(looks)) for name, folds in looks.items()}
    numbers = "; ".join(f"{song.accuracy:.3f} correct, p {song.p:.2g} ({name})" for name, song in songs.items())
    draws = max(song.draws for song in songs.values())
    said = f"random labels, nearest neighbour: {numbers}; chance .5, {draws} draws (false alarms ≤ {ALARM:g})"
    sang = [song for song in songs.values() if song.sang]
    if not sang:
        return Verdict("canary", "pass", said)
    most = max(song.accuracy for song in sang)
    leaks = [f"{most:.1%} of labels that mean nothing are known: windows of one recording are on both sides"]
    leaks += [f"{name_of(plan, a)} lies upon {name_of(plan, b)}" for song in sang for a, b in song.twins]
    remedy = "split recordings before they are cut; look for the same recording under another name"
    return Verdict("canary", "LEAK", said, list(dict.fromkeys(leaks)), remedy)


def _flat(data: FoldData, rows: Rows) -> NDArray[np.float32]:
    """(n, F): all streams of these windows, flat and side by side."""
    streams = data.gather(rows).streams.values()
    flat: NDArray[np.float32] = torch.cat([values.flatten(1) for values in streams], dim=1).numpy()
    return flat


def _spaced(rows: Rows, trial: Rows) -> Rows:
    """At most so many windows of every trial, evenly spaced."""
    rows = np.sort(rows)
    begin = np.flatnonzero(np.diff(trial[rows], prepend=-1))
    count = np.diff(np.append(begin, len(rows)))
    number = np.arange(len(rows)) - np.repeat(begin, count)
    every = np.repeat(-(-count // _PER_TRIAL), count)
    spaced: Rows = rows[number % every == 0]
    return spaced
