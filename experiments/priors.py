"""How the labels of a target are distributed, over all windows and over each person's."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.targets import Target
from datamodules.windows import WindowSet


def priors(target: Target, label: NDArray[np.float32], windows: WindowSet) -> dict[str, Any]:
    """Facts of the labelled windows: {"all": …, "subjects": {person: …}}; people without a label are not there.

    Args:
        label: (n_windows,), NaN where unknown.

    Returns:
        Of classes the share of each; of a regression mean, sd, low and high.
    """
    known = ~np.isnan(label)
    person = windows.subject[windows.table.trial]
    people = {windows.people[p]: _facts(target, label[known & (person == p)]) for p in np.unique(person[known])}
    return {"all": _facts(target, label[known]), "subjects": people}


def _facts(target: Target, known: NDArray[np.float32]) -> dict[str, float]:
    if target.classes:
        shares = np.bincount(known.astype(np.int64), minlength=len(target.classes)) / len(known)
        return {name: round(float(share), 4) for name, share in zip(target.classes, shares, strict=True)}
    values = known.astype(np.float64)
    facts = {"mean": values.mean(), "sd": values.std(), "low": values.min(), "high": values.max()}
    return {name: round(float(value), 4) for name, value in facts.items()}
