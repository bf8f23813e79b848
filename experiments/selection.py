"""Which candidate of a search is scored: chosen for each fold and seed by what was written before any target label."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from affect.evaluation.metrics import metrics_of
from affect.evaluation.selection import VALIDATORS, choose

if TYPE_CHECKING:  # choosing among what was written down takes no torch
    from datamodules.targets import Target
    from experiments.plan import Plan, Run


def chosen(plan: Plan) -> list[Run]:
    """One run for each fold, seed, method and normalisation, in the plan's order; all where nothing is searched."""
    if plan.experiment.search is None:
        return plan.runs
    by = plan.experiment.selection
    return [_by(plan, several, by) for several in _candidates(plan)]


def regret(plan: Plan, target: Target) -> dict[str, Any]:
    """`method/normalisation` → validator → what it chose gets, and how much less than the oracle's choice.

    The oracle looks at the target's labels; it is here to show what a validator costs. Means over folds and seeds of
    the first metric on windows; None where a validator cannot choose.
    """
    if plan.experiment.search is None:
        return {}
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    first = metrics_of(target.classes)[0]

    def score(run: Run) -> float:
        value = _metrics(run)["targets"][target.name]["window"]["mean"][first]
        return -np.inf if value is None else float(value)

    for several in _candidates(plan):
        row = found.setdefault(f"{several[0].method}/{several[0].normalisation}", {})
        told = [_metrics(run)["selection"] for run in several]
        got = [score(run) for run in several]
        row.setdefault("oracle", []).append((max(got), 0.0))
        row.setdefault("mean of all", []).append((float(np.mean(got)), max(got) - float(np.mean(got))))
        for name in VALIDATORS:
            if any(scores[name] is not None for scores in told):
                taken = got[choose(told, name)]
                row.setdefault(name, []).append((taken, max(got) - taken))
    return {
        row: {
            name: {first: float(np.mean([a for a, _ in pairs])), "regret": float(np.mean([b for _, b in pairs]))}
            for name, pairs in by.items()
        }
        for row, by in found.items()
    }


def budget(plan: Plan) -> dict[str, Any] | None:
    """How many settings each method was tried with, and how often each was chosen."""
    search = plan.experiment.search
    if search is None:
        return None
    counts: dict[str, dict[str, int]] = {}
    for run in chosen(plan):
        drawn = json.dumps(run.drawn, sort_keys=True)
        row = counts.setdefault(f"{run.method}/{run.normalisation}", {})
        row[drawn] = row.get(drawn, 0) + 1
    return {"candidates": search.budget, "sampler": search.sampler, "chosen": counts}


def _candidates(plan: Plan) -> list[list[Run]]:
    groups: dict[tuple[str, int, str, str], list[Run]] = {}
    for run in plan.runs:
        groups.setdefault((run.fold.name, run.seed, run.method, run.normalisation), []).append(run)
    return list(groups.values())


def _by(plan: Plan, several: list[Run], by: str) -> Run:
    target = plan.targets[0]
    return several[best([_metrics(run) for run in several], by, target.name, target.classes)]


def best(told: list[dict[str, Any]], by: str, target: str, classes: Sequence[str]) -> int:
    """Which of several `metrics.json` a selection chooses; the oracle by the first target's first metric."""
    if by != "oracle":
        return choose([metrics["selection"] for metrics in told], by)
    first = metrics_of(classes)[0]
    got = [metrics["targets"][target]["window"]["mean"][first] for metrics in told]
    return int(np.argmax([-np.inf if value is None else value for value in got]))


def _metrics(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run.folder / "metrics.json").read_text())
    return found
