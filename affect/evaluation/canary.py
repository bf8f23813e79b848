"""The canary of the leak audit: labels without any meaning, which a model of other people's windows cannot know.

Every recording is given a fair coin as its label, and each tested window the label of the training window nearest to
it. Where no recording is on both sides, the two coins are independent and the hits are ½ on average, whatever people,
trials and features are like. Where one is, its own windows are among the nearest, and the hits are more.

Of a recording that is on both sides under two names, this finds copies that are exact or nearly so and cut at the same
places: only then do windows lie upon each other. Of windows standardised for each person it finds them whatever gain
and offset the person's copies have. It does not find copies that begin elsewhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.stats import ttest_1samp

Rows = NDArray[np.int64]
Values = NDArray[np.float64]
ALARM = 1e-3
"""How often the canary may call a clean experiment leaky."""
_CLOSE = 0.1  # of the distance to the next recording
_BY_CHANCE = 1e-6  # how often a window may be that close to another by chance
_AT_ONCE = 1 << 22  # distances


class Projection:
    """The main axes of windows, so that neighbours are cheap to find (principal components).

    Args:
        windows: (n, F), normalised; a few hundred do.
        most: axes that are kept.

    Attributes:
        dimension: (Σλ)² / Σλ² of the variances λ along the axes: how many of them count.
    """

    def __init__(self, windows: NDArray[np.float32], most: int = 32) -> None:
        self._mean = windows.mean(axis=0)
        centred = (windows - self._mean).astype(np.float64)
        values, vectors = np.linalg.eigh(centred @ centred.T)  # small: as many rows as windows, not as features
        kept = np.argsort(values)[::-1][:most]
        kept = kept[values[kept] > 1e-9 * max(float(values.max()), 1e-300)]
        self._axes = centred.T @ (vectors[:, kept] / np.sqrt(values[kept]))
        spread = values[kept]
        self.dimension = float(spread.sum() ** 2 / (spread**2).sum()) if len(spread) else 0.0

    def __call__(self, windows: NDArray[np.float32]) -> Values:
        """(n, F) → (n, axes)."""
        projected: Values = (windows - self._mean).astype(np.float64) @ self._axes
        return projected


@dataclass(frozen=True)
class Neighbours:
    """Of the tested windows of one fold.

    Args:
        tested: (m,) trial of each.
        nearest: (m,) trial of the training window nearest to it.
        upon: (m,) whether it lies upon that window: far nearer than any other recording is.
    """

    tested: Rows
    nearest: Rows
    upon: NDArray[np.bool_]


def neighbours(
    train: Values, train_trial: Rows, tested: Values, tested_trial: Rows, dimension: float | None = None
) -> Neighbours:
    """Find them, and judge how near they are.

    A window lies upon its neighbour if that is nearer than a tenth of the distance to the nearest window of any other
    training trial. By chance this happens in 0.1^D of windows in D dimensions, as distances to the first and second
    nearest of independent points go; in few dimensions the tenth is made smaller, so that it is never more than 1e-6.

    Args:
        train: (n, D); tested: (m, D).
        train_trial, tested_trial: (n,), (m,).
        dimension: effective, of the windows; default D.
    """
    dimension = train.shape[1] if dimension is None else dimension
    close = min(_CLOSE, _BY_CHANCE ** (1 / max(dimension, 1e-9)))
    nearest, upon = np.zeros(len(tested), np.int64), np.zeros(len(tested), bool)
    length = (train**2).sum(axis=1)
    step = max(1, _AT_ONCE // max(1, len(train)))
    for i in range(0, len(tested), step):
        part = tested[i : i + step]
        squared = np.maximum((part**2).sum(axis=1)[:, None] + length - 2 * part @ train.T, 0)
        first = squared.argmin(axis=1)
        found = train_trial[first]
        others = np.where(train_trial == found[:, None], np.inf, squared).min(axis=1)
        distance = ((part - train[first]) ** 2).sum(axis=1)  # exact where it is small
        nearest[i : i + step] = found
        upon[i : i + step] = np.isfinite(others) & (distance < close**2 * others)
    return Neighbours(tested_trial, nearest, upon)


def twins(folds: Sequence[Neighbours]) -> list[tuple[int, int]]:
    """(tested, training) trials that are one recording by all appearance: most windows of one lie upon the other."""
    found = []
    for fold in folds:
        for trial in np.unique(fold.tested):
            own = fold.tested == trial
            other, count = np.unique(fold.nearest[own & fold.upon], return_counts=True)
            if len(count) and count.max() > own.sum() / 2:
                found.append((int(trial), int(other[count.argmax()])))
    return list(dict.fromkeys(found))


@dataclass(frozen=True)
class Canary:
    """What it sang.

    Args:
        accuracy: share of hits over all windows and folds, mean over draws of the labels; ½ is chance.
        p: of so many hits or more by chance.
        draws: of the labels.
        twins: as `twins` finds them.
        alarm: how often a clean experiment may be called leaky.
    """

    accuracy: float
    p: float
    draws: int
    twins: list[tuple[int, int]]
    alarm: float = ALARM

    @property
    def sang(self) -> bool:
        """Whether there is a leak."""
        return self.p < self.alarm


def canary(folds: Sequence[Neighbours], draws: int = 1000, seed: int = 0, alarm: float = ALARM) -> Canary:
    """Draw the labels and count the hits.

    A label is drawn for every recording: twins are one, whatever they are called. The hits of a draw are tested
    against ½ by a one-sided t-test over draws. Coins of two recordings agree independently of every other pair's, but
    not of three pairs in a ring, and in such rings hits come together: the distribution is skewed towards more hits,
    where the t-test is late to reject. False alarms are therefore at most `alarm`.
    """
    same = twins(folds)
    count = 1 + max(int(max(fold.tested.max(), fold.nearest.max())) for fold in folds)
    edges = np.array(same, np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), (count, count))
    recording = connected_components(graph, directed=False)[1]
    pairs = np.concatenate([np.stack([recording[fold.tested], recording[fold.nearest]]) for fold in folds], axis=1)
    (tested, nearest), windows = np.unique(pairs, axis=1, return_counts=True)
    generator = np.random.default_rng(seed)
    accuracy = np.zeros(draws)
    for i in range(draws):
        label = generator.integers(0, 2, size=count)
        accuracy[i] = windows[label[tested] == label[nearest]].sum() / windows.sum()
    if np.ptp(accuracy) == 0:
        return Canary(float(accuracy[0]), 0.0 if accuracy[0] > 0.5 else 1.0, draws, same, alarm)
    p = float(ttest_1samp(accuracy, 0.5, alternative="greater").pvalue)
    return Canary(float(accuracy.mean()), p, draws, same, alarm)
