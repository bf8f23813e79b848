"""A corpus never seen."""

from collections.abc import Sequence

import pandas as pd

from affect.errors import UserError
from datamodules.protocols.base import Fold, unique
from datamodules.protocols.subjects import SubjectGroups


class LeaveOneCorpusOut(SubjectGroups):
    """Each corpus of an experiment is the target once, all people of the others are the source.

    Args:
        validation: share of source people held out to choose with.
        only: names of corpora to take as targets; default all.
        seed: of the people held out.
    """

    def __init__(self, validation: float = 0.0, only: Sequence[str] | None = None, seed: int = 0) -> None:
        super().__init__(2, validation, 0, seed)
        self.only = only

    def split(self, trials: pd.DataFrame) -> list[Fold]:
        corpora = list(dict.fromkeys(trials["corpus"].astype(str)))
        targets = corpora if self.only is None else list(self.only)
        if len(corpora) < 2 or not set(targets) <= set(corpora):
            wanted = "two corpora or more in data.corpus" if len(corpora) < 2 else f"some of {corpora}"
            raise UserError(
                "protocol", f"targets {targets} in an experiment with {corpora}", wanted, "correct the list"
            )
        return self._folds(trials, {name: unique(trials["subject"][trials["corpus"] == name]) for name in targets})
