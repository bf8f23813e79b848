"""Nobody is tested."""

import numpy as np
import pandas as pd

from datamodules.protocols.base import Fold, Protocol, unique


class Everyone(Protocol):
    """All people are the source and nobody is tested: for pretraining an encoder that goes elsewhere.

    Args:
        validation: share of people held out to watch with.
        seed: of the people held out.
    """

    def split(self, trials: pd.DataFrame) -> list[Fold]:
        held_out = np.isin(trials["subject"].astype(str), self._held_out(unique(trials["subject"]), 0))
        nobody = np.zeros(0, np.int64)
        return [Fold("everyone", np.flatnonzero(~held_out), np.flatnonzero(held_out), nobody, nobody)]
