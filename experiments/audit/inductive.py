"""Whether an inductive row is one: it is trained twice, the second time with another target's signals."""

from collections.abc import Callable
from copy import copy
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.cache import Cache
from datamodules.windows import StreamWindows, WindowSet, WindowTable
from experiments import classical
from experiments.audit.again import brief, chosen, learned, two_folds, what_is_made
from experiments.audit.disjoint import target_of
from experiments.audit.verdict import Verdict, judge
from experiments.learn import fold_data
from experiments.plan import Plan, Run

Rows = NDArray[np.int64]


class OtherSignals(StreamWindows):
    """A stream in which some trials were recorded otherwise: in every window of theirs, and in their statistics.

    Args:
        cache, name, table: as of any stream.
        trials: those.
    """

    def __init__(self, cache: Cache, name: str, table: WindowTable, trials: Rows) -> None:
        super().__init__(cache, name, table)
        self._other = np.isin(np.arange(len(cache.trials)), trials)

    def _by_part(
        self, rows: Rows, maps: tuple[NDArray[Any], ...], take: Callable[[NDArray[Any], Rows], NDArray[Any]]
    ) -> NDArray[Any]:
        values = super()._by_part(rows, maps, take)
        changed = np.flatnonzero(self._other[self.table.trial[rows]] & self.present[rows])
        values[changed] = _other(values[changed])[:, ::-1]  # what was gathered is nobody else's
        return values

    def _of_trial(self, trial: int, a: int, b: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        values, before = super()._of_trial(trial, a, b)
        if not self._other[trial]:
            return values, before
        number = self._stream.data[0].dtype if self._stream.features is None else np.dtype(np.float32)
        values, before = (_other(part, number) for part in (values, before))
        # A window's numbers were turned as a whole: its channels, and its features.
        return values[:, ::-1, ::-1], before[::-1, ::-1] if before.ndim == 2 else before


def _other(values: NDArray[Any], number: np.dtype[Any] | None = None) -> NDArray[Any]:
    """Other values of the same size, with another mean and spread; the order they stand in is turned beside this.

    Args:
        number: their type on disk.
    """
    if np.issubdtype(number or values.dtype, np.integer):  # pictures
        return 255 - values
    changed: NDArray[Any] = 1 - 2 * values - abs(values)
    return changed


def other_signals(plan: Plan) -> Verdict:
    """Replace the target's signals: of an inductive row, nothing learned may differ.

    What `chosen` names is made twice. Weights must be the same to the last bit, and predictions of held-out source
    people; of a classical model, which leaves no weights, predictions of the windows it learned from.
    """
    found: list[str] = []
    count = 0
    with TemporaryDirectory() as folder:
        for fold in two_folds(plan):
            hidden = np.setdiff1d(target_of(fold), fold.target_calibration)
            runs = [run for run in chosen(plan, fold) if run.setting == "inductive" and len(hidden)]
            plans = [plan, replace(plan, windows=_windows(plan.windows, hidden))] if runs else []
            for run in runs:
                count += 1
                made = [_of_source(p, run, Path(folder) / f"{count}-{i}") for i, p in enumerate(plans)]
                if files := [name for name in made[0] if made[0][name] != made[1][name]]:
                    found.append(f"{run.label}: {', '.join(files)} differ with the signals of {fold.name}")
    if not count:
        return Verdict("inductive", "exempt", "no row of the first and last fold is inductive, or nobody is tested")
    said = f"{what_is_made(plan, count)}: inductive, the same weights whatever the target's signals are"
    remedy = "find what looks at the target: `sees` of the alignment must say it, or the normalisation must be another"
    return judge("inductive", said, found, remedy)


def _windows(windows: WindowSet, trials: Rows) -> WindowSet:
    """The same windows, those of `trials` with other signals."""
    other = copy(windows)
    other.streams = {name: OtherSignals(windows.cache, name, windows.table, trials) for name in windows.streams}
    other.embeddings = {}
    vars(other).pop("moments", None)
    return other


def _of_source(plan: Plan, run: Run, folder: Path) -> dict[str, bytes]:
    """Name → content of what a brief run leaves that should know nothing of the target."""
    if run.experiment.methods[run.method].classical is None:
        made = learned(plan, run, folder)
        return {name: content for name, content in made.items() if name not in ("predictions.parquet", "metrics.json")}
    run = replace(run, experiment=brief(run.experiment), folder=folder)
    data = fold_data(plan, run)
    tables, _ = classical.predictions(plan, run, data, {"source predictions": data.source_train})
    return {name: table.to_csv(index=False).encode() for name, table in tables.items()}
