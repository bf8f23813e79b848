"""A study: units of work that are each done once, kept as small JSON files, and read together as rows of a table."""

import json
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, ClassVar

from tqdm import tqdm

from datamodules.atomic import write_text
from datamodules.fingerprint import code, digest, versions


@dataclass(frozen=True)
class Row:
    """One figure of one seed.

    Args:
        method: row or column of the table it belongs to.
        task: what the method was tried on; the table also gives the mean over tasks.
        metric: what `value` is.
    """

    method: str
    task: str
    metric: str
    seed: int
    value: float


class Study(ABC):
    """What is tried, in units that do not depend on each other."""

    name: ClassVar[str]
    sources: ClassVar[tuple[str, ...]]
    """Files and packages, from the project's root, that make a unit's result what it is."""

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """Arguments and data that make a unit's result what it is, beside its name."""

    @abstractmethod
    def units(self) -> list[str]:
        """Names of all units."""

    @abstractmethod
    def compute(self, unit: str) -> dict[str, Any]:
        """The result of one, as plain data."""

    @abstractmethod
    def rows(self, found: dict[str, dict[str, Any]]) -> list[Row]:
        """Figures of the finished units."""

    def notes(self, found: dict[str, dict[str, Any]]) -> list[str]:
        """What a reader of the figures must know, as far as it is measured."""
        return []

    def folder(self, output: Path) -> Path:
        """Where its results lie: another identity or changed code is another folder."""
        return output / self.name / digest([self.identity(), code(*self.sources)])


def finished(study: Study, output: Path) -> dict[str, dict[str, Any]]:
    """Results that are there and whole, unit by unit; what cannot be read counts as not done."""
    found = {}
    for unit in study.units():
        try:
            result = json.loads((study.folder(output) / f"{unit}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(result, dict):
            found[unit] = result
    return found


def run(study: Study, output: Path, workers: int = 1) -> dict[str, dict[str, Any]]:
    """Do what is not done, `workers` units at a time, each in a process of its own; then all results.

    How many threads a process has is for the caller's environment to say (OMP_NUM_THREADS).
    """
    folder = study.folder(output)
    pending = [unit for unit in study.units() if unit not in finished(study, output)]
    if pending:
        about = {**study.identity(), "versions": versions()}
        write_text(folder / "study.json", json.dumps(about, indent=1, ensure_ascii=False))
    with tqdm(total=len(pending), desc=study.name, unit=" units", disable=not sys.stderr.isatty(), leave=False) as bar:
        if workers == 1 or len(pending) < 2:
            for unit in pending:
                _keep(study.compute, unit, folder)
                bar.update()
        else:
            with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
                try:
                    for future in as_completed([pool.submit(_keep, study.compute, unit, folder) for unit in pending]):
                        future.result()
                        bar.update()
                except BaseException:
                    pool.shutdown(cancel_futures=True)
                    raise
    return finished(study, output)


def _keep(compute: Callable[[str], dict[str, Any]], unit: str, folder: Path) -> None:
    write_text(folder / f"{unit}.json", json.dumps(compute(unit), ensure_ascii=False))
