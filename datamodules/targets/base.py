"""The contract of a target: ratings of a trial, or ratings over time, become a label for every window."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Annotated

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from affect.errors import UserError

if TYPE_CHECKING:  # a config is checked without the data
    from datamodules.corpora.base import CorpusFacts
    from datamodules.windows import WindowSet

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
"""Of a target, in columns, tables and curves."""


class Target(ABC):
    """Gives every window a label: the number of a class, or a value. To add one: subclass this.

    Args:
        name: unique among the targets of an experiment.

    Attributes:
        classes: their names in the order of their numbers; none for a regression.
        streams: streams of the corpus the labels are made from; prepared, but never shown to the network.
        personal: whether a person's labels depend on that person's other ratings; such a person must be all source
            or all target, else target labels would shape training labels.
    """

    classes: tuple[str, ...] = ()
    streams: tuple[str, ...] = ()
    personal: bool = False

    def __init__(self, name: str) -> None:
        self.name = name

    @abstractmethod
    def check(self, corpus: CorpusFacts) -> None:
        """Raise before any data is read if the corpus cannot give this target."""

    @abstractmethod
    def labels(self, windows: WindowSet) -> NDArray[np.float32]:
        """(n_windows,) number of the class or value of every window, NaN where unknown or of no class."""

    def keeps(self, trials: pd.DataFrame) -> NDArray[np.bool_]:
        """(n_trials,) trials the question is about; a trial without a rating is kept, as unlabelled data."""
        return np.ones(len(trials), dtype=bool)

    def bounds(self, corpus: CorpusFacts) -> tuple[float, float] | None:
        """Lowest and highest value a regression can be asked for, where the corpus says so."""
        return None


class TrialTarget(Target):
    """One label for a whole trial, which all its windows share."""

    @abstractmethod
    def of_trials(self, trials: pd.DataFrame) -> NDArray[np.float64]:
        """(n_trials,) number of the class or value of every trial, NaN where unknown or of no class."""

    def labels(self, windows: WindowSet) -> NDArray[np.float32]:
        return self.of_trials(windows.trials).astype(np.float32)[windows.table.trial]


def rated(trials: pd.DataFrame, rating: str) -> NDArray[np.float64]:
    """(n_trials,) values of a numeric rating on its native scale, NaN where missing: all targets read them here."""
    column = f"rating.{rating}"
    if column not in trials:
        return np.full(len(trials), np.nan)
    return trials[column].to_numpy(dtype=float)


def scale_of(corpus: CorpusFacts, rating: str, key: str = "rating") -> tuple[float, float] | tuple[str, ...]:
    """The rating's scale, or its classes; refused if the corpus has no such rating.

    Args:
        key: argument of the target that names it.
    """
    if rating not in corpus.ratings:
        raise UserError(
            f"data.target.{key}", f"{rating!r}", f"a rating of {corpus.name}: {list(corpus.ratings)}", "choose one"
        )
    return corpus.ratings[rating]


def numeric_scale(corpus: CorpusFacts, rating: str, wanted: str, key: str = "rating") -> tuple[float, float]:
    """(lowest, highest) of a numeric rating; refused if its values are names.

    Args:
        wanted: what is asked of the rating, for the message.
    """
    scale = scale_of(corpus, rating, key)
    if isinstance(scale[0], str):
        raise UserError(
            "data.target",
            f"{wanted} {rating!r}, which has the classes {list(scale)}",
            "a numeric rating",
            "use datamodules.targets.Classes",
        )
    return float(scale[0]), float(scale[1])


def within(cut: float, scale: tuple[float, float], rating: str, key: str) -> None:
    """Refuse a threshold that all values of the scale lie on one side of."""
    low, high = scale
    if not low <= cut < high:
        raise UserError(
            f"data.target.{key}",
            f"{cut:g}",
            f"{low:g} ≤ {key} < {high:g}, the scale of {rating}",
            "move the threshold inside the scale",
        )
