"""Metrics of each person, on windows and on trials pooled from their windows."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

Level = Literal["window", "trial"]
LEVELS: tuple[Level, ...] = ("window", "trial")
CLASSIFICATION = ("balanced_accuracy", "accuracy", "macro_f1", "auroc")
REGRESSION = ("ccc", "pearson", "rmse", "mae")
LOWER_IS_BETTER = frozenset({"rmse", "mae"})


def metrics_of(classes: Sequence[str]) -> tuple[str, ...]:
    """Metrics of a target with these classes, none for a regression; the first is the one methods are compared by."""
    return CLASSIFICATION if classes else REGRESSION


def chance(classes: Sequence[str]) -> dict[str, float]:
    """What metrics are without any relation, whatever the shares of classes; those that depend on them have none."""
    return {"balanced_accuracy": 1 / len(classes), "auroc": 0.5} if classes else {"ccc": 0.0, "pearson": 0.0}


def columns_of(target: str, classes: Sequence[str]) -> list[str]:
    """Columns of a target's predictions: a probability for each class, or the value."""
    return [f"p_{target}_{name}" for name in classes] or [f"predicted_{target}"]


def score(predictions: pd.DataFrame, target: str, classes: Sequence[str], level: Level) -> dict[str, Any]:
    """Metrics of every person of a table of predictions, and their mean over people.

    Args:
        predictions: one row per window: subject, trial, `label_<target>` and the columns of `columns_of`; rows
            without a label are not scored.
        classes: their names; none for a regression.
        level: `window`, or `trial`: predictions are averaged over a trial's windows first.

    Returns:
        {"subjects": {person: {metric: value or None}}, "mean": {metric: value or None}}.
    """
    known = predictions[predictions[f"label_{target}"].notna()]
    if level == "trial":
        known = pool(known, target, classes)
    predicted = known[columns_of(target, classes)].to_numpy(dtype=float)
    label = known[f"label_{target}"].to_numpy(dtype=float)
    subject = known["subject"].to_numpy(dtype=str)
    subjects = {}
    for person in pd.unique(subject):
        rows = subject == person
        if classes:
            subjects[str(person)] = of_classes(label[rows].astype(np.int64), predicted[rows])
        else:
            subjects[str(person)] = of_values(label[rows], predicted[rows, 0])
    return {"subjects": subjects, "mean": {m: _mean([s[m] for s in subjects.values()]) for m in metrics_of(classes)}}


def pool(predictions: pd.DataFrame, target: str, classes: Sequence[str]) -> pd.DataFrame:
    """One row per trial: the mean of its windows' predictions; of labels that change in it, the mean or the mode."""
    columns, label = columns_of(target, classes), f"label_{target}"
    if not predictions.duplicated(["subject", "trial"]).any():
        return predictions[["subject", "trial", label, *columns]].astype({label: float})
    votes = {f"vote {i}": predictions[label] == i for i in range(len(classes))}
    kept = predictions[["subject", "trial", label, *columns]].astype({label: float}).assign(**votes)
    pooled = kept.groupby(["subject", "trial"], sort=False, as_index=False).mean()
    if classes:
        pooled[label] = pooled[list(votes)].to_numpy().argmax(axis=1).astype(float)
    return pooled.drop(columns=list(votes))


def of_classes(label: NDArray[np.int64], probability: NDArray[np.float64]) -> dict[str, float | None]:
    """Metrics of one person's (n,) labels and (n, K) probabilities.

    balanced_accuracy: mean recall over the classes the person has. accuracy: share correct. macro_f1: mean F1 over
    the classes that occur in labels or predictions. auroc: mean one-against-rest area over the classes the person
    has beside others; None when there is only one.
    """
    predicted = probability.argmax(axis=1)
    present = np.unique(label)
    recalls = [float((predicted[label == c] == c).mean()) for c in present]
    told = present if probability.shape[1] > 2 else present[-1:]
    areas = _areas(label[:, None] == told, probability[:, told]) if len(present) > 1 else []
    return {
        "balanced_accuracy": float(np.mean(recalls)),
        "accuracy": float((predicted == label).mean()),
        "macro_f1": _macro_f1(label, predicted),
        "auroc": float(np.mean(areas)) if areas else None,
    }


def _areas(positive: NDArray[np.bool_], score: NDArray[np.float64]) -> list[float]:
    """(K,) areas under ROC curves from ranks (Hanley & McNeil 1982, Radiology 143:29), ties counted half; sklearn's
    without its checks, which took most of the time of a table with many people."""
    n = positive.sum(axis=0)
    ranks = (rankdata(score, axis=0) * positive).sum(axis=0)
    areas: list[float] = ((ranks - n * (n + 1) / 2) / (n * (len(positive) - n))).tolist()
    return areas


def _macro_f1(label: NDArray[np.int64], predicted: NDArray[np.int64]) -> float:
    """As sklearn's, which checks its arguments for longer than it counts."""
    f1 = []
    for c in np.union1d(label, predicted):
        is_label, is_predicted = label == c, predicted == c
        f1.append(2 * (is_label & is_predicted).sum() / (is_label.sum() + is_predicted.sum()))
    return float(np.mean(f1))


def of_values(label: NDArray[np.float64], predicted: NDArray[np.float64]) -> dict[str, float | None]:
    """Metrics of one person's (n,) labels and predicted values, on their native scale.

    ccc: concordance correlation (Lin 1989, Biometrics 45:255), 2 σ_xy / (σ_x² + σ_y² + (μ_x − μ_y)²) with moments
    over n; 0 for a constant prediction. pearson: r. Neither exists where the labels are constant, nor r where the
    prediction is. rmse, mae: root mean square and mean absolute error.
    """
    error = predicted - label
    found: dict[str, float | None] = {
        "ccc": None,
        "pearson": None,
        "rmse": float(np.sqrt((error**2).mean())),
        "mae": float(np.abs(error).mean()),
    }
    if _constant(label):
        return found
    if _constant(predicted):
        return found | {"ccc": 0.0}
    covariance = ((label - label.mean()) * (predicted - predicted.mean())).mean()
    found["ccc"] = float(2 * covariance / (label.var() + predicted.var() + error.mean() ** 2))
    found["pearson"] = float(covariance / (label.std() * predicted.std()))
    return found


def _constant(values: NDArray[np.float64]) -> bool:
    """Up to what averaging equal numbers in another order may do."""
    return bool(np.ptp(values) <= 1e-9 * np.abs(values).max())


def _mean(values: list[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None
