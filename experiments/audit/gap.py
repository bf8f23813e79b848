"""The leak gap of an experiment's own corpus, measured and drawn."""

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from affect.evaluation.canary import Projection
from affect.evaluation.leak_gap import LeakGap, leak_gap
from affect.reporting.figures import leak_gap as figure
from affect.reporting.style import save
from datamodules.windows import StreamWindows
from experiments.plan import Plan

Rows = NDArray[np.int64]
_MOST = 6000  # windows
_WIDE = 512  # features of all streams together
_AT_ONCE = 64


def measure(plan: Plan) -> LeakGap | None:
    """Of the first target with classes, on the numbers a simple model can use; None where there is none to measure."""
    number = next((i for i, target in enumerate(plan.targets) if target.classes), None)
    if number is None:
        return None
    label = plan.labels[:, number]
    rows = np.flatnonzero(~np.isnan(label))
    rows = np.sort(np.random.default_rng(0).permutation(rows)[:_MOST])
    x = np.concatenate([_summary(stream, rows) for stream in plan.windows.streams.values()], axis=1)
    if x.shape[1] > _WIDE:
        scaled = (x - x.mean(axis=0)) / np.maximum(x.std(axis=0), 1e-12)
        x = Projection(scaled[:: -(-len(x) // _WIDE)], _WIDE)(scaled).astype(np.float32)
    trial = plan.windows.table.trial[rows]
    return leak_gap(x, label[rows].astype(np.int64), trial, plan.windows.subject[trial], plan.classes[number])


def report(plan: Plan, gap: LeakGap | None) -> list[str]:
    """Draw it into the experiment's folder, and say what it shows."""
    if gap is None:
        return ["leak gap: not measured, it takes a target with classes, and two people or more"]
    scores = {name: split.interval for name, split in gap.splits.items()}
    measured = as_dict(plan, gap)
    assert measured is not None
    paths = save(figure.draw(figure.of_audit(plan.experiment.name, measured)), plan.folder / "leak_gap")
    random, new = (_short(scores[name].mean) for name in ("windows", "people"))
    between = f"; on new trials of known people {_short(scores['trials'].mean)}" if "trials" in scores else ""
    lines = [
        f"leak gap: a paper that splits windows at random would report {random} here{between}; "
        f"on people never seen it is {new} (chance {_short(gap.chance)})"
    ]
    lines += [f"  no split by {name}: {reason}" for name, reason in gap.without.items()]
    return [*lines, f"  {paths[0]}"]


def as_dict(plan: Plan, gap: LeakGap | None) -> dict[str, Any] | None:
    """Plain data."""
    if gap is None:
        return None
    people = plan.windows.people
    return {
        "target": next(target.name for target in plan.targets if target.classes),
        "chance": gap.chance,
        "training_windows": gap.training,
        "folds": gap.folds,
        "splits": {
            name: {**asdict(split.interval), "subjects": {people[p]: v for p, v in split.people.items()}}
            for name, split in gap.splits.items()
        },
        "without": gap.without,
    }


def _summary(stream: StreamWindows, rows: Rows) -> NDArray[np.float32]:
    """(n, F): features as they are; of samples the log-variance of each channel; of pictures their colours on a
    coarse grid; zeros where the stream is absent."""
    parts = []
    for i in range(0, len(rows), _AT_ONCE):
        values = stream.gather(rows[i : i + _AT_ONCE])
        if values.ndim == 5:
            found = _grid(values.mean(axis=2, dtype=np.float32))
        elif stream.shape.rate:
            found = np.log(values.astype(np.float64).var(axis=2) + 1e-12)
        else:
            found = values.reshape(len(values), -1)
        parts.append(np.where(stream.present[rows[i : i + _AT_ONCE], None], found, 0).astype(np.float32))
    return np.concatenate(parts)


def _grid(pictures: NDArray[np.float32], cells: int = 4) -> NDArray[np.float32]:
    """(n, 3, H, W) → (n, 3 · cells²) mean colours."""
    rows = [part.mean(axis=2) for part in np.array_split(pictures, cells, axis=2)]  # each (n, 3, W)
    both = [part.mean(axis=2) for row in rows for part in np.array_split(row, cells, axis=2)]
    return np.stack(both, axis=2).reshape(len(pictures), -1)


def _short(score: float) -> str:
    """`.97`"""
    return f"{score:.2f}".removeprefix("0")
