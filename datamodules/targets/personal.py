"""Classes with borders of each person's own: what is high for someone who rates low."""

from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affect.errors import UserError
from datamodules.corpora.base import CorpusFacts
from datamodules.targets.base import Name, TrialTarget, numeric_scale, rated
from datamodules.targets.classes import is_above


class Median(TrialTarget):
    """Binary: `high` where the rating is strictly above the person's own median; ties at the median are low.

    What the classes mean is taken from all of a person's ratings, the target person's too: such labels can be scored,
    but no device could ask for them. Training never sees them; a protocol that trains on a person it also tests is
    refused.

    Args:
        rating: name of a numeric rating of the corpus.
        name: of the target; default the rating's.
    """

    classes = ("low", "high")
    personal = True

    def __init__(self, rating: str, name: Name | None = None) -> None:
        super().__init__(name or rating)
        self.rating = rating

    def check(self, corpus: CorpusFacts) -> None:
        numeric_scale(corpus, self.rating, "a median of")

    def of_trials(self, trials: pd.DataFrame) -> NDArray[np.float64]:
        value = rated(trials, self.rating)
        return is_above(value, own_quantiles(value, trials["subject"], 2)[:, 0])


class Tertiles(TrialTarget):
    """`low`, `middle` and `high` thirds: at fixed cuts, or at the person's own tertiles (with Median's caution).

    A value on a cut belongs below it.

    Args:
        rating: name of a numeric rating of the corpus.
        cuts: (lower, upper) on the native scale; default each person's own tertiles.
        middle: `keep` for three classes; `unlabelled` for the two outer ones: trials in the middle are then neither
            learned from nor scored, but stay among the unlabelled data, since nobody would know which they are.
        name: of the target; default the rating's.
    """

    def __init__(
        self,
        rating: str,
        cuts: tuple[float, float] | None = None,
        middle: Literal["keep", "unlabelled"] = "keep",
        name: Name | None = None,
    ) -> None:
        super().__init__(name or rating)
        self.rating, self.cuts, self.middle = rating, cuts, middle
        self.classes = ("low", "middle", "high") if middle == "keep" else ("low", "high")
        self.personal = cuts is None

    def check(self, corpus: CorpusFacts) -> None:
        low, high = numeric_scale(corpus, self.rating, "tertiles of")
        if self.cuts is not None and not low <= self.cuts[0] < self.cuts[1] < high:
            raise UserError(
                "data.target.cuts",
                f"{list(self.cuts)}",
                f"{low:g} ≤ lower < upper < {high:g}, the scale of {self.rating}",
                "move the cuts inside the scale",
            )

    def of_trials(self, trials: pd.DataFrame) -> NDArray[np.float64]:
        value = rated(trials, self.rating)
        if self.cuts is None:
            lower, upper = own_quantiles(value, trials["subject"], 3).T
        else:
            lower, upper = (np.full(len(value), cut) for cut in self.cuts)
        third = is_above(value, lower) + is_above(value, upper)
        return third if self.middle == "keep" else np.where(third == 1, np.nan, third / 2)


def own_quantiles(value: NDArray[np.float64], subject: "pd.Series[str]", parts: int) -> NDArray[np.float64]:
    """(n_trials, parts − 1) borders between equal parts of each person's known values, repeated for their trials.

    Borders are values that occur (the ⌈n k / parts⌉-th smallest), so that classes depend on ranks alone.
    """
    borders = np.full((len(value), parts - 1), np.nan)
    for rows in subject.groupby(subject.to_numpy(), sort=False).indices.values():
        known = np.sort(value[rows][~np.isnan(value[rows])])
        if len(known):
            borders[rows] = known[[-(-len(known) * k // parts) - 1 for k in range(1, parts)]]
    return borders
