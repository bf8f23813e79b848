"""What all learners share: random numbers by the step, curves by the epoch, the optimiser and its schedule."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import pytorch_lightning as pl
import torch
from torch import Tensor

from affect.batch import Batch


class Learner(pl.LightningModule):
    """A LightningModule that can be interrupted anywhere.

    The random numbers of a step depend on (seed, step) alone, so that a resumed fit is the fit that was never
    interrupted.

    Args:
        learning_rate, weight_decay: of AdamW.
        schedule: `constant`, or `cosine` to zero over all steps.
        seed: of dropout, augmentation and whatever else is drawn in a step.
    """

    monitor: ClassVar[str]
    """What an epoch is chosen by, the lowest; set by the subclass, which logs it in validation."""

    def __init__(
        self,
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-2,
        schedule: Literal["constant", "cosine"] = "cosine",
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.learning_rate, self.weight_decay, self.schedule, self.seed = learning_rate, weight_decay, schedule, seed
        self.curves: list[dict[str, float]] = []
        """What is logged, a row per epoch, kept in the checkpoint so that a resumed fit has all of them."""
        self._curve: dict[str, list[Tensor]] = {}

    def note(self, numbers: Mapping[str, Tensor]) -> None:
        """Scalars of a training step, whose means over the epoch become `train/…`; NaN where there is nothing to
        tell, which the means leave out."""
        for name, value in numbers.items():
            self._curve.setdefault(name, []).append(value)

    def groups(self) -> list[dict[str, Any]]:
        """Parameters as AdamW takes them; everything at one rate, unless a subclass says otherwise."""
        return [{"params": list(self.parameters())}]

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Lightning's own looks through everything a batch might be."""
        return batch if device.type == "cpu" else batch.to(device)

    def on_train_start(self) -> None:
        for row in self.curves:  # of before an interruption
            for logger in self.loggers:
                logger.log_metrics(row, step=int(row["step"]))

    def on_train_epoch_start(self) -> None:
        self._curve = {}

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        seed = self.seed * 1_000_003 + self.global_step + (self.global_rank << 40)  # no two devices draw alike
        if self.device.type == "cpu":  # torch's own also formats a stack trace for the GPU that is not there
            torch.default_generator.manual_seed(seed)
        else:
            torch.manual_seed(seed)

    def on_train_epoch_end(self) -> None:
        means = {f"train/{name}": torch.stack(values).float().nanmean() for name, values in self._curve.items()}
        self.log_dict(means)
        seen = {name: value for name, value in self.trainer.callback_metrics.items() if name.startswith("source_val/")}
        row = {name: float(value) for name, value in (means | seen).items()}
        self.curves.append({"epoch": self.current_epoch, "step": self.global_step, **row})

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["curves"] = self.curves

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.curves = list(checkpoint["curves"])

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.groups(), lr=self.learning_rate, weight_decay=self.weight_decay, fused=True)
        if self.schedule == "constant":
            return optimizer
        steps = int(self.trainer.estimated_stepping_batches)
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=max(1, steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
