"""The support vector machine."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveFloat
from scipy.special import softmax

from affect.classical.base import Classical, Training


class SVM(Classical):
    """Support vector machine (Cortes & Vapnik, Machine Learning 1995), of values by support vector regression.

    Probabilities are the softmax of the decision values (of two classes their logistic function): they rank windows
    and name the class that the machine decides for, but are not calibrated. Platt's method would calibrate them by a
    cross-validation that knows no people and splits one person's windows between its folds. Values are standardised
    before they are learnt; errors below a tenth of their standard deviation cost nothing.

    Cost grows with the square of the number of windows, or faster: 0.6 s of one core for 2,500 windows of 200 features
    that are hard to tell apart, 11 s for 10,000; far beyond, LogisticRegression or Ridge is the choice.

    Args:
        kernel: `rbf`, exp(−γ‖x − x′‖²), or `linear`, γ⟨x, x′⟩.
        C: cost of a window on the wrong side, times its weight.
        gamma: γ; `scale` is 1 / (F · variance of all features), about 1 / F once they are normalised: a window times
            itself is then about 1 in either kernel, and C means the same whatever the features.
    """

    def __init__(
        self,
        kernel: Literal["rbf", "linear"] = "rbf",
        C: PositiveFloat = 1.0,
        gamma: PositiveFloat | Literal["scale"] = "scale",
    ) -> None:
        self.kernel, self.C, self.gamma = kernel, C, gamma
        self._model: Any
        self._centre, self._spread = 0.0, 1.0

    def learn(self, rows: Training) -> None:
        from sklearn.svm import SVC, SVR

        # scikit-learn's own linear kernel has no γ; the polynomial of degree 1 is linear and has one.
        kernel = "poly" if self.kernel == "linear" else "rbf"
        settings = {"kernel": kernel, "degree": 1, "C": self.C, "gamma": self.gamma, "cache_size": 500}
        if rows.classes:
            self._model = SVC(**settings, break_ties=True).fit(rows.x, rows.label, rows.weight)
        else:
            self._centre, self._spread = moments(rows)
            standardised = (rows.label - self._centre) / self._spread
            self._model = SVR(**settings, epsilon=0.1).fit(rows.x, standardised, rows.weight)

    def infer(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        from sklearn.svm import SVR

        if isinstance(self._model, SVR):
            values: NDArray[np.float64] = self._model.predict(x) * self._spread + self._centre
            return values
        decision = self._model.decision_function(x)
        if decision.ndim == 1:  # of two classes: one value, positive for the second
            decision = np.stack([np.zeros_like(decision), decision], axis=1)
        probabilities: NDArray[np.float64] = softmax(decision, axis=1)
        return probabilities


def moments(rows: Training) -> tuple[float, float]:
    """Weighted mean and standard deviation of the values; a deviation of 1 if they are all the same."""
    centre = float(np.average(rows.label, weights=rows.weight))
    spread = float(np.sqrt(np.average((rows.label - centre) ** 2, weights=rows.weight)))
    return centre, spread or 1.0
