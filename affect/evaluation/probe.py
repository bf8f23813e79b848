"""Linear probes: what a straight line can read from an embedding, quickly and the same every time."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

ROWS = 2000  # that a probe reads of one domain


def every(rows: NDArray[Any]) -> NDArray[Any]:
    """(n, …) → at most ROWS of them, evenly spaced: the same ones whatever the candidate."""
    return rows[np.linspace(0, len(rows) - 1, ROWS).round().astype(int)] if len(rows) > ROWS else rows


def domain_classifier(source: NDArray[Any], target: NDArray[Any]) -> Any:
    """Logistic regression of the domain, source 0 and target 1, on (n_s, D) and (n_t, D) features.

    Domains weigh the same, whatever their rows, so that its `decision_function` is the log density ratio of target to
    source. The penalty is D: a prior under which that has variance 1. Weaker, many dimensions and few rows make ratios
    that are noise (256 dimensions, 1,000 rows: IWCV three times as wrong); stronger, few dimensions and many rows
    understate a shift.
    """
    source, target = every(source), every(target)
    domain = np.repeat([0, 1], [len(source), len(target)])
    return classifier(np.concatenate([source, target]), domain, penalty=source.shape[1], balanced=True)


def classifier(x: NDArray[Any], label: NDArray[Any], penalty: float, balanced: bool = False) -> Any:
    """Logistic regression of (n, D) features, standardised here, on (n,) labels of two or more classes.

    Minimises the summed cross-entropy + penalty / 2 · ‖w‖². By L-BFGS, which in 512 dimensions takes a tenth of the
    time of Newton's method.

    Args:
        balanced: classes weigh the same, whatever their rows.

    Returns:
        a fitted scikit-learn model: `predict`, `decision_function`.
    """
    from sklearn.linear_model import LogisticRegression

    regression = LogisticRegression(C=1 / penalty, class_weight="balanced" if balanced else None)
    return _standardised(regression).fit(x.astype(np.float64), label)


def regressor(x: NDArray[Any], value: NDArray[Any], penalty: float) -> Any:
    """Ridge regression of (n,) values on (n, D) features, standardised here: Σ error² + penalty · ‖w‖²; `predict`."""
    from sklearn.linear_model import Ridge

    return _standardised(Ridge(alpha=penalty)).fit(x.astype(np.float64), value.astype(np.float64))


def _standardised(model: Any) -> Any:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), model)
