"""The contract of a classical model: the rungs of scikit-learn that stand beside the networks."""

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray


class Classical(ABC):
    """Features of windows → one target. To add one: subclass this, name it in YAML by its class path.

    Nothing is fitted but on what `fit` is given: labelled source windows.
    """

    @abstractmethod
    def fit(
        self, x: NDArray[np.float32], label: NDArray[np.float64], weight: NDArray[np.float64], classes: int, seed: int
    ) -> None:
        """Learn.

        Args:
            x: (n, F) normalised features of all streams side by side; 0, the mean, where a stream is absent.
            label: (n,) number of the class, or value; every row has one.
            weight: (n,) of the rows.
            classes: how many there are; 0 for a regression.
            seed: of whatever is random.

        Raises:
            ValueError: in words, of a target it cannot learn.
        """

    @abstractmethod
    def predict(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n, F) → (n, classes) probabilities, or (n, 1) values on the scale of the labels."""
