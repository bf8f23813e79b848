"""Gaussian naive Bayes on features chosen by Fisher's criterion, the first baseline of DEAP."""

from itertools import combinations
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import NonNegativeFloat

from affect.classical.base import Classical, Training


class FisherNaiveBayes(Classical):
    """Naive Bayes with a normal density for each class and feature, on the features that tell classes apart.

    After the baseline of DEAP (Koelstra et al., IEEE Trans. Affective Computing 2012), which keeps features by
    Fisher's linear discriminant and a threshold of 0.3. Here J = (μ₁ − μ₂)² / (σ₁² + σ₂²), which no unit changes; of
    more than two classes the largest J over all pairs. Selection and densities see the training rows alone, by their
    weights. Features that repeat each other are counted as if independent: the probabilities are far too sure.

    Args:
        threshold: a feature is kept if its J is above; 0.3 is a distance of 0.77 standard deviations. If none is, the
            best one is kept.
        priors: of the classes: their weights in training, or all the same.
    """

    values = False

    def __init__(self, threshold: NonNegativeFloat = 0.3, priors: Literal["empirical", "equal"] = "empirical") -> None:
        self.threshold, self.priors = threshold, priors
        self.selected: NDArray[np.int64]
        self._model: Any

    def learn(self, rows: Training) -> None:
        from sklearn.naive_bayes import GaussianNB

        score = fisher(rows)
        above = np.flatnonzero(score > self.threshold)
        self.selected = above if len(above) else np.array([score.argmax()])
        equal = np.full(rows.classes, 1 / rows.classes)
        self._model = GaussianNB(priors=equal if self.priors == "equal" else None)
        self._model.fit(self._chosen(rows.x), rows.label, rows.weight)

    def infer(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        probabilities: NDArray[np.float64] = self._model.predict_proba(self._chosen(x))
        return probabilities

    def _chosen(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        return x[:, self.selected].astype(np.float64)


def fisher(rows: Training) -> NDArray[np.float64]:
    """(F,) J of each feature, the largest over all pairs of classes; 0 for a feature that is constant."""
    means, variances = [], []
    every = rows.x.astype(np.float64) - rows.x[0]  # what is constant is exactly 0, and no rounding tells it apart
    for number in range(rows.classes):
        here = rows.label == number
        x, weight = every[here], rows.weight[here]
        means.append(np.average(x, axis=0, weights=weight))
        variances.append(np.average((x - means[-1]) ** 2, axis=0, weights=weight))
    best = np.zeros(rows.x.shape[1])
    for a, b in combinations(range(rows.classes), 2):
        distance, spread = (means[a] - means[b]) ** 2, variances[a] + variances[b]
        # Constant within both classes, and different: told apart by a glance.
        apart = np.where(distance > 0, np.inf, 0.0)
        best = np.maximum(best, np.divide(distance, spread, out=apart, where=spread > 0))
    return best
