"""What an experiment's folder holds, read when it is asked for: summary, runs, predictions, curves, audit."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from affect.errors import UserError
from experiments.config import Experiment
from experiments.selection import best

_LABEL = re.compile(r"(?P<fold>.+?) · (?P<method>[^ ]+) · (?P<normalisation>[^ ]+) · seed (?P<seed>\d+)(?: · .+)?")
_REMEDY = "finish the experiment with its own command"
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's: ten times as fast


@dataclass(frozen=True)
class RunFolder:
    """One run that is done."""

    label: str
    fold: str
    method: str
    normalisation: str
    seed: int
    path: Path

    @property
    def row(self) -> str:
        """As summary.json calls it."""
        return f"{self.method}/{self.normalisation}"

    def json(self, name: str) -> Any:
        """One of its files; None where there is none."""
        return _json(self.path / name) if (self.path / name).exists() else None


class ExperimentFolder:
    """A finished experiment, from its folder alone.

    Args:
        path: `<output>/<experiment>-<hash>`; its runs are in `<output>/runs`.

    Raises:
        UserError: it is no such folder, or a run is missing or half-written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not (path / "summary.json").is_file():
            raise UserError(path, "no summary.json", "the folder of a finished experiment", _REMEDY)
        self.summary: dict[str, Any] = _json(path / "summary.json")
        if "targets" not in self.summary:
            raise UserError(
                path, "a pretraining experiment", "one with predictions", "report one that uses its weights"
            )
        self.runs = [_run(label, path.parent / "runs" / name) for label, name in _json(path / "runs.json").items()]
        unfinished = [run for run in self.runs if not (run.path / "done").exists()]
        if unfinished:
            found = (
                f"{len(unfinished)} of {len(self.runs)} runs missing or half-written, the first {unfinished[0].path}"
            )
            raise UserError(path, found, "all its runs, done", _REMEDY)
        self._tables: dict[str, pd.DataFrame] = {}

    @property
    def name(self) -> str:
        return str(self.summary["experiment"])

    @cached_property
    def experiment(self) -> Experiment:
        """Its config."""
        return Experiment.model_validate(load_yaml(self.path / "config.yaml"))

    @cached_property
    def data(self) -> dict[str, Any] | None:
        """What is told of its data; None where the folder is older than that."""
        path = self.path / "data.json"
        return _json(path) if path.exists() else None

    @cached_property
    def audit(self) -> dict[str, Any] | None:
        """What `--audit` left."""
        path = self.path / "audit.json"
        return _json(path) if path.exists() else None

    @cached_property
    def chosen(self) -> dict[str, list[RunFolder]]:
        """`method/normalisation` → its runs; of a search those that selection chose."""
        cells: dict[tuple[str, str, int], list[RunFolder]] = {}
        for run in self.runs:
            cells.setdefault((run.row, run.fold, run.seed), []).append(run)
        first, block = next(iter(self.summary["targets"].items()))
        rows: dict[str, list[RunFolder]] = {}
        for (row, _, _), several in cells.items():
            taken = 0
            if len(several) > 1:
                told = [run.json("metrics.json") for run in several]
                taken = best(told, self.summary["selection"], first, block["classes"])
            rows.setdefault(row, []).append(several[taken])
        return rows

    def predictions(self, row: str) -> pd.DataFrame:
        """All that the runs of a row predicted, with a column `seed`; a fold stands in a person's place where the
        protocol says so."""
        if row not in self._tables:
            tables = []
            for run in self.chosen[row]:
                table = pd.read_parquet(run.path / "predictions.parquet").assign(seed=run.seed)
                tables.append(table.assign(subject=run.fold) if self.summary["unit"] == "fold" else table)
            whole = pd.concat(tables, ignore_index=True)
            self._tables[row] = whole[[name for name in whole if "@" not in str(name)]]
        return self._tables[row]

    def curves(self, row: str) -> list[pd.DataFrame]:
        """Of its runs that learned by the epoch."""
        paths = [run.path / "curves.csv" for run in self.chosen[row]]
        return [pd.read_csv(path) for path in paths if path.exists()]

    @cached_property
    def provenance(self) -> dict[str, list[str]]:
        """Which code made the runs: what → its different values."""
        found: dict[str, list[str]] = {}
        for runs in self.chosen.values():
            for name, value in load_yaml(runs[0].path / "config.yaml")["provenance"].items():
                if str(value) not in found.setdefault(name, []):
                    found[name].append(str(value))
        return found

    def costs(self) -> tuple[Sequence[float], int]:
        """Seconds of every run that knows, and how many do not."""
        told = [run.json("cost.json") for run in self.runs]
        known = [float(cost["seconds"]) for cost in told if cost]
        return known, len(told) - len(known)


def _run(label: str, path: Path) -> RunFolder:
    found = _LABEL.fullmatch(label)
    if not found:
        raise UserError(path, f"a run called {label!r}", "fold · method · normalisation · seed", _REMEDY)
    return RunFolder(label, found["fold"], found["method"], found["normalisation"], int(found["seed"]), path)


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(path, str(error), "a file the experiment left", _REMEDY) from None


def load_yaml(path: Path) -> Any:
    """A config that was written down."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except (OSError, yaml.YAMLError) as error:
        raise UserError(path, str(error).splitlines()[0], "a config the experiment left", _REMEDY) from None
