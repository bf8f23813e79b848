"""The contract of a protocol: a pure function of the trials table and a seed to folds."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affect.errors import UserError

Rows = NDArray[np.int64]
Unit = TypeVar("Unit", np.str_, np.int64)


@dataclass(frozen=True)
class Fold:
    """One split, as row numbers of the trials table.

    Args:
        source_train: labelled trials to learn from.
        source_val: labelled trials of the source to choose with; of other people in cross-subject protocols.
        target_unlabelled: trials whose recordings, never whose labels, a transductive method may look at.
        target_test: trials that are scored, once, at the end.
        target_calibration: the few trials of the target whose labels are learned from too, never scored.
        calibration: how many of each tested person those are.
        unit: what is scored as one, and averaged over: a person, on all folds that test them, or this fold.
    """

    name: str
    source_train: Rows
    source_val: Rows
    target_unlabelled: Rows
    target_test: Rows
    target_calibration: Rows = field(default_factory=lambda: np.zeros(0, np.int64))
    calibration: int = 0
    unit: Literal["person", "fold"] = "person"

    @property
    def parts(self) -> dict[str, Rows]:
        """Name → rows."""
        return {name: rows for name, rows in vars(self).items() if isinstance(rows, np.ndarray)}

    def only(self, kept: Rows) -> "Fold":
        """The same fold without the trials that are not in `kept`."""
        changed: dict[str, Any] = {name: rows[np.isin(rows, kept)] for name, rows in self.parts.items()}
        return replace(self, **changed)


class Protocol(ABC):
    """The rule that splits trials. Reads who, when, where and what of the table, never ratings or signals."""

    def __init__(self, validation: float = 0.0, seed: int = 0) -> None:
        if not 0 <= validation < 1:
            raise UserError("protocol.validation", f"{validation}", "0 ≤ validation < 1", "give a share of the source")
        self.validation = validation
        self.seed = seed

    @property
    def holds_out(self) -> bool:
        """Whether some of the source is held out to choose with."""
        return self.validation > 0

    @abstractmethod
    def split(self, trials: pd.DataFrame) -> list[Fold]:
        """All folds, in a fixed order."""

    def _held_out(self, units: NDArray[Unit], fold: int) -> NDArray[Unit]:
        """The share of source units (people or trials) kept to choose with."""
        if self.validation == 0 or len(units) < 2:
            return units[:0]
        count = min(max(1, round(self.validation * len(units))), len(units) - 1)
        return np.random.default_rng([self.seed, fold]).permutation(units)[:count]


def unique(column: "pd.Series[str]") -> NDArray[np.str_]:
    """Distinct values in order of first appearance (the corpus's own order)."""
    return np.asarray(pd.unique(column.astype(str)), dtype=str)
