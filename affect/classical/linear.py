"""Linear models."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveFloat
from scipy.special import softmax

from affect.classical.base import Classical, Training


class Ridge(Classical):
    """Ridge regression (Hoerl & Kennard, Technometrics 1970) of values, or of classes written one-hot.

    Minimises the weighted mean of the squared errors + strength · ‖w‖². As it is a mean, a strength means the same
    whatever the number of windows. Probabilities are the softmax of the outputs for the classes, which lie about 0
    and 1: they rank windows, but are far too unsure (of two classes seldom outside 0.27 … 0.73).

    Args:
        strength: of the penalty; at 1 the weight of a lone feature of variance 1 is halved.
    """

    def __init__(self, strength: PositiveFloat = 1.0) -> None:
        self.strength = strength
        self._model: Any
        self._classes_learnt = 0

    def learn(self, rows: Training) -> None:
        from sklearn.linear_model import Ridge as Regression

        self._classes_learnt = rows.classes
        wanted = np.eye(rows.classes)[rows.label.astype(np.int64)] if rows.classes else rows.label
        self._model = Regression(alpha=self.strength * rows.weight.sum())
        self._model.fit(rows.x.astype(np.float64), wanted, rows.weight)

    def infer(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        outputs: NDArray[np.float64] = self._model.predict(x)
        return softmax(outputs, axis=1) if self._classes_learnt else outputs


class LogisticRegression(Classical):
    """Multinomial logistic regression with an L2 penalty: the linear model of the README.

    Minimises C · the weighted sum of the cross-entropies + ‖w‖² / 2.

    Args:
        C: inverse of the strength of the penalty.
    """

    values = False

    def __init__(self, C: PositiveFloat = 1.0) -> None:
        self.C = C
        self._model: Any

    def learn(self, rows: Training) -> None:
        from sklearn.linear_model import LogisticRegression as Regression

        self._model = Regression(C=self.C, max_iter=2000)
        self._model.fit(rows.x.astype(np.float64), rows.label, rows.weight)

    def infer(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        probabilities: NDArray[np.float64] = self._model.predict_proba(x.astype(np.float64))
        return probabilities
