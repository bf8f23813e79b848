"""Which figures an experiment has follows from what its folder holds."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from affect.evaluation.metrics import LOWER_IS_BETTER, columns_of, metrics_of, pool
from affect.reporting.figures import (
    confusion,
    critical_difference,
    leak_gap,
    missing_streams,
    paired,
    reliability,
    risk_coverage,
    split,
    training,
    valence_arousal,
)
from affect.reporting.page import Shown
from affect.reporting.words import counted
from experiments.report.folder import ExperimentFolder

_PANELS, _LINES = 12, 7  # methods that one figure has room for
REFERENCE = "source-only"


def whole(folder: ExperimentFolder) -> Iterator[Shown]:
    """All that can be drawn from the folder alone."""
    yield from who_is_where(folder)
    for target, block in folder.summary["targets"].items():
        for kind in (people, ranks, classes, confidence):
            yield from kind(folder, target, block)
    yield from plane(folder)
    yield from missing(folder)
    yield from curves(folder)
    yield from leak(folder)


def brief(folder: ExperimentFolder) -> Iterator[Shown]:
    """The two that say most and take a second."""
    yield from who_is_where(folder)
    for target, block in folder.summary["targets"].items():
        yield from people(folder, target, block)


def who_is_where(folder: ExperimentFolder) -> Iterator[Shown]:
    if data := folder.data:
        protocol = folder.summary["protocol"]["class_path"].rpartition(".")[2]
        drawn = split.draw({"title": f"{folder.name}: {protocol}", "people": data["people"], "folds": data["folds"]})
        caption = "What each fold may do with whom; stripes: a person whose trials serve in several ways."
        yield Shown("split", caption, drawn)


def people(folder: ExperimentFolder, target: str, block: dict[str, Any]) -> Iterator[Shown]:
    """Paired dots."""
    metric = metrics_of(block["classes"])[0]
    scores = scores_of(block, metric)
    panels = {
        row: (scores[f"{REFERENCE}/{norm}"], own)
        for row, own in scores.items()
        for method, _, norm in [row.partition("/")]
        if method != REFERENCE and f"{REFERENCE}/{norm}" in scores
    }
    if not panels:
        return
    unit = "fold" if folder.summary["unit"] == "fold" else "person"
    drawn = paired.draw(
        {
            "title": f"{folder.name}: {target}, every {unit} under source-only and under the method",
            "metric": metric.replace("_", " "),
            "chance": block["chance"].get(metric),
            "lower_is_better": metric in LOWER_IS_BETTER,
            "panels": dict(list(panels.items())[:_PANELS]),
        }
    )
    caption = (
        f"A line for each {unit}, seeds averaged: blue helped, dashed vermilion hurt; black: the mean. Dashed grey: "
    )
    yield Shown(f"{target}-people", f"{caption}chance.{_left_out(panels, _PANELS)}", drawn)


def ranks(folder: ExperimentFolder, target: str, block: dict[str, Any]) -> Iterator[Shown]:
    """Critical differences."""
    metric = metrics_of(block["classes"])[0]
    told = critical_difference.ranks(scores_of(block, metric), metric in LOWER_IS_BETTER)
    if told:
        title = f"{folder.name}: {target}, mean ranks by {metric.replace('_', ' ')}"
        caption = "Methods by their mean rank over people (Friedman, then Nemenyi; Demšar 2006, JMLR 7:1–30)."
        yield Shown(f"{target}-ranks", caption, critical_difference.draw(title, told))


def classes(folder: ExperimentFolder, target: str, block: dict[str, Any]) -> Iterator[Shown]:
    """Confusion matrices."""
    names = block["classes"]
    if not names:
        return
    rows = list(folder.chosen)
    each = {row: confusion.confusion(folder.predictions(row), target, names) for row in rows[:_PANELS]}
    first = folder.predictions(rows[0])
    own = first[(first["seed"] == folder.summary["seeds"][0]) & first[f"label_{target}"].notna()]
    number = own[f"label_{target}"].astype(int)
    drawn = confusion.draw(
        {
            "title": f"{folder.name}: {target}, what is taken for what",
            "classes": names,
            "panels": {row: _mean(shares) for row, shares in each.items()},
            "counts": np.bincount(number, minlength=len(names)).tolist(),
            "people": [int(own["subject"][number == i].nunique()) for i in range(len(names))],
        }
    )
    caption = "Windows; seeds together. The diagonal is the recall of each class." + _left_out(rows, _PANELS)
    yield Shown(f"{target}-confusion", caption, drawn)


def confidence(folder: ExperimentFolder, target: str, block: dict[str, Any]) -> Iterator[Shown]:
    """Reliability, and risk against coverage: a pair for each normalisation."""
    names = block["classes"]
    if not names:
        return
    for norm, rows in _by_normalisation(folder).items():
        told = {row: reliability.confidence(folder.predictions(row), target, names) for row in rows[:_LINES]}
        title = f"{folder.name}: {target}, normalised by {norm}"
        more = _left_out(rows, _LINES)
        caption = (
            "Below the diagonal a model is too sure of itself. Gap: expected calibration error, ten bins of equal "
        )
        drawn = reliability.draw(f"{title}: is it right as often as it says?", len(names), told)
        yield Shown(f"{target}-{norm}-reliability", f"{caption}width, no temperature fitted.{more}", drawn)
        drawn = risk_coverage.draw(f"{title}: error against coverage", told)
        caption = "A confidence that knows something falls to the left. Area: mean error over all coverages."
        yield Shown(f"{target}-{norm}-risk", caption + more, drawn)


def plane(folder: ExperimentFolder) -> Iterator[Shown]:
    """Valence and arousal together, where both are predicted."""
    found = {
        str(block.get("init_args", {}).get("rating", name)).lower(): (name, block)
        for name, block in folder.summary["targets"].items()
        if len(block["classes"]) in (0, 2)
    }
    if not {"valence", "arousal"} <= set(found):
        return
    pair = {axis: found[axis] for axis in ("valence", "arousal")}
    kinds = {bool(block["classes"]) for _, block in pair.values()}
    if len(kinds) > 1:
        return
    is_class = kinds.pop()
    bounds = pair["valence"][1]["bounds"]
    tables = {row: _in_plane(folder.predictions(row), pair) for row in list(folder.chosen)[:5]}
    ratings = next(iter(tables.values()))[[f"rated {axis}" for axis in pair]]
    ratings.columns = pd.Index(list(pair))
    middle = 0.5 if is_class or not bounds else (bounds[0] + bounds[1]) / 2
    drawn = valence_arousal.draw(
        {
            "title": f"{folder.name}: the valence–arousal plane, trial by trial",
            "ratings": ratings,
            "predicted": {row: table.reindex(ratings.index) for row, table in tables.items()},
            "centre": (middle, middle),
            "limits": (-0.08, 1.08) if is_class else tuple(bounds) if bounds else None,
            "unit": "P(high)" if is_class else "native scale",
        }
    )
    yield Shown("plane", "Colour and sign: the quadrant as rated. Predictions are means over windows and seeds.", drawn)


def missing(folder: ExperimentFolder) -> Iterator[Shown]:
    for name, curve in missing_streams.of_summary(folder.summary).items():
        caption = "Left: the same models with only these streams. Right: streams lost at random, one always left."
        yield Shown(f"missing-{name}", caption, missing_streams.draw(curve))


def curves(folder: ExperimentFolder) -> Iterator[Shown]:
    """Training, for each normalisation."""
    for norm, rows in _by_normalisation(folder).items():
        found = {row: folder.curves(row) for row in rows}
        several = {row.partition("/")[0]: training.mean_curves(each) for row, each in found.items() if each}
        if several:
            each = max(found.values(), key=len)
            drawn = training.draw(
                {
                    "title": f"{folder.name}: training, normalised by {norm}, mean over {counted(len(each), 'run')}",
                    "curves": dict(list(several.items())[:_LINES]),
                    "targets": list(folder.summary["targets"]),
                }
            )
            caption = "A domain accuracy at chance from the first epoch on is an adversary that learns nothing."
            yield Shown(f"training-{norm}", caption + _left_out(several, _LINES), drawn)


def leak(folder: ExperimentFolder) -> Iterator[Shown]:
    if folder.audit and folder.audit.get("leak_gap"):
        drawn = leak_gap.draw(leak_gap.of_audit(folder.name, folder.audit["leak_gap"]))
        caption = "What a linear model gets when windows, trials or people are split at random."
        yield Shown("leak_gap", caption, drawn)


def scores_of(block: dict[str, Any], metric: str) -> dict[str, dict[str, float]]:
    """`method/normalisation` → person → score."""
    rows = block["methods"].items()
    return {row: about["window"][metric]["subjects"] for row, about in rows if about["window"].get(metric)}


def _by_normalisation(folder: ExperimentFolder) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in folder.chosen:
        found.setdefault(row.partition("/")[2], []).append(row)
    return found


def _in_plane(predictions: pd.DataFrame, pair: dict[str, tuple[str, dict[str, Any]]]) -> pd.DataFrame:
    """A row for each trial: rated and predicted valence and arousal; of two classes the probability of the high one."""
    columns = {}
    for axis, (target, block) in pair.items():
        known, value = predictions[predictions[f"label_{target}"].notna()], columns_of(target, block["classes"])[-1]
        pooled = pool(known, target, block["classes"]).groupby("trial")[[f"label_{target}", value]].mean()
        columns[f"rated {axis}"], columns[axis] = pooled[f"label_{target}"], pooled[value]
    return pd.DataFrame(columns).dropna()


def _mean(shares: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Over people who have the class."""
    there = np.isfinite(shares)
    count = there.sum(axis=0)
    total = np.where(there, shares, 0).sum(axis=0)
    mean: np.ndarray[Any, np.dtype[np.float64]] = np.divide(
        total, count, out=np.full(total.shape, np.nan), where=count > 0
    )
    return mean


def _left_out(all_of_them: Any, most: int) -> str:
    more = len(all_of_them) - most
    return f" {more} more are not drawn." if more > 0 else ""
