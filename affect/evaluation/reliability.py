"""Whether a model is as often right as it is sure: reliability curve, expected calibration error, Brier score."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
Labels = NDArray[np.integer]
BINS = 15
"""Of equal width, of the confidence in the class that is named; Guo et al. (ICML 2017) take as many."""


def reliability_curve(probability: Array, label: Labels) -> list[dict[str, float]]:
    """A row for each bin that holds windows: mean `confidence`, `accuracy`, and `share` of all windows.

    Args:
        probability: (n, K).
        label: (n,) 0 … K − 1.
    """
    confidence, correct = confidence_of(probability, label)
    number = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    count = np.bincount(number, minlength=BINS)
    sums = (np.bincount(number, values, BINS) for values in (confidence, correct.astype(np.float64)))
    mean, accuracy = (total / np.maximum(count, 1) for total in sums)
    return [
        {"confidence": float(mean[b]), "accuracy": float(accuracy[b]), "share": float(count[b] / len(label))}
        for b in np.flatnonzero(count)
    ]


def expected_calibration_error(probability: Array, label: Labels) -> float:
    """Σ share · |accuracy − confidence| over bins (Naeini et al., AAAI 2015), in [0, 1].

    Of few windows it is too high: with 60 of them a model that is exactly as sure as it is right gets about 0.1.
    """
    curve = reliability_curve(probability, label)
    return sum(b["share"] * abs(b["accuracy"] - b["confidence"]) for b in curve)


def brier(probability: Array, label: Labels) -> float:
    """Half the mean squared distance of probabilities from the label written one-hot (Brier, Mon. Weather Rev. 1950).

    In [0, 1]; of two classes the mean of (p − y)², 0.25 for an even guess.
    """
    target = np.eye(probability.shape[1])[label]
    return float(((probability - target) ** 2).sum(axis=1).mean() / 2)


def confidence_of(probability: Array, label: Labels) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(n,) probability of the class that is named, (n,) whether it is the label."""
    return probability.max(axis=1).astype(np.float64), probability.argmax(axis=1) == label
