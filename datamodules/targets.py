"""Targets: what is predicted, made from the ratings of a trial. Labels are class numbers, −1 where unknown."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affect.errors import UserError
from datamodules.corpora.base import Corpus


class Target(ABC):
    """Turns one rating of every trial into a class.

    Args:
        rating: name of a rating of the corpus.
    """

    classes: tuple[str, ...]

    def __init__(self, rating: str) -> None:
        self.rating = rating

    def check(self, corpus: type[Corpus]) -> None:
        """Raise before any data is read if the corpus cannot give this target."""
        if self.rating not in corpus.ratings:
            raise UserError(
                "data.target.rating",
                f"{self.rating!r}",
                f"a rating of {corpus.name}: {list(corpus.ratings)}",
                "choose one of them",
            )

    @abstractmethod
    def labels(self, trials: pd.DataFrame) -> NDArray[np.int64]:
        """(n_trials,) class of every trial, −1 where the rating is missing or of no class."""

    def keeps(self, trials: pd.DataFrame) -> NDArray[np.bool_]:
        """(n_trials,) trials the question is about; a trial without a rating is kept, as unlabelled data."""
        return np.ones(len(trials), dtype=bool)


class Threshold(Target):
    """Binary: `high` where the rating is strictly above a threshold, else `low`.

    Peers differ exactly at the threshold (`>` or `>=`); this one is `>`.

    Args:
        above: the threshold, on the rating's native scale.
    """

    classes = ("low", "high")

    def __init__(self, rating: str, above: float) -> None:
        super().__init__(rating)
        self.above = above

    def check(self, corpus: type[Corpus]) -> None:
        super().check(corpus)
        scale = corpus.ratings[self.rating]
        if isinstance(scale[0], str):
            raise UserError(
                "data.target",
                f"a threshold on {self.rating!r}, which has the classes {list(scale)}",
                "a numeric rating",
                "use datamodules.targets.Classes",
            )
        low, high = float(scale[0]), float(scale[1])
        if not low <= self.above < high:
            raise UserError(
                "data.target.above",
                f"{self.above:g}",
                f"{low:g} ≤ above < {high:g}, the scale of {self.rating}",
                "move the threshold inside the scale",
            )

    def labels(self, trials: pd.DataFrame) -> NDArray[np.int64]:
        value = trials[f"rating.{self.rating}"].to_numpy(dtype=float)
        return np.where(np.isnan(value), -1, value > self.above).astype(np.int64)


class Classes(Target):
    """The named classes of a rating, in the order given.

    Trials of other classes are left out everywhere, on the target too: the target is assumed to hold these classes
    and no others (closed set).

    Args:
        classes: names to tell apart.
    """

    def __init__(self, rating: str, classes: Sequence[str]) -> None:
        super().__init__(rating)
        self.classes = tuple(classes)

    def check(self, corpus: type[Corpus]) -> None:
        super().check(corpus)
        scale = corpus.ratings[self.rating]
        unknown = [c for c in self.classes if c not in scale]
        if unknown or len(set(self.classes)) < max(2, len(self.classes)):
            raise UserError(
                "data.target.classes", f"{list(self.classes)}", f"two or more of {list(scale)}", "correct the list"
            )

    def labels(self, trials: pd.DataFrame) -> NDArray[np.int64]:
        number = {name: i for i, name in enumerate(self.classes)}
        return np.array([number.get(str(v), -1) for v in trials[f"rating.{self.rating}"]], dtype=np.int64)

    def keeps(self, trials: pd.DataFrame) -> NDArray[np.bool_]:
        rated = trials[f"rating.{self.rating}"]
        return np.asarray(rated.isin(self.classes) | rated.isna(), dtype=bool)
