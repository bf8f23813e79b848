"""The contract of a classical model: the rungs of scikit-learn that stand beside the networks."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Training:
    """What a model learns from, cleared of the cases that none should have to think of.

    Args:
        x: (n, F) features.
        label: (n,) int64 number of the class, 0 … classes − 1, each of which occurs; or float64 values.
        weight: (n,) float64, all above 0.
        target: (n,) bool, the labelled calibration windows of the person the model is for.
        classes: how many occur, 2 or more; 0 for a regression.
        seed: of whatever is random.
    """

    x: NDArray[np.float32]
    label: NDArray[np.int64 | np.float64]
    weight: NDArray[np.float64]
    target: NDArray[np.bool_]
    classes: int
    seed: int

    def only(self, rows: NDArray[np.bool_]) -> "Training":
        """These rows alone, if they hold every class (for values: any row); otherwise all rows."""
        enough = len(np.unique(self.label[rows])) == self.classes if self.classes else rows.any()
        if not enough:
            return self
        kept = self.x[rows], self.label[rows], self.weight[rows], self.target[rows]
        return Training(*kept, self.classes, self.seed)


class Classical(ABC):
    """Features of windows → one target. To add one: subclass this, name it in YAML by its class path.

    Nothing is fitted but on what `fit` is given: labelled source windows, in calibrated settings with the labelled
    windows of the target person among them. A subclass says how to `learn` and to `infer`.
    """

    values: ClassVar[bool] = True
    """Learns values, too; otherwise classes only."""

    def fit(
        self,
        x: NDArray[np.float32],
        label: NDArray[np.float64],
        weight: NDArray[np.float64],
        classes: int,
        seed: int,
        target: NDArray[np.bool_] | None = None,
    ) -> None:
        """Learn.

        Args:
            x: (n, F) normalised features of all streams side by side; 0, the mean, where a stream is absent.
            label: (n,) number of the class, or value; every row has one.
            weight: (n,) of the rows, 1 on average; a row of weight 2 counts as two rows, of weight 0 as none.
            classes: how many there are; 0 for a regression.
            seed: of whatever is random.
            target: (n,) True for the labelled calibration windows of the person the model is for; None if there are
                none. Most models weigh them like any row.

        Raises:
            ValueError: in words, of a target it cannot learn.
        """
        name = type(self).__name__
        if not classes and not self.values:
            raise ValueError(f"{name} learns classes, not values")
        used = weight > 0
        if not used.any():
            raise ValueError(f"{name} has no window to learn from: all {len(x)} weigh nothing")
        label, target = label[used], np.zeros(used.sum(), np.bool_) if target is None else target[used]
        self._classes = classes
        self._seen: NDArray[np.int64] = np.unique(label).astype(np.int64) if classes else np.zeros(0, np.int64)
        if classes and len(self._seen) < 2:
            raise ValueError(
                f"{name} needs windows of two classes or more to learn from; "
                f"all {len(label)} are of class number {self._seen[0]}"
            )
        numbers = np.searchsorted(self._seen, label) if classes else label
        self.learn(Training(x[used], numbers, weight[used], target, len(self._seen), seed))

    def predict(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n, F) → (n, classes) probabilities, 0 of a class never seen, or (n, 1) values on the labels' scale."""
        inferred = self.infer(x)
        if not self._classes:
            return inferred.reshape(-1, 1)
        probabilities = np.zeros((len(x), self._classes))
        probabilities[:, self._seen] = inferred
        return probabilities

    @abstractmethod
    def learn(self, rows: Training) -> None:
        """Fit the model, anew at each call."""

    @abstractmethod
    def infer(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n, F) → (n, classes) probabilities of the classes learnt, or (n,) values."""
