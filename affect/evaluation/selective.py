"""Selective prediction: what is gained when a model may be silent where it is least sure."""

import numpy as np
from numpy.typing import NDArray

from affect.evaluation.reliability import Array, Labels, confidence_of

COVERAGES = tuple(i / 20 for i in range(1, 21))
"""Shares of windows answered at which a curve is told."""


def risk_coverage(probability: Array, label: Labels) -> NDArray[np.float64]:
    """(n,) share of errors among the k surest windows, k = 1 … n (Geifman & El-Yaniv, NeurIPS 2017).

    Windows of equal confidence come in no order: each counts as their mean.

    Args:
        probability: (n, K).
        label: (n,) 0 … K − 1.
    """
    confidence, correct = confidence_of(probability, label)
    _, group = np.unique(-confidence, return_inverse=True)  # the surest first
    wrong = np.bincount(group, ~correct) / np.bincount(group)
    risk: NDArray[np.float64] = np.cumsum(wrong[np.sort(group)]) / np.arange(1, len(label) + 1)
    return risk


def aurc(probability: Array, label: Labels) -> float:
    """Area under the risk–coverage curve: its mean (Geifman et al., ICLR 2019).

    The share of errors itself where confidence says nothing about them, less where the unsure windows are the wrong
    ones.
    """
    return float(risk_coverage(probability, label).mean())


def at_coverages(risk: NDArray[np.float64]) -> list[float]:
    """The curve at COVERAGES; of few windows the least number that is as much."""
    n = len(risk)
    return [float(risk[int(np.ceil(share * n - 1e-9)) - 1]) for share in COVERAGES]
