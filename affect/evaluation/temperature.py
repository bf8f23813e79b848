"""Temperature scaling: one number that makes probabilities as sure as they are right (Guo et al., ICML 2017)."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import softmax

from affect.evaluation.selection import TINY

LIMITS = (0.05, 20.0)
"""Of a temperature: where every window is right the cross-entropy falls for ever as T goes to 0, and where they are
right no more often than by chance, as it grows."""


def fit_temperature(probability: NDArray[np.floating], label: NDArray[np.integer]) -> float:
    """T > 0 at which softmax(log p / T) has the least mean cross-entropy; above 1 where a model is too sure.

    The cross-entropy is convex in 1 / T, so its slope there has one zero, and that is found.

    Args:
        probability: (n, K) of windows nobody learned from; a softmax forgets what was added to the logits, so that
            log p does as well as they.
        label: (n,) 0 … K − 1.

    Returns:
        a number within LIMITS.
    """
    logit = np.log(np.maximum(probability.astype(np.float64), TINY))
    named = logit[np.arange(len(label)), label].mean()

    def slope(inverse: float) -> float:
        expected = (softmax(inverse * logit, axis=1) * logit).sum(axis=1)
        return float(expected.mean() - named)

    hottest, coldest = 1 / LIMITS[1], 1 / LIMITS[0]
    if slope(hottest) >= 0:
        return LIMITS[1]
    if slope(coldest) <= 0:
        return LIMITS[0]
    return float(1 / brentq(slope, hottest, coldest))


def scaled(probability: NDArray[np.floating], temperature: float) -> NDArray[np.float64]:
    """(n, K) probabilities at this temperature; the class named stays the same."""
    found: NDArray[np.float64] = softmax(np.log(np.maximum(probability.astype(np.float64), TINY)) / temperature, axis=1)
    return found
