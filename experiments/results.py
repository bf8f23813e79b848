"""Results of experiments → figures of a table: from stored summaries alone, whatever made them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from affect.errors import UserError
from affect.evaluation.metrics import Level
from affect.evaluation.statistics import holm
from affect.reporting.comparison import Against, Figure, Regret


@dataclass(frozen=True)
class Result:
    """One finished experiment, as a table asks for it.

    Args:
        summary: what experiments/summary.py left.
        task: name in the table; default: of several targets the target, else the experiment.
        target: the only one that is asked for.
        level: what is scored.
        row: put before the names of methods, where experiments give rows.
        folder: of the experiment.
    """

    summary: dict[str, Any]
    task: str | None = None
    target: str | None = None
    level: Level = "window"
    row: str | None = None
    folder: Path | None = None

    @property
    def blocks(self) -> dict[str, dict[str, Any]]:
        """Task → what the summary says of its target."""
        targets: dict[str, dict[str, Any]] = self.summary["targets"]
        if self.target is not None and self.target not in targets:
            remedy = f"correct it for {self.summary['experiment']}"
            raise UserError("target", repr(self.target), f"one of {', '.join(targets)}", remedy)
        if self.target is not None or len(targets) == 1:
            name = self.target or next(iter(targets))
            return {self.task or str(self.summary["experiment"]): targets[name]}
        return {f"{self.task}, {name}" if self.task else name: block for name, block in targets.items()}

    def figures(self, metrics: Sequence[str]) -> list[Figure]:
        """Of every method, then of the trivial predictors."""
        over = "folds" if self.summary["unit"] == "fold" else "people"
        found = []
        for task, block in self.blocks.items():
            rows = [(self._named(name), row, False) for name, row in block["methods"].items()]
            rows += [(kind, row, True) for kind, row in block.get("trivial", {}).items()]
            for method, row, trivial in rows:
                for metric in metrics:
                    if metric not in row[self.level]:
                        allowed = ", ".join(row[self.level])
                        raise UserError("metrics", repr(metric), f"one of {allowed}", f"correct it for {task}")
                    if score := row[self.level][metric]:
                        setting = "no signal" if trivial else row["setting"]
                        found.append(_figure(method, task, metric, score, over, setting, trivial))
        return found

    def regrets(self) -> list[Regret]:
        """Of every validator, where something was searched."""
        return [
            Regret(self._named(name), task, metric, validator, values[metric], values["regret"])
            for task, block in self.blocks.items()
            for name, row in block.get("selection", {}).items()
            for validator, values in row.items()
            for metric in values
            if metric != "regret"
        ]

    def facts(self) -> dict[str, str]:
        """Task → how its figures were made, in one line."""
        found, lines = self.summary, {}
        protocol = found["protocol"]["class_path"].rpartition(".")[2]
        for task, block in self.blocks.items():
            chance = ", ".join(f"{metric.replace('_', ' ')} {value:.3g}" for metric, value in block["chance"].items())
            lines[task] = (
                f"{protocol}, {found['subjects']} people, {block['trials']} trials, scored by {self.level}; "
                f"seeds {', '.join(map(str, found['seeds']))}; selection: {found['selection']}; chance: {chance}"
            )
        return lines

    @property
    def invented(self) -> list[str]:
        """Corpora that are stand-ins."""
        names = [component["class_path"].rpartition(".")[2] for component in self.summary["corpus"]]
        return [name.removeprefix("StandIn") for name in names if name.startswith("StandIn")]

    def _named(self, method: str) -> str:
        return f"{self.row}: {method}" if self.row else method


def _figure(
    method: str, task: str, metric: str, score: dict[str, Any], over: str, setting: str, trivial: bool
) -> Figure:
    against = None
    if test := score.get("vs_source_only"):
        d = test["difference"]
        counts = test["effect"], test["helped"], test["hurt"]
        against = Against(d["mean"], d["low"], d["high"], test["p"], test["p_holm"], *counts)
    return Figure(
        method,
        task,
        metric,
        score["mean"],
        score["people"],
        over,
        sd=score["sd"],
        interval=(score["low"], score["high"]),
        setting=setting,
        against=against,
        trivial=trivial,
    )


def corrected(figures: Sequence[Figure]) -> list[Figure]:
    """With Holm's p over all comparisons of the same metric among these figures."""
    found = list(figures)
    for metric in {figure.metric for figure in figures}:
        own = [(i, figure.against) for i, figure in enumerate(found) if figure.metric == metric and figure.against]
        for (i, against), p in zip(own, holm([against.p for _, against in own]), strict=True):
            found[i] = replace(found[i], against=replace(against, p_holm=p))
    return found


def mixture(results: Sequence[Result]) -> list[str]:
    """What is not the same in all results though it should be: the code, and what each corpus holds."""
    found = []
    codes: dict[str, list[str]] = {}
    contents: dict[str, dict[str, list[str]]] = {}
    for result in results:
        name = str(result.summary["experiment"])
        codes.setdefault(str(result.summary.get("code")), []).append(name)
        for corpus, content in result.summary.get("contents", {}).items():
            contents.setdefault(corpus, {}).setdefault(content, []).append(name)
    for what, versions in {"code": codes, **{f"data of {corpus}": found for corpus, found in contents.items()}}.items():
        if len(versions) > 1:
            told = "; ".join(f"{version[:8]}: {', '.join(dict.fromkeys(names))}" for version, names in versions.items())
            found.append(f"different {what} ({told})")
    return found


def stored(folder: Path) -> dict[str, Any] | str:
    """The summary in an experiment's folder of results, or in words what is missing of it."""
    try:
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        runs = json.loads((folder / "runs.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return f"{folder} holds no finished experiment ({error})"
    places = [folder.parent / "runs" / name for name in runs.values()]
    half = [place for place in places if place.is_dir() and not (place / "done").exists()]
    if half or not isinstance(summary, dict):
        return (
            f"{len(half)} half-written runs, the first {half[0]}" if half else f"{folder / 'summary.json'}: no summary"
        )
    return summary
