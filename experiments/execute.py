"""One run: train on the fold's source, predict its target, leave the result in the run's folder."""

import json
import platform
import subprocess
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml
from numpy.typing import NDArray
from pytorch_lightning.loggers import Logger

from affect import __version__
from affect.evaluation.metrics import LEVELS, score
from datamodules.atomic import disk_space, replacing, write_text
from datamodules.module import FoldData
from datamodules.targets import Target
from experiments import classical, evidence, predict
from experiments.fit import Report, fit
from experiments.learn import fold_data, keep_learner, learner_and_data
from experiments.plan import Plan, Run
from experiments.pretrain import pretrain
from experiments.tracking import log_results, tracked

_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # of the short runs, writing this took a quarter


def execute(plan: Plan, run: Run, report: Report = lambda label, epochs: None) -> None:
    """Train and test `run`, going on from its last checkpoint if it was interrupted.

    The folder then holds `config.yaml`, `curves.csv`, `weights.safetensors`, `predictions.parquet`, the same of
    held-out source windows in `validation.parquet`, `metrics.json`, `cost.json` and, last, `done`; of a pretraining run
    no predictions, and each encoder with its card.
    """
    began = time.perf_counter()
    run.folder.mkdir(parents=True, exist_ok=True)
    with disk_space(run.folder):
        whole = run.experiment.model_dump(mode="json")
        config = {"run": run.spec, "experiment": whole, "provenance": _provenance()}
        write_text(run.folder / "config.yaml", yaml.dump(config, Dumper=_DUMPER, sort_keys=False, allow_unicode=True))
        with tracked(plan, run) as logger:
            result = _made(plan, run, logger, report)
            if logger:
                log_results(logger.experiment, plan, run, result)
        for checkpoint in run.folder.glob("*.ckpt"):
            checkpoint.unlink()
        cost = {"seconds": round(time.perf_counter() - began, 2), "accelerator": run.experiment.compute.accelerator}
        write_text(run.folder / "cost.json", json.dumps(cost))  # of the last go, where there were several
        write_text(run.folder / "done", "")


def _made(plan: Plan, run: Run, logger: Logger | None, report: Report) -> dict[str, Any]:
    """Do what the run's method says, and leave its results."""
    if plan.experiment.methods[run.method].classical:
        data = fold_data(plan, run)
        report(run.label, run.experiment.trainer.max_epochs)
        tables, scores = classical.predictions(plan, run, data, _asked(data))
        return _scored(plan, run, data, tables, {"selection": scores})
    if plan.experiment.pretraining:
        return pretrain(plan, run, logger, report)
    learner, data = learner_and_data(plan, run)
    before = evidence.distance(learner.network, data)
    fit(plan, run, learner, data, learner_and_data, logger, report)
    learner.finish(data)
    told = {
        "selection": evidence.of_network(plan, learner.network, data),
        "alignment": evidence.of_alignment(learner, data, before),
    }
    tables = {name: predict.predictions(plan, run, learner, data, rows) for name, rows in _asked(data).items()}
    result = _scored(plan, run, data, tables, told)
    if plan.experiment.missing_streams and len(learner.network.encoders) > 1:
        _keep(predict.with_streams_missing(plan, run, learner, data), run.folder / "missing_streams.parquet")
    keep_learner(learner, run.folder)
    return result


def _asked(data: FoldData) -> dict[str, NDArray[np.int64]]:
    """What is predicted: the target's test windows, and the source's that are held out if there are any."""
    asked = {"predictions": data.target_test, "validation": data.source_val}
    return {name: rows for name, rows in asked.items() if len(rows)}


def _scored(
    plan: Plan, run: Run, data: FoldData, tables: Mapping[str, pd.DataFrame], told: dict[str, Any]
) -> dict[str, Any]:
    """Keep what was predicted, scores on the target's test windows, and what was `told` before any label was seen."""
    for name, made in tables.items():
        _keep(made, run.folder / f"{name}.parquet")
    predictions = tables["predictions"]
    result = {
        "setting": run.setting,
        **told,
        "source": {target.name: _source(target, data, i) for i, target in enumerate(plan.targets)},
        "targets": {
            target.name: {level: score(predictions, target.name, target.classes, level) for level in LEVELS}
            for target in plan.targets
        },
    }
    write_text(run.folder / "metrics.json", json.dumps(result, indent=1))
    return result


def _keep(predictions: pd.DataFrame, path: Path) -> None:
    with replacing(path) as temporary:
        predictions.to_parquet(temporary)


def _source(target: Target, data: FoldData, number: int) -> dict[str, float]:
    """What trivial predictors know: shares of the classes in source-train, or the mean and deviation of the values."""
    if not target.classes:
        return {"mean": data.centre[number], "sd": data.spread[number]}
    shares = data.priors[number] / data.priors[number].sum()
    return dict(zip(target.classes, shares.tolist(), strict=True))


@cache
def _provenance() -> dict[str, str]:
    """Which code made a run: version, commit, Python and torch."""
    here = Path(__file__).parent
    try:
        git = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=here, capture_output=True, text=True)
        commit = git.stdout.strip()
    except OSError:  # no git here
        commit = ""
    return {
        "affect": __version__,
        "commit": commit or "unknown",
        "python": platform.python_version(),
        "torch": str(torch.__version__),
    }
