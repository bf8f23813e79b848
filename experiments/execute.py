"""One run: train on the fold's source, predict its target, leave the result in the run's folder."""

import logging
import os
import platform
import signal
import subprocess
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
import yaml
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from pytorch_lightning.loggers import Logger, WandbLogger
from safetensors.torch import save

from affect import __version__
from affect.alignment import Alignment
from affect.errors import UserError
from affect.evaluation.metrics import score
from affect.learners.adaptive import Adaptive
from datamodules.atomic import disk_space, replacing, write_text
from datamodules.module import FoldData
from experiments.components import build
from experiments.plan import Plan, Run

Report = Callable[[str, int], None]
"""Called with the run's label and the number of epochs just finished."""


def execute(plan: Plan, run: Run, report: Report = lambda label, epochs: None) -> None:
    """Train and test `run`, going on from its last checkpoint if it was interrupted.

    The folder then holds `config.yaml`, `curves.csv`, `weights.safetensors`, `predictions.parquet`,
    `metrics.json` and, last, `done`.
    """
    _quiet()
    trainer_config = plan.experiment.trainer
    run.folder.mkdir(parents=True, exist_ok=True)
    with disk_space(run.folder):
        whole = plan.experiment.model_dump(mode="json")
        config = {"run": run.spec, "experiment": whole, "provenance": _provenance()}
        write_text(run.folder / "config.yaml", yaml.safe_dump(config, sort_keys=False, allow_unicode=True))

        learner, data = _learner_and_data(plan, run)
        loggers = _loggers(plan, run)
        last = run.folder / "last.ckpt"
        # `best` before `last`, so that the last checkpoint knows the best score of its own epoch.
        callbacks: list[Callback] = [
            ModelCheckpoint(
                dirpath=run.folder,
                filename="last",
                every_n_epochs=trainer_config.checkpoint_every,
                enable_version_counter=False,
            ),
            _Epochs(run.label, report),
        ]
        best = ModelCheckpoint(
            dirpath=run.folder, filename="best", monitor="source_val/label_loss", enable_version_counter=False
        )
        validates = plan.experiment.selection == "source-validation"
        trainer = pl.Trainer(
            max_epochs=trainer_config.max_epochs,
            accelerator=plan.experiment.compute.accelerator,
            devices=1,
            deterministic=True,
            logger=loggers,
            callbacks=[best, *callbacks] if validates else callbacks,
            limit_val_batches=1.0 if validates else 0.0,
            num_sanity_val_steps=0,
            log_every_n_steps=1_000_000,  # curves are logged by the epoch
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=run.folder,
        )
        try:
            _fit(trainer, learner, data, last if _whole(last) else None)
            chosen = Path(best.best_model_path) if validates else None
            if chosen:
                state = torch.load(chosen, weights_only=True, map_location="cpu")["state_dict"]
                learner.load_state_dict(state)
            result = _test(plan, run, learner, data)
            for logger in loggers:
                if isinstance(logger, WandbLogger):
                    logger.log_metrics({f"test/{k}": v for k, v in result["window"]["mean"].items() if v is not None})
        finally:
            if any(isinstance(logger, WandbLogger) for logger in loggers):
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


def _fit(trainer: pl.Trainer, learner: Adaptive, data: FoldData, resume: Path | None) -> None:
    handler = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(learner, data, ckpt_path=resume, weights_only=True if resume else None)
    except SystemExit as error:
        if type(error) is not SystemExit:
            raise  # Lightning's own, for SIGTERM
        signal.signal(signal.SIGINT, handler)  # Lightning answers Ctrl-C by leaving, and ignores the next
        raise KeyboardInterrupt from None


def _whole(checkpoint: Path) -> bool:
    """Whether there is a checkpoint to go on from; one that cannot be read is removed: the run begins anew."""
    try:
        torch.load(checkpoint, weights_only=True, map_location="cpu")
    except FileNotFoundError:
        return False
    except Exception:  # a file cut off anywhere makes torch raise nearly anything
        checkpoint.unlink()
        return False
    return True


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
    write_text(run.folder / "metrics.json", _json(result))
    return result


def _json(value: Any) -> str:
    import json

    return json.dumps(value, indent=1)


def _loggers(plan: Plan, run: Run) -> list[Logger]:
    loggers: list[Logger] = []
    settings = plan.experiment.wandb
    if settings.mode != "disabled":
        os.environ.setdefault("WANDB_SILENT", "true")
        import wandb

        experiment = wandb.init(
            project=settings.project,
            entity=settings.entity,
            name=run.label,
            group=plan.folder.name,
            job_type=run.method,
            mode=settings.mode,
            dir=run.folder,
            config={"run": run.spec, "setting": run.setting, "method": run.method},
            settings=wandb.Settings(console="off", silent=True, x_disable_stats=True, x_save_requirements=False),
        )
        loggers.append(WandbLogger(experiment=experiment))
    return loggers


class _Epochs(Callback):
    """Tells how far the run is."""

    def __init__(self, label: str, report: Report) -> None:
        self.label, self.report = label, report

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.report(self.label, trainer.current_epoch + 1)


@cache
def _provenance() -> dict[str, str]:
    """Which code made a run: version, commit, Python and torch."""
    here = Path(__file__).parent
    git = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=here, capture_output=True, text=True)
    return {
        "affect": __version__,
        "commit": git.stdout.strip() or "unknown",
        "python": platform.python_version(),
        "torch": str(torch.__version__),
    }


def _quiet() -> None:
    """Lightning's hints are for people who write training loops."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    warnings.filterwarnings("ignore", message=".*LeafSpec.*|.*does not have many workers.*")
