"""The fit of one run: a Lightning Trainer that can be interrupted anywhere and goes on from its last checkpoint."""

import logging
import pickle
import signal
import warnings
from collections.abc import Callable
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from pytorch_lightning.loggers import Logger
from pytorch_lightning.strategies import DDPStrategy

from affect.encoders import Encoder
from affect.learners.base import Learner
from datamodules.module import FoldData
from experiments.devices import Build, OwnSignals, Rank, beside
from experiments.plan import Plan, Run

Report = Callable[[str, int], None]
"""Called with the run's label and the number of epochs just finished."""


def fit(
    plan: Plan, run: Run, learner: Learner, data: FoldData, build: Build, logger: Logger | None, report: Report
) -> None:
    """Train `learner`; it then holds the weights of the epoch that the experiment's selection names.

    Args:
        build: made learner and data, and makes them again where the run has other processes.
    """
    with beside(plan, run, build) as rank:
        train(run, learner, data, rank, logger, report)
    if run.experiment.selection == "source-validation":
        chosen = torch.load(run.folder / "best.ckpt", weights_only=True, map_location="cpu")
        learner.load_state_dict(chosen["state_dict"])


def train(
    run: Run,
    learner: Learner,
    data: FoldData,
    rank: Rank,
    logger: Logger | None = None,
    report: Report = lambda label, epochs: None,
) -> None:
    """Train in this process, one of as many as the run has devices."""
    _quiet()
    experiment = run.experiment
    compute = experiment.compute
    if compute.compile:
        for encoder in (module for module in learner.modules() if isinstance(module, Encoder)):
            encoder.compile(backend=compute.compile)
    last = ModelCheckpoint(
        dirpath=run.folder,
        filename="last",
        every_n_epochs=experiment.trainer.checkpoint_every,
        enable_version_counter=False,
    )
    best = ModelCheckpoint(dirpath=run.folder, filename="best", monitor=learner.monitor, enable_version_counter=False)
    validates = experiment.selection == "source-validation"
    # Streams that are dropped and layers that learn later leave parameters without a gradient.
    strategy = DDPStrategy(find_unused_parameters=True) if compute.devices > 1 else "auto"
    signals = [OwnSignals()] if compute.devices > 1 else []
    trainer = pl.Trainer(
        max_epochs=experiment.trainer.max_epochs,
        accelerator=compute.accelerator,
        devices=compute.devices,
        strategy=strategy,
        use_distributed_sampler=False,  # the data's own order knows
        precision=compute.precision,
        plugins=[rank],
        deterministic=True,
        logger=logger or False,
        # `best` before `last`, so that the last checkpoint knows the best score of its own epoch.
        callbacks=[_Epochs(run.label, report), *signals, *([best] if validates else []), last],
        limit_val_batches=1.0 if len(data.source_val) else 0.0,
        num_sanity_val_steps=0,
        log_every_n_steps=1_000_000,  # curves are logged by the epoch
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=run.folder,
    )
    _fit_or_go_on(trainer, learner, data, run.folder / "last.ckpt")


def _fit_or_go_on(trainer: pl.Trainer, learner: Learner, data: FoldData, last: Path) -> None:
    resume = last if _whole(last) else None
    handler = signal.getsignal(signal.SIGINT)
    # Lightning looks for something to validate after every step if it is given all data; a tenth of a small run.
    given = {"datamodule": data} if len(data.source_val) else {"train_dataloaders": data.train_dataloader()}
    try:
        trainer.fit(learner, **given, ckpt_path=resume, weights_only=True if resume else None)
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
    except (EOFError, RuntimeError, pickle.UnpicklingError):  # cut off, or not a checkpoint
        checkpoint.unlink(missing_ok=True)
        return False
    return True


class _Epochs(Callback):
    """Tells how far the run is."""

    def __init__(self, label: str, report: Report) -> None:
        self.label, self.report = label, report

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.report(self.label, trainer.current_epoch + 1)


def _quiet() -> None:
    """Lightning's hints are for people who write training loops."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning|lightning_fabric")  # srun is here, and not used
    warnings.filterwarnings("ignore", message=".*LeafSpec.*|.*does not have many workers.*")
