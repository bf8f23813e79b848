"""What a summary says of how sure methods are, and whether rightly; made from the run folders alone.

A temperature and the threshold of conformal sets are fitted for every run on the windows of its held-out source, which
the run left in `validation.parquet`; labels of tested people serve to score only. Where the protocol holds nothing out,
nothing is fitted.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affect.evaluation.conformal import NOMINAL, of_sets, prediction_sets, shortfall
from affect.evaluation.metrics import LEVELS, Level, columns_of, pool
from affect.evaluation.people import collect, statistics
from affect.evaluation.reliability import BINS, brier, expected_calibration_error, reliability_curve
from affect.evaluation.selective import COVERAGES, at_coverages, aurc, risk_coverage
from affect.evaluation.temperature import fit_temperature, scaled
from datamodules.targets import Target
from experiments.plan import Plan, Run
from experiments.streams import by_unit, grouped

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Judged:
    """What a run says of n windows or trials of tested people.

    Args:
        subject: (n,) who is scored.
        label: (n,) 0 … K − 1.
        probability: (n, K) as predicted.
        scaled: (n, K) at the run's temperature, and
        sets: (n, K) bool, which classes are in the conformal set; both None where nothing is fitted.
    """

    subject: NDArray[np.str_]
    label: NDArray[np.int64]
    probability: Array
    scaled: Array | None
    sets: NDArray[np.bool_] | None


def uncertainty(plan: Plan, target: Target) -> dict[str, Any]:
    """The block of one target of classes; empty for a regression.

    Returns:
        {"bins", "nominal", "methods": {`method/normalisation`: {
            "not_fitted": why there is neither temperature nor sets, or None,
            "temperature": {"median", "low", "high"} over runs,
            "window", "trial": each metric over people, as any other: `ece`, `brier`, `aurc`; where fitted also
                `ece_scaled`, `brier_scaled`, and `coverage` and `set_size` of sets,
            "below": people whose coverage on windows is below the promise, "shortfall": how it compares, in words,
            "reliability": {"before", "after": bins of all windows}, "risk_coverage": {"coverage", "risk": over people},
        }}}
    """
    if not target.classes:
        return {}
    rows = {f"{method}/{name}": _row(plan, target, runs) for (method, name), runs in grouped(plan).items()}
    return {"bins": BINS, "nominal": NOMINAL, "methods": rows}


def _row(plan: Plan, target: Target, runs: list[Run]) -> dict[str, Any]:
    tested = [by_unit(run, _labelled(run, "predictions", target)) for run in runs]
    held_out = [_labelled(run, "validation", target) for run in runs]
    without = sum(not len(table) for table in held_out)
    temperatures = [] if without else [fit_temperature(*_read(table, target)) for table in held_out]
    found: dict[str, Any] = {
        "not_fitted": _reason(without, len(runs)),
        "temperature": _spread(temperatures) if temperatures else None,
    }
    for level in LEVELS:
        judged = [
            _judge(table, target, level, *((held_out[i], temperatures[i]) if temperatures else ()))
            for i, table in enumerate(tested)
        ]
        by_seed = [
            [one for one, run in zip(judged, runs, strict=True) if run.seed == seed] for seed in plan.experiment.seeds
        ]
        values = collect([_by_person(ones) for ones in by_seed])
        found[level] = statistics(values, None)
        if level == "window":
            coverage = [float(np.mean(seeds)) for seeds in values.get("coverage", {}).values()]
            found["below"] = sum(one < NOMINAL for one in coverage) if coverage else None
            found["shortfall"] = shortfall(coverage) if coverage else None
            found["reliability"] = _reliability(judged)
            found["risk_coverage"] = _risk_coverage(by_seed)
    return found


def _reason(without: int, runs: int) -> str | None:
    if without == 0:
        return None
    how = "no labelled source windows held out" + (f" in {without} of {runs} runs" if without < runs else "")
    return f"{how}: set protocol.validation"


def _spread(temperatures: list[float]) -> dict[str, float]:
    return {"median": float(np.median(temperatures)), "low": min(temperatures), "high": max(temperatures)}


def _judge(
    windows: pd.DataFrame, target: Target, level: Level, held_out: pd.DataFrame | None = None, temperature: float = 1.0
) -> Judged:
    """What is said of tested windows, or of their trials, with what the held-out ones teach where there are any."""
    own = columns_of(target.name, target.classes)

    def pooled(table: pd.DataFrame) -> pd.DataFrame:
        return pool(table, target.name, target.classes) if level == "trial" else table

    tested = pooled(windows)
    subject = tested["subject"].to_numpy(dtype=str)
    probability, label = _read(tested, target)
    if held_out is None:
        return Judged(subject, label, probability, None, None)
    columns = dict(zip(own, scaled(windows[own].to_numpy(), temperature).T, strict=True))
    after, _ = _read(pooled(windows.assign(**columns)), target)
    return Judged(subject, label, probability, after, prediction_sets(*_read(pooled(held_out), target), probability))


def _labelled(run: Run, name: str, target: Target) -> pd.DataFrame:
    """What the run predicted, where there is a label; nothing where it predicted nothing under this name."""
    label, path = f"label_{target.name}", run.folder / f"{name}.parquet"
    columns = ["trial", "subject", label, *columns_of(target.name, target.classes)]
    if not path.exists():
        return pd.DataFrame(columns=columns)
    table = pd.read_parquet(path, columns=columns)
    return table[table[label].notna()]


def _read(table: pd.DataFrame, target: Target) -> tuple[Array, NDArray[np.int64]]:
    """(n, K) probabilities, (n,) labels."""
    probability: Array = table[columns_of(target.name, target.classes)].to_numpy(dtype=np.float64)
    return probability, table[f"label_{target.name}"].to_numpy(dtype=np.int64)


def _people(judged: list[Judged], of: Callable[[Judged], Any]) -> dict[str, Any]:
    """Person → everything that `of` names of theirs in these runs."""
    subject = np.concatenate([one.subject for one in judged])
    values = np.concatenate([of(one) for one in judged])
    return {str(person): values[subject == person] for person in pd.unique(subject)}


def _by_person(judged: list[Judged]) -> dict[str, dict[str, float | None]]:
    """Person → each metric, of the runs of one seed."""
    label, before = _people(judged, lambda one: one.label), _people(judged, lambda one: one.probability)
    found: dict[str, dict[str, float | None]] = {
        person: {
            "ece": expected_calibration_error(p, label[person]),
            "brier": brier(p, label[person]),
            "aurc": aurc(p, label[person]),
        }
        for person, p in before.items()
    }
    if all(one.scaled is not None for one in judged):
        after, sets = _people(judged, lambda one: one.scaled), _people(judged, lambda one: one.sets)
        for person, p in after.items():
            found[person]["ece_scaled"] = expected_calibration_error(p, label[person])
            found[person]["brier_scaled"] = brier(p, label[person])
            found[person] |= of_sets(label[person], sets[person])
    return found


def _reliability(judged: list[Judged]) -> dict[str, Any]:
    """Curves over all windows of everybody."""
    label = np.concatenate([one.label for one in judged])
    after = [one.scaled for one in judged if one.scaled is not None]
    return {
        "before": reliability_curve(np.concatenate([one.probability for one in judged]), label),
        "after": reliability_curve(np.concatenate(after), label) if after else None,
    }


def _risk_coverage(by_seed: list[list[Judged]]) -> dict[str, list[float]]:
    """The curve of each person and seed, averaged; people weigh the same."""
    curves = []
    for judged in by_seed:
        label = _people(judged, lambda one: one.label)
        probability = _people(judged, lambda one: one.probability)
        curves += [at_coverages(risk_coverage(p, label[person])) for person, p in probability.items()]
    return {"coverage": list(COVERAGES), "risk": np.mean(curves, axis=0).tolist()}
