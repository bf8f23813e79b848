"""All runs of a plan → summary.json and the table that is printed; made from the run folders alone."""

import json
from typing import Any

import numpy as np
import pandas as pd
import yaml

from affect.evaluation.metrics import METRICS, Level, score
from affect.evaluation.statistics import as_dict, interval, paired
from affect.evaluation.trivial import TRIVIAL, trivial
from affect.reporting.table import table
from datamodules.atomic import write_text
from experiments.plan import Plan, Run

Values = dict[str, dict[str, list[float]]]
"""metric → person → one value for each seed."""
LEVELS: tuple[Level, ...] = ("window", "trial")


def summarise(plan: Plan) -> dict[str, Any]:
    """The summary of a finished plan, also written to its folder with the config and the printed table.

    A person who is tested in several folds (within-subject, new stimuli) is scored once, on all of them together.

    Holds no time, path or machine: the same experiment has the same summary wherever and however often it was
    interrupted.
    """
    experiment, corpus = plan.experiment, plan.experiment.data.corpus
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in plan.runs:
        groups.setdefault((run.method, run.normalisation), []).append(run)
    classes = list(plan.classes)
    rows: dict[str, Any] = {}
    reference: dict[str, dict[str, Values]] = {level: {} for level in LEVELS}
    for (method, normalisation), runs in groups.items():
        by_seed = [pd.concat(_predictions(run) for run in runs if run.seed == seed) for seed in experiment.seeds]
        collected = {level: _collect([score(p, classes, level)["subjects"] for p in by_seed]) for level in LEVELS}
        row: dict[str, Any] = {
            "method": method,
            "normalisation": normalisation,
            "setting": runs[0].setting,
            "selection": experiment.selection,
        }
        for level in LEVELS:
            if method == "source-only":
                reference[level][normalisation] = collected[level]
            against = None if method == "source-only" else reference[level][normalisation]
            row[level] = _statistics(collected[level], against)
        rows[f"{method}/{normalisation}"] = row
    first = [run for run in groups[("source-only", experiment.normalisation[0])] if run.seed == experiment.seeds[0]]
    labels = pd.DataFrame({"subject": plan.windows.trials["subject"], "label": plan.labels})
    summary = {
        "experiment": experiment.name,
        "corpus": {"class_path": corpus.class_path, "init_args": {**corpus.init_args, "root": None}},
        "data_fingerprint": plan.runs[0].spec["data"],
        "target": {**experiment.data.target.model_dump(), "classes": list(plan.classes)},
        "protocol": experiment.protocol.model_dump(),
        "selection": experiment.selection,
        "subjects": len(plan.windows.people),
        "folds": len(plan.folds),
        "seeds": experiment.seeds,
        "windows": int((plan.labels[plan.windows.table.trial] >= 0).sum()),
        "trials": int((plan.labels >= 0).sum()),
        "class_weights": experiment.trainer.class_weights,
        "trials_left_out": plan.dropped,
        "class_priors": _priors(labels, plan.classes),
        "chance": {"balanced_accuracy": 1 / len(plan.classes), "auroc": 0.5},
        "trivial": {
            kind: {level: _statistics(_trivial(first, classes, kind, level), None) for level in LEVELS}
            for kind in TRIVIAL
        },
        "methods": rows,
    }
    config = yaml.safe_dump(experiment.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    write_text(plan.folder / "config.yaml", config)
    write_text(plan.folder / "runs.json", json.dumps({run.label: run.folder.name for run in plan.runs}, indent=1))
    write_text(plan.folder / "table.txt", table(summary) + "\n")
    write_text(plan.folder / "summary.json", json.dumps(summary, indent=1, ensure_ascii=False))
    return summary


def _collect(results: list[dict[str, dict[str, float | None]]]) -> Values:
    values: Values = {metric: {} for metric in METRICS}
    for subjects in results:
        for person, metrics in subjects.items():
            for metric in METRICS:
                value = metrics[metric]
                if value is not None:
                    values[metric].setdefault(person, []).append(value)
    return values


def _statistics(values: Values, reference: Values | None) -> dict[str, Any]:
    """Per metric: mean over people (seeds averaged first), interval, per person, against source-only."""
    result: dict[str, Any] = {}
    for metric in METRICS:
        people = {person: float(np.mean(v)) for person, v in values[metric].items()}
        if not people:
            result[metric] = None
            continue
        result[metric] = {**as_dict(interval(np.array(list(people.values())))), "subjects": people}
        if reference is not None:
            both = [p for p in people if p in reference[metric]]
            other = np.array([float(np.mean(reference[metric][p])) for p in both])
            result[metric]["vs_source_only"] = as_dict(paired(np.array([people[p] for p in both]), other))
    return result


def _predictions(run: Run) -> pd.DataFrame:
    return pd.read_parquet(run.folder / "predictions.parquet")


def _trivial(runs: list[Run], classes: list[str], kind: str, level: Level) -> Values:
    """Of one run for each fold: what a predictor that looks at no signal gets on the same windows."""
    guessed = []
    for run in runs:
        priors = np.array(json.loads((run.folder / "metrics.json").read_text())["source_priors"])
        guessed.append(trivial(kind, _predictions(run), classes, priors, level))
    return _collect([score(pd.concat(guessed), classes, level)["subjects"]])


def _priors(labels: pd.DataFrame, classes: tuple[str, ...]) -> dict[str, Any]:
    """Share of each class among the labelled trials, overall and for each person."""
    known = labels[labels["label"] >= 0]

    def shares(part: pd.DataFrame) -> dict[str, float]:
        counts = np.bincount(part["label"], minlength=len(classes))
        return {name: round(float(counts[i] / counts.sum()), 4) for i, name in enumerate(classes)}

    people = {str(person): shares(part) for person, part in known.groupby("subject", sort=False)}
    return {"all": shares(known), "subjects": people}
