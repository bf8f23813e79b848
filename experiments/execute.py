"""One run: train on the fold's source, predict its target, leave the result in the run's folder."""

import json
import os
import platform
import subprocess
import time
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import yaml
from pytorch_lightning.loggers import WandbLogger

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


def execute(plan: Plan, run: Run, report: Report = lambda label, epochs: None) -> None:
    """Train and test `run`, going on from its last checkpoint if it was interrupted.

    The folder then holds `config.yaml`, `curves.csv`, `weights.safetensors`, `predictions.parquet`,
    `metrics.json`, `cost.json` and, last, `done`; of a pretraining run no predictions, and each encoder with its card.
    """
    began = time.perf_counter()
    run.folder.mkdir(parents=True, exist_ok=True)
    with disk_space(run.folder):
        whole = run.experiment.model_dump(mode="json")
        config = {"run": run.spec, "experiment": whole, "provenance": _provenance()}
        write_text(run.folder / "config.yaml", yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
        logger = _wandb(plan, run)
        try:
            result = _made(plan, run, logger, report)
            if logger:
                logger.log_metrics(_means(result))
        finally:
            if logger:
                import wandb

                wandb.finish()
        for checkpoint in run.folder.glob("*.ckpt"):
            checkpoint.unlink()
        cost = {"seconds": round(time.perf_counter() - began, 2), "accelerator": run.experiment.compute.accelerator}
        write_text(run.folder / "cost.json", json.dumps(cost))  # of the last go, where there were several
        write_text(run.folder / "done", "")


def _made(plan: Plan, run: Run, logger: WandbLogger | None, report: Report) -> dict[str, Any]:
    """Do what the run's method says, and leave its results."""
    if plan.experiment.methods[run.method].classical:
        data = fold_data(plan, run)
        report(run.label, run.experiment.trainer.max_epochs)
        predictions, scores = classical.predictions(plan, run, data)
        return _scored(plan, run, data, predictions, {"selection": scores})
    if plan.experiment.pretraining:
        return pretrain(plan, run, logger, report)
    learner, data = learner_and_data(plan, run)
    before = evidence.distance(learner.network, data)
    fit(run.experiment, run, learner, data, logger, report)
    learner.finish(data)
    told = {
        "selection": evidence.of_network(plan, learner.network, data),
        "alignment": evidence.of_alignment(learner, data, before),
    }
    result = _scored(plan, run, data, predict.predictions(plan, run, learner, data), told)
    if plan.experiment.missing_streams and len(learner.network.encoders) > 1:
        _keep(predict.with_streams_missing(plan, run, learner, data), run.folder / "missing_streams.parquet")
    keep_learner(learner, run.folder)
    return result


def _scored(plan: Plan, run: Run, data: FoldData, predictions: pd.DataFrame, told: dict[str, Any]) -> dict[str, Any]:
    """Keep predictions of the target's test windows, their scores, and what was `told` before any label was seen."""
    _keep(predictions, run.folder / "predictions.parquet")
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


def _means(result: dict[str, Any]) -> dict[str, float]:
    """Scores on windows, for W&B."""
    return {
        f"test/{metric}_{target}": value
        for target, levels in result.get("targets", {}).items()
        for metric, value in levels["window"]["mean"].items()
        if value is not None
    }


def _wandb(plan: Plan, run: Run) -> WandbLogger | None:
    """One W&B run, in the group of the experiment; None when it is disabled."""
    settings = plan.experiment.wandb
    if settings.mode == "disabled":
        return None
    os.environ.setdefault("WANDB_SILENT", "true")
    import wandb

    started = wandb.init(
        id=run.folder.name,  # a resumed run goes on under its own name
        resume="allow",
        project=settings.project,
        entity=settings.entity,
        name=run.label,
        group=plan.folder.name,
        job_type=run.method,
        mode=settings.mode,
        dir=run.folder,
        config={
            "run": run.spec,
            "experiment": run.experiment.model_dump(mode="json"),
            "setting": run.setting,
            "method": run.method,
        },
        settings=wandb.Settings(console="off", silent=True, x_disable_stats=True, x_save_requirements=False),
    )
    return WandbLogger(experiment=started)


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
