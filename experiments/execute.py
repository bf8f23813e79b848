"""One run: train on the fold's source, predict its target, leave the result in the run's folder."""

import json
import os
import platform
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml
from pytorch_lightning.loggers import WandbLogger
from safetensors.torch import save

from affect import __version__
from affect.alignment import Alignment
from affect.errors import UserError
from affect.evaluation.metrics import LEVELS, columns_of, score
from affect.learners.adaptive import Adaptive
from datamodules.atomic import disk_space, replacing, write_text
from datamodules.module import FoldData
from datamodules.targets import Target
from experiments.components import build
from experiments.fit import Report, fit
from experiments.plan import Plan, Run


def execute(plan: Plan, run: Run, report: Report = lambda label, epochs: None) -> None:
    """Train and test `run`, going on from its last checkpoint if it was interrupted.

    The folder then holds `config.yaml`, `curves.csv`, `weights.safetensors`, `predictions.parquet`,
    `metrics.json` and, last, `done`.
    """
    run.folder.mkdir(parents=True, exist_ok=True)
    with disk_space(run.folder):
        whole = plan.experiment.model_dump(mode="json")
        config = {"run": run.spec, "experiment": whole, "provenance": _provenance()}
        write_text(run.folder / "config.yaml", yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
        learner, data = _learner_and_data(plan, run)
        logger = _wandb(plan, run)
        try:
            fit(plan.experiment, run, learner, data, logger, report)
            result = _test(plan, run, learner, data)
            if logger:
                logger.log_metrics(_means(result))
        finally:
            if logger:
                import wandb

                wandb.finish()
        with replacing(run.folder / "curves.csv") as temporary:
            pd.DataFrame(learner.curves).to_csv(temporary, index=False)
        weights = {name: tensor.contiguous() for name, tensor in learner.state_dict().items()}
        with replacing(run.folder / "weights.safetensors") as temporary:
            temporary.write_bytes(save(weights))
        for checkpoint in run.folder.glob("*.ckpt"):
            checkpoint.unlink()
        write_text(run.folder / "done", "")


def _learner_and_data(plan: Plan, run: Run) -> tuple[Adaptive, FoldData]:
    method = plan.experiment.methods[run.method]
    training = plan.experiment.trainer
    data = FoldData(
        plan.windows,
        plan.labels,
        plan.classes,
        run.fold,
        run.normalisation,
        training.batch_size,
        run.seed,
        adapts=run.setting == "transductive",
        balanced=training.class_weights == "balanced",
        domain=plan.experiment.domain,
    )
    torch.manual_seed(run.seed)
    network = plan.network(data.centre, data.spread)
    alignment = None
    if method.alignment:
        given = {"dim": network.fusion.out_dim, "classes": tuple(plan.classes), "domains": data.domains}
        alignment = build(method.alignment, Alignment, f"methods.{run.method}.alignment", given)
    learner = Adaptive(
        network,
        alignment,
        training.learning_rate,
        training.weight_decay,
        training.schedule,
        training.label_smoothing,
        run.seed,
    )
    return learner, data


def _test(plan: Plan, run: Run, learner: Adaptive, data: FoldData) -> dict[str, Any]:
    """Predict the target's test windows; keep them and their scores."""
    predictions = _predictions(plan, run, learner, data)
    with replacing(run.folder / "predictions.parquet") as temporary:
        predictions.to_parquet(temporary)
    result = {
        "setting": run.setting,
        "selection": plan.experiment.selection,
        "source": {target.name: _source(target, data, i) for i, target in enumerate(plan.targets)},
        "targets": {
            target.name: {level: score(predictions, target.name, target.classes, level) for level in LEVELS}
            for target in plan.targets
        },
    }
    write_text(run.folder / "metrics.json", json.dumps(result, indent=1))
    return result


def _predictions(plan: Plan, run: Run, learner: Adaptive, data: FoldData) -> pd.DataFrame:
    """A row per test window: what and whose it is, and for each target its label and what was predicted."""
    learner.eval()
    with torch.inference_mode():
        outputs = [learner.predict_step(batch.to(learner.device)) for batch in data.predict_dataloader()]
    rows = torch.cat([window for window, _ in outputs]).cpu().numpy()
    trial = plan.windows.table.trial[rows]
    trials = plan.windows.trials.iloc[trial]
    columns = {
        "window": rows,
        "trial": trial,
        "start": plan.windows.table.start[rows],
        "subject": trials["subject"].to_numpy(),
        "stimulus": trials["stimulus"].to_numpy(),
    }
    for i, target in enumerate(plan.targets):
        predicted = torch.cat([part[target.name] for _, part in outputs]).float().cpu().numpy()
        if not np.isfinite(predicted).all():
            raise UserError(
                run.folder, "NaN in the predictions", "finite numbers", "lower trainer.learning_rate or the weight"
            )
        columns[f"label_{target.name}"] = plan.labels[rows, i]
        columns |= dict(zip(columns_of(target.name, target.classes), predicted.T, strict=True))
    return pd.DataFrame(columns)


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
        for target, levels in result["targets"].items()
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
            "experiment": plan.experiment.model_dump(mode="json"),
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
