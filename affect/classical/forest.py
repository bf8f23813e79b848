"""The random forest, and a linear model on its leaves."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveFloat, PositiveInt

from affect.classical.base import Classical, Training


class RandomForest(Classical):
    """Random forest (Breiman, Machine Learning 2001); probabilities are the mean of its trees' leaves.

    Each tree sees a bootstrap sample of the windows; each split looks at √F features.

    Args:
        trees: how many.
        min_leaf: windows in a leaf, at least. Windows of one trial resemble each other: small leaves learn trials by
            heart.
        depth: of a tree, at most; None for no bound.
    """

    def __init__(self, trees: PositiveInt = 200, min_leaf: PositiveInt = 5, depth: PositiveInt | None = None) -> None:
        self.trees, self.min_leaf, self.depth = trees, min_leaf, depth
        self._forest: Any

    def learn(self, rows: Training) -> None:
        self._forest = grown(rows, self.trees, self.min_leaf, self.depth)

    def infer(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        inferred: NDArray[np.float64] = getattr(self._forest, "predict_proba", self._forest.predict)(x)
        return inferred


class ForestLeaves(Classical):
    """A random forest makes the features, a linear model uses them: transfer by feature extraction.

    The forest is grown on source windows; the leaf that a window falls into in each tree, one-hot, is what the linear
    model sees, as He et al. (Practical lessons from predicting clicks on ads at Facebook, ADKDD 2014) did with boosted
    trees. The linear model learns from the target person's labelled windows alone if they hold every class, otherwise
    from all windows; so in settings without such windows both learn from the source. The features of a window have
    length 1: the product of two windows' features is the share of trees in which they share a leaf. The linear model is
    a logistic regression, of values a ridge regression.

    Args:
        trees, min_leaf, depth: of the forest, as in RandomForest.
        C: inverse of the strength of the linear model's penalty.
    """

    def __init__(
        self,
        trees: PositiveInt = 100,
        min_leaf: PositiveInt = 10,
        depth: PositiveInt | None = None,
        C: PositiveFloat = 10.0,
    ) -> None:
        self.trees, self.min_leaf, self.depth, self.C = trees, min_leaf, depth, C
        self._forest: Any
        self._encoder: Any
        self._model: Any

    def learn(self, rows: Training) -> None:
        from sklearn.linear_model import LogisticRegression, Ridge
        from sklearn.preprocessing import OneHotEncoder

        source, own = rows.only(~rows.target), rows.only(rows.target)
        self._forest = grown(source, self.trees, self.min_leaf, self.depth)
        self._encoder = OneHotEncoder(handle_unknown="ignore").fit(self._forest.apply(rows.x))
        ridge = Ridge(alpha=1 / self.C, solver="sparse_cg")
        self._model = LogisticRegression(C=self.C, max_iter=2000) if rows.classes else ridge
        self._model.fit(self.leaves(own.x), own.label, own.weight)

    def infer(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        leaves = self.leaves(x)
        inferred: NDArray[np.float64] = getattr(self._model, "predict_proba", self._model.predict)(leaves)
        return inferred

    def leaves(self, x: NDArray[np.float32]) -> Any:
        """(n, F) → (n, leaves of all trees) sparse: 1/√trees at the leaf of each tree, 0 elsewhere."""
        return self._encoder.transform(self._forest.apply(x)) / np.sqrt(self.trees)


def grown(rows: Training, trees: int, min_leaf: int, depth: int | None) -> Any:
    """A fitted forest of scikit-learn."""
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    kind = RandomForestClassifier if rows.classes else RandomForestRegressor
    settings = {"n_estimators": trees, "min_samples_leaf": min_leaf, "max_depth": depth, "max_features": "sqrt"}
    return kind(**settings, n_jobs=1, random_state=rows.seed).fit(rows.x, rows.label, rows.weight)
