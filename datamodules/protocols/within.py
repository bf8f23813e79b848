"""People seen before: some trials of a person are learned from, the others tested."""

import numpy as np
import pandas as pd

from affect.errors import UserError
from datamodules.protocols.base import Fold, Protocol, unique


class WithinSubject(Protocol):
    """Each person alone: their trials in k parts, each part tested once by a model of the others.

    Parts are not stratified: a split that reads target labels would change when they change.

    Args:
        parts: number of parts, 2 … trials of a person; None: as many as the person has trials, each left out once.
        validation: share of a person's training trials held out to choose with.
        seed: of the shuffling.
    """

    def __init__(self, parts: int | None = 4, validation: float = 0.0, seed: int = 0) -> None:
        super().__init__(validation, seed)
        if parts is not None and parts < 2:
            raise UserError("protocol.parts", f"{parts}", "2 or more", "raise it")
        self.parts = parts

    def split(self, trials: pd.DataFrame) -> list[Fold]:
        subject = trials["subject"].to_numpy(dtype=str)
        folds = []
        for number, person in enumerate(unique(trials["subject"])):
            rows = np.flatnonzero(subject == person)
            parts = len(rows) if self.parts is None else self.parts
            if not 2 <= parts <= len(rows):
                raise UserError(
                    "protocol.parts", f"{parts} parts of {person}'s {len(rows)} trials", "2 … trials", "lower it"
                )
            order = np.random.default_rng([self.seed, number]).permutation(rows)
            for i, test in enumerate(np.array_split(order, parts)):
                train = np.setdiff1d(rows, test)
                val = self._held_out(train, number * parts + i)
                test = np.sort(test)
                folds.append(Fold(f"{person}-part{i + 1}", np.setdiff1d(train, val), np.sort(val), test, test))
        return folds
