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
from affect.evaluation.metrics import score
from affect.learners.adaptive import Adaptive
from datamodules.atomic import disk_space, replacing, write_text
from datamodules.module import FoldData
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
                logger.log_metrics({f"test/{k}": v for k, v in result["window"]["mean"].items() if v is not None})
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
    torch.manual_seed(run.seed)
    network = plan.network()
    data = FoldData(
        plan.windows,
        plan.labels,
        len(plan.classes),
        run.fold,
        run.normalisation,
        training.batch_size,
        run.seed,
        adapts=run.setting == "transductive",
        balanced=training.class_weights == "balanced",
    )
    alignment = None
    if method.alignment:
        given = {"dim": network.fusion.out_dim, "classes": len(plan.classes), "domains": data.domains}
        alignment = build(method.alignment, Alignment, f"methods.{run.method}.alignment", given)  # type: ignore[type-abstract]
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
    learner.eval()
    with torch.inference_mode():
        outputs = [learner.predict_step(batch.to(learner.device)) for batch in data.predict_dataloader()]
    rows = torch.cat([window for window, _ in outputs]).cpu().numpy()
    probability = torch.cat([p for _, p in outputs]).float().cpu().numpy()
    if not np.isfinite(probability).all():
        raise UserError(
            run.folder, "NaN in the predictions", "finite probabilities", "lower trainer.learning_rate or the weight"
        )
    trial = plan.windows.table.trial[rows]
    table = plan.windows.trials.iloc[trial]
    predictions = pd.DataFrame(
        {
            "window": rows,
            "trial": trial,
            "start": plan.windows.table.start[rows],
            "subject": table["subject"].to_numpy(),
            "stimulus": table["stimulus"].to_numpy(),
            "label": plan.labels[trial],
            **{f"p_{name}": probability[:, i] for i, name in enumerate(plan.classes)},
        }
    )
    with replacing(run.folder / "predictions.parquet") as temporary:
        predictions.to_parquet(temporary)
    result = {
        "setting": run.setting,
        "selection": plan.experiment.selection,
        "source_priors": (data.priors / data.priors.sum()).tolist(),
        **{level: score(predictions, list(plan.classes), level) for level in ("window", "trial")},
    }
    write_text(run.folder / "metrics.json", json.dumps(result, indent=1))
    return result


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
