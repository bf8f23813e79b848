"""The leak gap: what one simple model seems to be worth when windows, trials or people are split at random.

Windows of one trial resemble each other, and trials of one person do: a model tested on windows whose neighbours it
was trained on recognises the trial or the person, and with it the label. The same model, the same amount of training
data, the same windows tested: only the split differs.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from affect.evaluation.statistics import Interval, interval

Rows = NDArray[np.int64]
SPLITS = ("windows", "trials", "people")
"""What is shuffled and dealt; people last, the only split that says what a new person gets."""
_FOLDS = 5
_PENALTY = 1e-3  # of standardised features


@dataclass(frozen=True)
class Gap:
    """Balanced accuracy of one split.

    Args:
        people: person → mean recall over the classes the person has.
        interval: over people.
    """

    people: dict[int, float]
    interval: Interval


@dataclass(frozen=True)
class LeakGap:
    """All splits that exist.

    Args:
        splits: name → its scores.
        chance: of balanced accuracy.
        training: windows learned from, the same in all splits and folds.
        folds: in which each split is dealt.
        without: split → why it is not defined.
    """

    splits: dict[str, Gap]
    chance: float
    training: int
    folds: int
    without: dict[str, str]


def leak_gap(
    x: NDArray[np.float32], label: Rows, trial: Rows, person: Rows, classes: int, seed: int = 0
) -> LeakGap | None:
    """Score a classifier under the three splits; None where there are fewer than two people or classes.

    Args:
        x: (n, F) features of every window.
        label: (n,) 0 … classes − 1.
        trial, person: (n,).
    """
    people = np.unique(person)
    if len(people) < 2 or len(np.unique(label)) < 2:
        return None
    generator = np.random.default_rng(seed)
    folds = min(_FOLDS, len(people))
    parts = {
        "windows": generator.permutation(len(x)) % folds,
        "trials": _trials(label, trial, person, folds, generator),
    }
    parts["people"] = (generator.permutation(len(people)) % folds)[np.searchsorted(people, person)]
    without = {"trials": reason} if (reason := _no_trials(label, trial, person)) else {}
    parts = {name: part for name, part in parts.items() if name not in without}
    training = min(int((part != k).sum()) for part in parts.values() for k in range(folds))
    splits = {}
    for name, part in parts.items():
        predicted = np.zeros(len(x), np.int64)
        for k in range(folds):
            rows = np.sort(generator.permutation(np.flatnonzero(part != k))[:training])
            if (part == k).any():
                predicted[part == k] = _predict(x[rows], label[rows], x[part == k], classes)
        scores = {int(p): _balanced(label[person == p], predicted[person == p]) for p in people}
        splits[name] = Gap(scores, interval(np.array(list(scores.values()))))
    return LeakGap(splits, 1 / classes, training, folds, without)


def _trials(label: Rows, trial: Rows, person: Rows, folds: int, generator: np.random.Generator) -> Rows:
    """(n,) fold of every window when each person's trials of each class are dealt in turn."""
    numbers, first = np.unique(trial, return_index=True)
    order = generator.permutation(len(numbers))
    order = order[np.lexsort((label[first][order], person[first][order]))]
    fold = np.zeros(len(numbers), np.int64)
    fold[order] = np.arange(len(numbers)) % folds
    return fold[np.searchsorted(numbers, trial)]


def _no_trials(label: Rows, trial: Rows, person: Rows) -> str:
    """Why trials cannot be split while people are shared; empty where they can."""
    cells = np.unique(np.stack([person, label, trial]), axis=1)[:2]
    count = np.unique(cells, axis=1, return_counts=True)[1]
    if (count >= 2).mean() < 0.5:
        return "most people have one trial of a class: without it, training knows them in the other classes only"
    return ""


def _predict(x: NDArray[np.float32], label: Rows, tested: NDArray[np.float32], classes: int) -> Rows:
    """A linear classifier: ridge regression of one-hot labels, every class of the same weight, standardised on `x`."""
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    scale = np.where(deviation > 1e-12, 1 / np.maximum(deviation, 1e-12), 0)
    inputs = np.column_stack([((x - mean) * scale).astype(np.float64), np.ones(len(x))])
    weight = (1 / np.maximum(np.bincount(label, minlength=classes), 1))[label][:, None]  # of a class: 1 in all
    penalty = np.diag(np.append(np.full(x.shape[1], _PENALTY * weight.sum()), 0))
    model = np.linalg.lstsq(inputs.T @ (weight * inputs) + penalty, inputs.T @ (weight * np.eye(classes)[label]))[0]
    outputs = np.column_stack([(tested - mean) * scale, np.ones(len(tested))]) @ model
    outputs[:, np.bincount(label, minlength=classes) == 0] = -np.inf  # a class that nobody trained on has
    return np.asarray(outputs.argmax(axis=1), np.int64)


def _balanced(label: Rows, predicted: Rows) -> float:
    return float(np.mean([(predicted[label == c] == c).mean() for c in np.unique(label)]))
