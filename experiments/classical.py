"""A run of a classical model: the features of a fold's windows → predictions, in the same folder as a network's."""

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from affect.classical import Classical
from affect.errors import UserError
from affect.evaluation.metrics import columns_of
from datamodules.module import FoldData
from experiments.components import build
from experiments.plan import Plan, Run
from experiments.predict import table

_AT_ONCE = 1024  # windows


def predictions(plan: Plan, run: Run, data: FoldData) -> pd.DataFrame:
    """Fit one model for each target on the fold's labelled training windows, and predict its test windows."""
    component = plan.experiment.methods[run.method].classical
    assert component is not None
    key = f"methods.{run.method}.classical"
    columns: dict[str, NDArray[np.float64]] = {}
    tested = _features(data, data.target_test)
    for i, target in enumerate(plan.targets):
        model = build(component, Classical, key)
        rows = data.source_train
        label, weight, own = (values[rows] for values in data.labels_of(i))
        known = ~np.isnan(label)
        try:
            x = _features(data, rows[known])
            model.fit(
                x,
                label[known].astype(np.float64),
                weight[known].astype(np.float64),
                len(target.classes),
                run.seed,
                own[known],
            )
            found = model.predict(tested)
        except ValueError as error:
            raise UserError(key, f"{component.class_path}: {error}", "a target it can learn", "take another") from None
        columns |= dict(zip(columns_of(target.name, target.classes), found.T, strict=True))
    return table(plan, run.folder, data.target_test, columns)


def _features(data: FoldData, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """(n, F): all streams of the windows `rows`, flat and side by side."""
    parts = []
    for i in range(0, max(len(rows), 1), _AT_ONCE):
        batch = data.gather(rows[i : i + _AT_ONCE])
        parts.append(torch.cat([values.flatten(1) for values in batch.streams.values()], dim=1).numpy())
    return np.concatenate(parts)
