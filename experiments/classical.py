"""A run of a classical model: the features of a fold's windows → predictions, in the same folder as a network's."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from affect.classical import Classical
from affect.errors import UserError
from affect.evaluation.metrics import columns_of
from affect.evaluation.probe import every
from affect.evaluation.selection import Evidence
from datamodules.module import FoldData
from experiments.components import build
from experiments.config import Component
from experiments.evidence import Scores, mean_scores
from experiments.network import build_mapping, streams_of
from experiments.plan import Plan, Run
from experiments.predict import table

_AT_ONCE = 1024  # windows


class _Committee:
    """A model for each group of streams, of which each sees its own features; their predictions are averaged.

    Args:
        groups: of columns of the features, one alone for a single model of all.
    """

    def __init__(self, component: Component, key: str, groups: Sequence[NDArray[np.int64]]) -> None:
        self._models = [(build(component, Classical, key), columns) for columns in groups]

    def fit(self, x: NDArray[np.float32], *rest: Any) -> None:
        for model, columns in self._models:
            model.fit(x[:, columns], *rest)

    def predict(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        mean: NDArray[np.float64] = np.mean([model.predict(x[:, columns]) for model, columns in self._models], axis=0)
        return mean


def predictions(
    plan: Plan, run: Run, data: FoldData, windows: Mapping[str, NDArray[np.int64]]
) -> tuple[dict[str, pd.DataFrame], Scores | None]:
    """Fit one model for each target on the fold's labelled training windows, and predict others.

    Args:
        windows: name → those to predict.

    Returns:
        name → the table of predictions, and in a search every validator's score.
    """
    method = run.experiment.methods[run.method]
    component = method.classical
    assert component is not None
    key = f"methods.{run.method}.classical"
    aligns = build_mapping(run.experiment, run.method)
    if aligns:
        data.map_streams(aligns.map_stream, aligns.weight)
    held_out, unlabelled = every(data.source_val), every(data.target_unlabelled)
    found: list[Evidence] = []
    columns: dict[str, dict[str, NDArray[np.float64]]] = {name: {} for name in windows}
    asked = {name: _features(data, rows) for name, rows in windows.items()}
    streams = streams_of(run.experiment, run.method)
    sizes = [len(shape.channels) * shape.length for shape in (plan.windows.shapes[name] for name in streams)]
    belongs = np.repeat(streams, sizes)
    groups = [np.flatnonzero(np.isin(belongs, group)) for group in method.decisions or [streams]]
    seen = _features(data, data.source_train)
    for i, target in enumerate(plan.targets):
        model = _Committee(component, key, groups)
        rows = data.source_train
        label, weight, own = (values[rows] for values in data.labels_of(i))
        known = ~np.isnan(label)
        try:
            x = seen[known]
            model.fit(
                x,
                label[known].astype(np.float64),
                weight[known].astype(np.float64),
                len(target.classes),
                run.seed,
                own[known],
            )
            made = {name: model.predict(features).T for name, features in asked.items()}
            if run.experiment.search:
                found.append(_evidence(model, x[~own[known]], data, held_out, unlabelled, i, len(target.classes)))
        except ValueError as error:
            raise UserError(key, f"{component.class_path}: {error}", "a target it can learn", "take another") from None
        for name, values in made.items():
            columns[name] |= dict(zip(columns_of(target.name, target.classes), values, strict=True))
    tables = {name: table(plan, run.folder, rows, columns[name]) for name, rows in windows.items()}
    return tables, mean_scores(found) if run.experiment.search else None


def _evidence(
    model: _Committee,
    x: NDArray[np.float32],
    data: FoldData,
    held_out: NDArray[np.int64],
    unlabelled: NDArray[np.int64],
    target: int,
    classes: int,
) -> Evidence:
    """What the model leaves for choosing; its embedding are the features themselves."""
    label = data.labels_of(target)[0][held_out]
    known = ~np.isnan(label)
    validation, unseen = _features(data, held_out[known]), _features(data, unlabelled)
    centre, spread = (0.0, 1.0) if classes else (data.centre[target], data.spread[target])
    guessed, named = (
        (model.predict(rows) - centre) / spread if len(rows) else np.zeros((0, max(classes, 1)))
        for rows in (validation, unseen)
    )
    return Evidence(every(x), validation, guessed, (label[known] - centre) / spread, unseen, named, classes)


def _features(data: FoldData, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """(n, F): all streams of the windows `rows`, flat and side by side."""
    parts = []
    for i in range(0, max(len(rows), 1), _AT_ONCE):
        batch = data.gather(rows[i : i + _AT_ONCE])
        parts.append(torch.cat([values.flatten(1) for values in batch.streams.values()], dim=1).numpy())
    return np.concatenate(parts)
