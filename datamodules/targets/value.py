"""Regression: the rating itself."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from datamodules.corpora.base import CorpusFacts
from datamodules.targets.base import Name, TrialTarget, numeric_scale, rated


class Value(TrialTarget):
    """A rating on its native scale, predicted as a number.

    Args:
        rating: name of a numeric rating of the corpus.
        name: of the target; default the rating's.
    """

    def __init__(self, rating: str, name: Name | None = None) -> None:
        super().__init__(name or rating)
        self.rating = rating

    def check(self, corpus: CorpusFacts) -> None:
        numeric_scale(corpus, self.rating, "a regression on")

    def bounds(self, corpus: CorpusFacts) -> tuple[float, float]:
        return numeric_scale(corpus, self.rating, "a regression on")

    def of_trials(self, trials: pd.DataFrame) -> NDArray[np.float64]:
        return rated(trials, self.rating)
