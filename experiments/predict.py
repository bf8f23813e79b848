"""A fitted network → tables of predictions: of the test windows as they are, and with streams missing."""

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from affect.errors import UserError
from affect.evaluation.metrics import columns_of
from affect.learners.adaptive import Adaptive
from affect.learners.regularisation import hide_streams
from datamodules.module import FoldData
from experiments.plan import Plan, Run

RATES = tuple(i / 10 for i in range(10))
"""Chances with which each stream of each window is lost."""
_MANY = 5  # streams; of more, not every subset is tested


def predictions(plan: Plan, run: Run, learner: Adaptive, data: FoldData, windows: NDArray[np.int64]) -> pd.DataFrame:
    """A row for each of these windows: what and whose it is, and for each target its label and what was predicted.

    Columns that end in `@stream` hold what that stream's own head says; `share_stream` how much of the prediction
    comes from it, where the fusion tells.
    """
    network = learner.network.eval()
    columns: dict[str, list[Tensor]] = {}
    rows: list[Tensor] = []
    with torch.inference_mode():
        for batch in (batch.to(learner.device) for batch in data.in_order(windows)):
            reading = network.read(batch)
            rows.append(batch.window)
            _add(columns, plan, network.predictions(reading.outputs))
            for i, stream in enumerate(batch.streams):
                if reading.streams is not None:
                    _add(columns, plan, network.predictions(reading.streams[:, i]), f"@{stream}")
                if reading.shares is not None:
                    columns.setdefault(f"share_{stream}", []).append(reading.shares[:, i])
    return _table(plan, run.folder, rows, columns)


def with_streams_missing(plan: Plan, run: Run, learner: Adaptive, data: FoldData) -> pd.DataFrame:
    """The same windows, predicted from every subset of streams and with streams lost at random.

    Returns:
        As of `predictions`, with a column `case`: names of the streams joined by `+`, or the rate of loss. Windows
        that have none of a subset's streams are not in it. At random, one stream of a window always stays.
    """
    network = learner.network.eval()
    names = list(network.encoders)
    sizes = range(1, len(names) + 1) if len(names) <= _MANY else sorted({1, len(names) - 1, len(names)})
    subsets = [chosen for size in sizes for chosen in combinations(range(len(names)), size)]
    found: dict[str, tuple[list[Tensor], dict[str, list[Tensor]]]] = {}
    with torch.inference_mode(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.seed)
        for batch in (batch.to(learner.device) for batch in data.predict_dataloader()):
            embeddings = network.embed(batch)
            cases: dict[str, Tensor] = {}
            for chosen in subsets:
                kept = torch.tensor([i in chosen for i in range(len(names))], device=batch.present.device)
                cases["+".join(names[i] for i in chosen)] = batch.present & kept
            cases |= {f"{rate:g}": hide_streams(batch.present.cpu(), rate).to(batch.present) for rate in RATES}
            for case, present in cases.items():
                rows, columns = found.setdefault(case, ([], {}))
                here = present.any(dim=1)
                made = network.predictions(network.fuse(embeddings, present, batch.domain, batch.source).outputs)
                rows.append(batch.window[here])
                _add(columns, plan, {target: values[here] for target, values in made.items()})
    tables = [_table(plan, run.folder, rows, columns).assign(case=case) for case, (rows, columns) in found.items()]
    return pd.concat(tables, ignore_index=True)


def table(plan: Plan, folder: Path, rows: np.ndarray, columns: dict[str, np.ndarray]) -> pd.DataFrame:
    """Windows, whose they are and what they are called, with columns of predictions; refused where these are NaN."""
    if any(not np.isfinite(values).all() for values in columns.values()):
        raise UserError(folder, "NaN in the predictions", "finite numbers", "lower trainer.learning_rate or the weight")
    trial = plan.windows.table.trial[rows]
    trials = plan.windows.trials.iloc[trial]
    about = {
        "window": rows,
        "trial": trial,
        "start": plan.windows.table.start[rows],
        "subject": trials["subject"].to_numpy(),
        "stimulus": trials["stimulus"].to_numpy(),
    }
    own: dict[str, NDArray[Any]] = {}
    for i, target in enumerate(plan.targets):
        own[f"label_{target.name}"] = plan.labels[rows, i]
        own |= {name: columns[name] for name in columns_of(target.name, target.classes)}
    return pd.DataFrame(about | own | columns)


def _table(plan: Plan, folder: Path, rows: list[Tensor], columns: dict[str, list[Tensor]]) -> pd.DataFrame:
    numbers = torch.cat(rows).cpu().numpy()
    return table(plan, folder, numbers, {n: torch.cat(parts).float().cpu().numpy() for n, parts in columns.items()})


def _add(columns: dict[str, list[Tensor]], plan: Plan, made: dict[str, Tensor], suffix: str = "") -> None:
    for target in plan.targets:
        for name, values in zip(columns_of(target.name, target.classes), made[target.name].unbind(1), strict=True):
            columns.setdefault(name + suffix, []).append(values)
