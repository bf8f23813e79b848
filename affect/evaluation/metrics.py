"""Metrics of each person, on windows and on trials pooled from their windows."""

from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import f1_score, roc_auc_score

Level = Literal["window", "trial"]
METRICS = ("balanced_accuracy", "accuracy", "macro_f1", "auroc")


def score(predictions: pd.DataFrame, classes: list[str], level: Level) -> dict[str, Any]:
    """Metrics of every person of a table of predictions, and their mean over people.

    Args:
        predictions: one row per window: subject, trial, label and `p_<class>` for each class.
        classes: their names.
        level: `window`, or `trial`: probabilities are averaged over a trial's windows first.

    Returns:
        {"subjects": {person: {metric: value or None}}, "mean": {metric: value or None}}.
    """
    if level == "trial":
        predictions = pool(predictions, classes)
    probability = predictions[[f"p_{name}" for name in classes]].to_numpy(dtype=float)
    label = predictions["label"].to_numpy(dtype=int)
    subject = predictions["subject"].to_numpy(dtype=str)
    subjects = {
        str(person): person_metrics(label[subject == person], probability[subject == person])
        for person in pd.unique(subject)
    }
    return {"subjects": subjects, "mean": {m: _mean([s[m] for s in subjects.values()]) for m in METRICS}}


def pool(predictions: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    """One row per trial: the mean of its windows' probabilities."""
    columns = [f"p_{name}" for name in classes]
    keys = ["subject", "trial", "label"]
    return predictions.groupby(keys, sort=False, as_index=False)[columns].mean()


def person_metrics(label: NDArray[np.int64], probability: NDArray[np.float64]) -> dict[str, float | None]:
    """Metrics of one person's (n,) labels and (n, K) probabilities.

    balanced_accuracy: mean recall over the classes the person has. accuracy: share correct. macro_f1: mean F1 over
    the classes that occur in labels or predictions. auroc: mean one-against-rest area over the classes the person
    has beside others; None when there is only one.
    """
    predicted = probability.argmax(axis=1)
    present = np.unique(label)
    recalls = [float((predicted[label == c] == c).mean()) for c in present]
    areas = [
        float(roc_auc_score(label == c, probability[:, c]))
        for c in (present if probability.shape[1] > 2 else present[-1:])
        if len(present) > 1
    ]
    return {
        "balanced_accuracy": float(np.mean(recalls)),
        "accuracy": float((predicted == label).mean()),
        "macro_f1": float(f1_score(label, predicted, average="macro", zero_division=0)),
        "auroc": float(np.mean(areas)) if areas else None,
    }


def _mean(values: list[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None
