"""Classes with the same borders for everyone: thresholds, quadrants, named emotions."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affect.errors import UserError
from datamodules.corpora.base import CorpusFacts
from datamodules.targets.base import Name, TrialTarget, numeric_scale, rated, scale_of, within


class Threshold(TrialTarget):
    """Binary: `high` where the rating is strictly above a threshold, else `low`.

    Peers differ exactly at the threshold (`>` or `>=`); this one is `>`.

    Args:
        rating: name of a numeric rating of the corpus.
        above: the threshold, on the rating's native scale.
        name: of the target; default the rating's.
    """

    classes = ("low", "high")

    def __init__(self, rating: str, above: float, name: Name | None = None) -> None:
        super().__init__(name or rating)
        self.rating, self.above = rating, above

    def check(self, corpus: CorpusFacts) -> None:
        within(self.above, numeric_scale(corpus, self.rating, "a threshold on"), self.rating, "above")

    def of_trials(self, trials: pd.DataFrame) -> NDArray[np.float64]:
        return is_above(rated(trials, self.rating), self.above)


class Quadrants(TrialTarget):
    """Four classes of the circumplex (Russell 1980): low or high arousal (LA, HA) × low or high valence (LV, HV).

    Args:
        above_valence, above_arousal: thresholds on the native scales; high is strictly above.
        valence, arousal: names of the two ratings.
        name: of the target.
    """

    classes = ("LALV", "LAHV", "HALV", "HAHV")

    def __init__(
        self,
        above_valence: float,
        above_arousal: float,
        valence: str = "valence",
        arousal: str = "arousal",
        name: Name = "quadrant",
    ) -> None:
        super().__init__(name)
        self.above_valence, self.above_arousal, self.valence, self.arousal = (
            above_valence,
            above_arousal,
            valence,
            arousal,
        )

    def check(self, corpus: CorpusFacts) -> None:
        scales = [numeric_scale(corpus, r, "quadrants of", k) for r, k in self._axes()]
        within(self.above_valence, scales[0], self.valence, "above_valence")
        within(self.above_arousal, scales[1], self.arousal, "above_arousal")

    def of_trials(self, trials: pd.DataFrame) -> NDArray[np.float64]:
        valence = is_above(rated(trials, self.valence), self.above_valence)
        return 2 * is_above(rated(trials, self.arousal), self.above_arousal) + valence

    def _axes(self) -> list[tuple[str, str]]:
        return [(self.valence, "valence"), (self.arousal, "arousal")]


class Classes(TrialTarget):
    """The named classes of a rating, in the order given.

    Trials of other classes are left out everywhere, on the target too: the target is assumed to hold these classes
    and no others (closed set).

    Args:
        rating: name of a rating whose values are names.
        classes: names to tell apart.
        name: of the target; default the rating's.
    """

    def __init__(self, rating: str, classes: Sequence[str], name: Name | None = None) -> None:
        super().__init__(name or rating)
        self.rating, self.classes = rating, tuple(classes)

    def check(self, corpus: CorpusFacts) -> None:
        scale = scale_of(corpus, self.rating)
        unknown = [c for c in self.classes if c not in scale]
        if unknown or len(set(self.classes)) < max(2, len(self.classes)):
            raise UserError(
                "data.target.classes", f"{list(self.classes)}", f"two or more of {list(scale)}", "correct the list"
            )

    def of_trials(self, trials: pd.DataFrame) -> NDArray[np.float64]:
        number = {name: i for i, name in enumerate(self.classes)}
        return np.array([number.get(str(v), np.nan) for v in self._named(trials)], dtype=np.float64)

    def keeps(self, trials: pd.DataFrame) -> NDArray[np.bool_]:
        named = self._named(trials)
        return np.asarray(named.isin(self.classes) | named.isna(), dtype=bool)

    def _named(self, trials: pd.DataFrame) -> "pd.Series[str]":
        column = f"rating.{self.rating}"
        return trials[column] if column in trials else pd.Series([None] * len(trials), dtype=object)


def is_above(value: NDArray[np.float64], cut: float | NDArray[np.float64]) -> NDArray[np.float64]:
    """1 strictly above the cut, else 0; NaN where the value is."""
    return np.where(np.isnan(value), np.nan, (value > cut).astype(np.float64))
