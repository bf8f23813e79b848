"""What trained networks look at: integrated gradients (Sundararajan et al., ICML 2017) on the streams they see."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from affect.encoders.electrodes import positions
from affect.errors import UserError
from affect.learners.adaptive import Adaptive
from affect.reporting.figures import saliency, topomap
from affect.reporting.page import Shown
from affect.transfer import FrozenEncoder
from datamodules.module import FoldData
from experiments.plan import Plan, Run
from experiments.streams import grouped

Learned = Callable[[Plan, Run], tuple[Adaptive, FoldData]]
_FOLDS = 6
_WINDOWS = 48  # of the tested people of a fold
_PICTURES = 8  # the same where a network of pictures is among the encoders, which takes a hundred times as long
_STEPS = 32
_ELECTRODES = 8  # at least, for a topography
COLUMNS = 8
"""Heads side by side, at most."""


def attributions(plan: Plan, learned: Learned) -> Iterator[Shown]:
    """Of source-only under the last normalisation, on tested windows of up to six folds: a figure for each stream."""
    runs = grouped(plan)["source-only", plan.experiment.normalisation[-1]]
    runs = [run for run in runs if run.seed == plan.experiment.seeds[0]]
    runs = [runs[i] for i in np.unique(np.linspace(0, len(runs) - 1, _FOLDS).round().astype(int))]
    sums: dict[str, NDArray[np.float64]] = {}
    example: dict[str, tuple[int, NDArray[np.float64]]] = {}
    windows, tested = 0, []
    for run in runs:
        learner, data = learned(plan, run)
        known = data.target_test[~np.isnan(plan.labels[data.target_test, 0])]
        most = _PICTURES if any(plan.windows.shapes[name].size for name in _learns(learner)) else _WINDOWS
        rows = np.sort(np.random.default_rng(0).permutation(known)[:most])
        for name, values in integrated_gradients(plan, learner, data, rows).items():
            sums[name] = sums.get(name, 0) + np.abs(values).sum(axis=0)
            example.setdefault(name, (int(rows[0]), np.abs(values[0])))
        windows += len(rows)
        tested.append(rows)
    said = f"integrated gradients, baseline 0, source-only, {windows} tested windows of {len(runs)} folds"
    for name, total in sums.items():
        yield _drawn(plan, name, total / windows, example[name], np.concatenate(tested), said)


def integrated_gradients(plan: Plan, learner: Adaptive, data: FoldData, rows: Any) -> dict[str, NDArray[np.float64]]:
    """Stream → (n, …) attributions, shaped as the network gets it, of the true class's logit or of the value; streams
    that frozen encoders embedded are not in it."""
    try:
        from captum.attr import IntegratedGradients
    except ImportError:
        raise UserError("captum", "not installed", "the extra `figures`", "uv sync --extra figures") from None
    network, target = learner.network, plan.targets[0].name
    batch = data.gather(rows)
    names = list(batch.streams)

    def output(*given: Tensor) -> Tensor:
        streams, (present, domain, source) = given[: len(names)], given[len(names) :]
        embedded = {name: network.encoders[name](x) for name, x in zip(names, streams, strict=True)}
        return network.split(network.fuse(embedded, present, domain, source).outputs)[target]

    label = torch.from_numpy(plan.labels[rows, 0]).long() if plan.classes[0] else 0
    found = IntegratedGradients(output).attribute(
        tuple(batch.streams.values()),
        target=label,
        additional_forward_args=(batch.present, batch.domain, batch.source),
        n_steps=_STEPS,
        internal_batch_size=64,
    )
    learns = _learns(learner)
    return {name: values.detach().double().numpy() for name, values in zip(names, found, strict=True) if name in learns}


def _learns(learner: Adaptive) -> list[str]:
    """Streams whose encoders see windows as they are; frozen ones have embedded theirs."""
    encoders = learner.network.encoders
    return [name for name, encoder in encoders.items() if not isinstance(encoder, FrozenEncoder)]


def _drawn(
    plan: Plan, name: str, mean: NDArray[np.float64], example: tuple[int, NDArray[np.float64]], rows: Any, said: str
) -> Shown:
    """Heads for electrodes, faces for pictures, one window of what has time, all features of what has none."""
    stream, shape = plan.windows.streams[name], plan.windows.shapes[name]
    title = f"{plan.experiment.name}: what a network looks at in {name}"
    made = plan.windows.cache.streams[name].features
    columns = list(made.names) if made else []
    if not shape.size and on_the_head(shape.channels) and len(columns) <= COLUMNS:
        by = {c: mean[:, i] for i, c in enumerate(columns)} if columns else {"all samples": mean.sum(axis=1)}
        total = mean.sum()
        share = {column: 100 * values / total for column, values in by.items()}
        figure = topomap.draw(
            {
                "title": title, "channels": shape.channels, "rows": {"attribution": share}, "signed": False,
                "unit": "% of all attribution", "note": said,
            }
        )  # fmt: skip
        return Shown(f"attribution-{name}", "How much each electrode counts for the class that is right.", figure)
    seen, attribution = None, mean
    if shape.size:
        pictures = stream.gather(rows[:_WINDOWS]).astype(float).mean(axis=(0, 2)) / 255
        seen, attribution = pictures.transpose(1, 2, 0), mean.sum(axis=(0, 1))
        said += "; the mean face of the first tested"
    elif shape.rate and len(shape.channels) > 1 and shape.length > 1:
        row, attribution = example
        seen = stream.gather(np.array([row]))[0].astype(float)
        said = said.partition(", source-only")[0] + f", source-only, one tested window of {_whose(plan, row)}"
    figure = saliency.draw(
        {
            "title": title, "channels": [] if shape.size else shape.channels, "columns": columns,
            "seconds": plan.windows.table.seconds, "seen": seen, "attribution": attribution, "note": said,
        }
    )  # fmt: skip
    return Shown(f"attribution-{name}", "How much each part counts for the class that is right.", figure)


def _whose(plan: Plan, row: int) -> str:
    label, target = plan.labels[row, 0], plan.targets[0]
    said = target.classes[int(label)] if target.classes else f"{label:.2g}"
    return f"{plan.windows.trials['subject'].iloc[plan.windows.table.trial[row]]}, {said}"


def on_the_head(channels: tuple[str, ...]) -> bool:
    """Whether they are electrodes with standard places, enough for a topography."""
    try:
        return len(positions(channels)) >= _ELECTRODES
    except ValueError:
        return False
