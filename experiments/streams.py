"""What a summary says of single streams: their heads, their shares, and what is left when they are missing."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from pyarrow import parquet

from affect.evaluation.metrics import columns_of, metrics_of, score
from affect.evaluation.people import collect, statistics
from datamodules.targets import Target
from experiments.network import streams_of
from experiments.plan import Plan, Run
from experiments.selection import chosen

Groups = dict[tuple[str, str], list[Run]]


def grouped(plan: Plan) -> Groups:
    """(method, normalisation) → its runs; of a search, those that were chosen."""
    groups: Groups = {}
    for run in chosen(plan):
        groups.setdefault((run.method, run.normalisation), []).append(run)
    return groups


def by_unit(run: Run, predictions: pd.DataFrame) -> pd.DataFrame:
    """What a run predicted, under the name of who is scored: the person, or the fold where the protocol says so."""
    return predictions.assign(subject=run.fold.name) if run.fold.unit == "fold" else predictions


def stream_heads(plan: Plan, target: Target) -> dict[str, Any]:
    """`method/normalisation` → stream → what its own head gets alone, on windows that have it."""
    own, label = columns_of(target.name, target.classes), f"label_{target.name}"
    found: dict[str, Any] = {}
    for (method, normalisation), runs in grouped(plan).items():
        for stream in streams_of(plan.experiment, method):
            suffix = {f"{column}@{stream}": column for column in own}
            if not set(suffix) <= _columns(runs[0]):
                continue
            present = _presence(plan, stream)

            def read(run: Run, suffix: dict[str, str] = suffix, present: Any = present) -> pd.DataFrame:
                columns = ["window", "trial", "subject", label, *suffix]
                table = pd.read_parquet(run.folder / "predictions.parquet", columns=columns).rename(columns=suffix)
                kept: pd.DataFrame = table[present[table["window"].to_numpy()]]
                return kept

            found.setdefault(f"{method}/{normalisation}", {})[stream] = _scored(plan, runs, target, read)
    return found


def missing_streams(plan: Plan, target: Target) -> dict[str, Any]:
    """`method/normalisation` → {"subsets": {streams: …}, "rates": {rate: …}}, where that was tested; on windows."""
    found: dict[str, Any] = {}
    for (method, normalisation), runs in grouped(plan).items():
        files = {run.folder: run.folder / "missing_streams.parquet" for run in runs}
        if not all(path.exists() for path in files.values()):
            continue
        tables = {folder: pd.read_parquet(path) for folder, path in files.items()}
        cases = list(dict.fromkeys(tables[runs[0].folder]["case"]))
        result: dict[str, Any] = {"subsets": {}, "rates": {}}
        for case in cases:

            def read(run: Run, case: str = case, tables: dict[Any, pd.DataFrame] = tables) -> pd.DataFrame:
                table = tables[run.folder]
                return table[table["case"] == case]

            kind = "rates" if case.replace(".", "").isdigit() else "subsets"
            result[kind][case] = _scored(plan, runs, target, read)
        found[f"{method}/{normalisation}"] = result
    return found


def shares(plan: Plan) -> dict[str, Any]:
    """`method/normalisation` → how much of the prediction came from each stream: over people, and of each person."""
    found: dict[str, Any] = {}
    for (method, normalisation), runs in grouped(plan).items():
        columns = [f"share_{stream}" for stream in streams_of(plan.experiment, method)]
        if not set(columns) <= _columns(runs[0]):
            continue
        tables = [pd.read_parquet(run.folder / "predictions.parquet", columns=["subject", *columns]) for run in runs]
        people = pd.concat(tables).groupby("subject", sort=False)[columns].mean()
        people.columns = pd.Index([column.removeprefix("share_") for column in columns])
        found[f"{method}/{normalisation}"] = {
            "mean": _rounded(people.mean()),
            "subjects": {str(person): _rounded(row) for person, row in people.iterrows()},
        }
    return found


def _scored(
    plan: Plan, runs: Sequence[Run], target: Target, read: Callable[[Run], pd.DataFrame]
) -> dict[str, Any] | None:
    """The first metric of a target, on windows."""
    seeds = plan.experiment.seeds
    tables = [pd.concat([by_unit(run, read(run)) for run in runs if run.seed == seed]) for seed in seeds]
    values = collect([score(table, target.name, target.classes, "window")["subjects"] for table in tables])
    first = metrics_of(target.classes)[0]
    found: dict[str, Any] | None = statistics({first: values.get(first, {})}, None)[first]
    return found


def _columns(run: Run) -> set[str]:
    return set(parquet.read_schema(run.folder / "predictions.parquet").names)


def _presence(plan: Plan, stream: str) -> "np.ndarray[Any, np.dtype[np.bool_]]":
    return plan.windows.streams[stream].present


def _rounded(row: "pd.Series[float]") -> dict[str, float]:
    return {str(name): round(float(value), 4) for name, value in row.items()}
