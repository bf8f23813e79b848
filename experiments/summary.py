"""All runs of a plan → summary.json and the table that is printed; made from the run folders alone."""

import json
from typing import Any

import numpy as np
import pandas as pd
import yaml

from affect.evaluation.metrics import LEVELS, Level, chance, columns_of, metrics_of, score
from affect.evaluation.people import Values, collect, statistics
from affect.evaluation.statistics import holm
from affect.evaluation.trivial import trivial, trivial_of
from affect.reporting.table import table
from datamodules.atomic import write_text
from datamodules.fingerprint import digest
from datamodules.targets import Target
from experiments.data import build_corpora
from experiments.data_facts import data_facts
from experiments.plan import Plan, Run
from experiments.priors import priors
from experiments.selection import budget, regret
from experiments.streams import by_unit, grouped, missing_streams, shares, stream_heads
from experiments.uncertainty import uncertainty


def summarise(plan: Plan) -> dict[str, Any]:
    """The summary of a finished plan, also written to its folder with the config, what is told of the data, and the
    printed table.

    A person who is tested in several folds (within-subject, new stimuli) is scored once, on all of them together;
    where the protocol's unit is the fold, a fold stands in the place of a person.

    Holds no time, path or machine: the same experiment has the same summary wherever and however often it was
    interrupted.
    """
    experiment = plan.experiment
    labelled = ~np.isnan(plan.labels).all(axis=1)
    summary = {
        "experiment": experiment.name,
        "corpus": [
            {"class_path": corpus.class_path, "init_args": {**corpus.init_args, "root": None}}
            for corpus in experiment.data.corpus
        ],
        "scale": experiment.data.scale,
        "code": digest(plan.runs[0].spec["code"]),
        "data_fingerprint": plan.runs[0].spec["data"],
        "contents": dict(plan.contents),
        "protocol": experiment.protocol.model_dump(),
        "selection": experiment.selection,
        "unit": plan.folds[0].unit,
        "subjects": len(plan.windows.people),
        "folds": len(plan.folds),
        "seeds": experiment.seeds,
        "windows": int(labelled.sum()),
        "trials": len(np.unique(plan.windows.table.trial[labelled])),
        "class_weights": experiment.trainer.class_weights,
        "trials_left_out": plan.dropped,
        "targets": {target.name: _block(plan, i, target) for i, target in enumerate(plan.targets)},
        "search": budget(plan),
        "alignment": alignments(plan),
        "shares": shares(plan),
        "weights": _weights(plan),
    }
    config = yaml.safe_dump(experiment.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    write_text(plan.folder / "config.yaml", config)
    write_text(plan.folder / "runs.json", json.dumps({run.label: run.folder.name for run in plan.runs}, indent=1))
    write_text(plan.folder / "data.json", json.dumps(data_facts(plan), indent=1, ensure_ascii=False))
    write_text(plan.folder / "table.txt", table(summary) + "\n")
    write_text(plan.folder / "summary.json", json.dumps(summary, indent=1, ensure_ascii=False))
    return summary


def _block(plan: Plan, number: int, target: Target) -> dict[str, Any]:
    """All that is said of one target: what it is, how its labels lie, and what every method makes of it."""
    experiment, label = plan.experiment, plan.labels[:, number]
    known = ~np.isnan(label)
    facts = build_corpora(experiment)[0].facts(experiment.data.scale)
    groups = grouped(plan)
    first = [run for run in groups[("source-only", experiment.normalisation[0])] if run.seed == experiment.seeds[0]]
    return {
        **experiment.data.target[number].model_dump(),
        "kind": "classes" if target.classes else "regression",
        "classes": list(target.classes),
        "bounds": target.bounds(facts),
        "windows": int(known.sum()),
        "trials": len(np.unique(plan.windows.table.trial[known])),
        "closed_set_leaves_out": int((~target.keeps(plan.windows.trials)).sum()),
        "priors": priors(target, label, plan.windows),
        "chance": chance(target.classes),
        "methods": _methods(plan, target, groups),
        "selection": regret(plan, target),
        "stream_heads": stream_heads(plan, target),
        "missing_streams": missing_streams(plan, target),
        "uncertainty": uncertainty(plan, target),
        "trivial": {
            kind: {level: statistics(values, None) for level, values in levels.items()}
            for kind, levels in _trivial(first, target).items()
        },
    }


def alignments(plan: Plan) -> dict[str, Any]:
    """`method/normalisation` → proxy A-distance before and after training, and how its adversaries fared."""
    found: dict[str, Any] = {}
    for (method, normalisation), runs in grouped(plan).items():
        told = [json.loads((run.folder / "metrics.json").read_text()).get("alignment") for run in runs]
        known = [one for one in told if one]
        if not known:
            continue
        row: dict[str, Any] = {}
        for when in ("before", "after"):
            distances = [one["a_distance"][when] for one in known if one["a_distance"][when] is not None]
            row[f"a_distance_{when}"] = float(np.mean(distances)) if distances else None
        states = [one["adversary"]["state"] for one in known if "adversary" in one]
        if states:
            row["adversary"] = {state: states.count(state) for state in ("alive", "dead", "wins")}
        found[f"{method}/{normalisation}"] = row
    return found


def _weights(plan: Plan) -> dict[str, Any]:
    """Method → stream → where its encoder's weights came from, and how many people they had met."""
    found: dict[str, Any] = {}
    for run in plan.runs:
        for stream, weights in run.weights.items():
            people = len(weights.card.people) if weights.card else None
            found.setdefault(run.method, {}).setdefault(
                stream, {"people_met": people, "published": weights.card is None}
            )
    return found


def _methods(plan: Plan, target: Target, groups: dict[tuple[str, str], list[Run]]) -> dict[str, Any]:
    """A row for each method under each normalisation, against source-only under the same."""
    rows: dict[str, Any] = {}
    reference: dict[tuple[str, Level], Values] = {}
    for (method, normalisation), runs in groups.items():
        row: dict[str, Any] = {
            "method": method,
            "normalisation": normalisation,
            "setting": runs[0].setting,
            "selection": plan.experiment.selection,
        }
        by_seed = [
            pd.concat(_predictions(run, target) for run in runs if run.seed == seed) for seed in plan.experiment.seeds
        ]
        for level in LEVELS:
            values = collect([score(p, target.name, target.classes, level)["subjects"] for p in by_seed])
            if method == "source-only":
                reference[normalisation, level] = values
            # What was chosen by the target's labels is nothing to test.
            alone = method == "source-only" or plan.experiment.selection == "oracle"
            against = None if alone else reference[normalisation, level]
            row[level] = statistics(values, against)
        rows[f"{method}/{normalisation}"] = row
    _correct(rows, target)
    return rows


def _correct(rows: dict[str, Any], target: Target) -> None:
    """Write Holm's p beside each p: the family is every comparison with source-only in the table, of one metric."""
    for level in LEVELS:
        for metric in metrics_of(target.classes):
            found = [row[level][metric] for row in rows.values()]
            tests = [one["vs_source_only"] for one in found if one and one.get("vs_source_only")]
            for test, p in zip(tests, holm([test["p"] for test in tests]), strict=True):
                test["p_holm"] = p


def _predictions(run: Run, target: Target) -> pd.DataFrame:
    """What the run predicted of the target, where its label is known."""
    columns = ["window", "trial", "subject", f"label_{target.name}", *columns_of(target.name, target.classes)]
    predictions = pd.read_parquet(run.folder / "predictions.parquet", columns=columns)
    return by_unit(run, predictions[predictions[f"label_{target.name}"].notna()])


def _trivial(runs: list[Run], target: Target) -> dict[str, dict[Level, Values]]:
    """Of one run for each fold: what predictors that look at no signal get on the same windows."""
    kinds = trivial_of(target.classes)
    guessed: dict[tuple[str, Level], list[pd.DataFrame]] = {(kind, level): [] for kind in kinds for level in LEVELS}
    for run in runs:
        source = json.loads((run.folder / "metrics.json").read_text())["source"][target.name]
        predictions = _predictions(run, target)
        for (kind, level), frames in guessed.items():
            frames.append(trivial(kind, predictions, target.name, target.classes, source, level))

    def scored(kind: str, level: Level) -> Values:
        return collect([score(pd.concat(guessed[kind, level]), target.name, target.classes, level)["subjects"]])

    return {kind: {level: scored(kind, level) for level in LEVELS} for kind in kinds}
