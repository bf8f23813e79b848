"""Predictors that look at no signal: what any method must beat."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from affect.evaluation.metrics import Level, columns_of

TRIVIAL = ("majority", "class-ratio", "random", "source-mean")
"""Predictors of classes, three of them, and of values."""


def trivial_of(classes: Sequence[str]) -> tuple[str, ...]:
    """Kinds of trivial predictor of a target with these classes, none for a regression."""
    return TRIVIAL[:3] if classes else TRIVIAL[3:]


def trivial(
    kind: str,
    predictions: pd.DataFrame,
    target: str,
    classes: Sequence[str],
    source: Mapping[str, float],
    level: Level = "window",
) -> pd.DataFrame:
    """The table of predictions a trivial predictor would have made.

    Args:
        kind: `majority`: always the most frequent class of the source; `class-ratio`: a draw from the source's class
            shares; `random`: a fair draw; `source-mean`: the mean of the source's values. One draw, the same in
            every run.
        source: of the source windows: share of each class, or the `mean` of the values.
        level: whether a draw is made for each window or for each trial.
    """
    if kind == "source-mean":
        return predictions.assign(**{f"predicted_{target}": float(source["mean"])})
    priors = np.array([source[name] for name in classes])
    _, first, unit = np.unique(predictions[level], return_index=True, return_inverse=True)
    count = len(first)
    if kind == "majority":
        drawn = np.full(count, int(np.argmax(priors)))
    else:
        shares = priors if kind == "class-ratio" else np.full(len(priors), 1 / len(priors))
        seed = [1, int(predictions["window"].iloc[0])]  # first draws of the plain seeds 0 … 319 are uneven: 59 % high
        drawn = np.random.default_rng(seed).choice(len(priors), size=count, p=shares)
    hard = np.eye(len(priors))[drawn][unit]
    return predictions.assign(**{column: hard[:, i] for i, column in enumerate(columns_of(target, classes))})
