"""Predictors that look at no signal: what any method must beat."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affect.evaluation.metrics import Level

TRIVIAL = ("majority", "class-ratio", "uniform")


def trivial(
    kind: str, predictions: pd.DataFrame, classes: list[str], priors: NDArray[np.float64], level: Level = "window"
) -> pd.DataFrame:
    """The table of predictions a trivial predictor would have made.

    Args:
        kind: `majority`: always the most frequent class of the source; `class-ratio`: a draw from the source's class
            shares; `uniform`: a fair draw. One draw, the same in every run.
        priors: (K,) class shares of the source windows.
        level: whether a draw is made for each window or for each trial.
    """
    _, first, unit = np.unique(predictions[level], return_index=True, return_inverse=True)
    count = len(first)
    if kind == "majority":
        drawn = np.full(count, int(np.argmax(priors)))
    else:
        shares = priors if kind == "class-ratio" else np.full(len(priors), 1 / len(priors))
        drawn = np.random.default_rng(predictions["window"].iloc[0]).choice(len(priors), size=count, p=shares)
    hard = np.eye(len(priors))[drawn][unit]
    return predictions.assign(**{f"p_{name}": hard[:, i] for i, name in enumerate(classes)})
