"""The learner: label losses on source rows, plus an alignment over source and target rows if there is one."""

from typing import Any, Literal

import pytorch_lightning as pl
import torch
from torch import Tensor

from affect.alignment.base import Alignment, AlignmentInput
from affect.batch import Batch
from affect.learners.label_loss import LabelLoss, label_loss
from affect.learners.network import Network


class Adaptive(pl.LightningModule):
    """Trains a Network with or without an alignment; without one it is source-only.

    The random numbers of a step depend on (seed, step) alone, so that a resumed fit is the fit that was never
    interrupted.

    Args:
        network: encoders, fusion, head.
        alignment: None, or the loss that makes domains alike.
        learning_rate, weight_decay: of AdamW.
        schedule: `constant`, or `cosine` to zero over all steps.
        label_smoothing: 0 … 1.
        seed: of dropout and augmentation.
    """

    def __init__(
        self,
        network: Network,
        alignment: Alignment | None,
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-2,
        schedule: Literal["constant", "cosine"] = "cosine",
        label_smoothing: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.network = network
        # Weight 0 adds nothing at all, so that it is source-only to the last bit.
        self.alignment = alignment if alignment is not None and alignment.weight != 0 else None
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.schedule, self.label_smoothing, self.seed = schedule, label_smoothing, seed
        self.curves: list[dict[str, float]] = []
        """What is logged, a row per epoch, kept in the checkpoint so that a resumed fit has all of them."""
        self._curve: dict[str, list[Tensor]] = {}
        self._validated: list[LabelLoss] = []
        self._steps = 1

    def on_fit_start(self) -> None:
        self._steps = max(1, int(self.trainer.estimated_stepping_batches))

    def on_train_start(self) -> None:
        for row in self.curves:  # of before an interruption
            for logger in self.loggers:
                logger.log_metrics(row, step=int(row["step"]))

    def on_train_epoch_start(self) -> None:
        self._curve = {}

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        torch.manual_seed(self.seed * 1_000_003 + self.global_step)

    def training_step(self, batch: Batch) -> Tensor:
        features = self.network.embed(batch)
        outputs = self.network.head(features)
        labels = label_loss(self.network, outputs, batch, self.label_smoothing)
        loss = labels.loss.mean()
        curve = self._named(labels.loss.detach(), labels.accuracy)
        if self.alignment is not None:
            progress = self.global_step / self._steps
            aligned, numbers = self.alignment(
                AlignmentInput(features, outputs, batch.label, batch.source, batch.domain, batch.weight, progress)
            )
            loss = loss + aligned
            curve |= numbers
        for name, value in curve.items():
            self._curve.setdefault(name, []).append(value)
        return loss

    def on_train_epoch_end(self) -> None:
        means = {f"train/{name}": torch.stack(values).float().mean() for name, values in self._curve.items()}
        self.log_dict(means)
        seen = {name: value for name, value in self.trainer.callback_metrics.items() if name.startswith("source_val/")}
        row = {name: float(value) for name, value in (means | seen).items()}
        self.curves.append({"epoch": self.current_epoch, "step": self.global_step, **row})

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["curves"] = self.curves

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.curves = list(checkpoint["curves"])

    def on_validation_epoch_start(self) -> None:
        self._validated = []

    def validation_step(self, batch: Batch) -> None:
        self._validated.append(label_loss(self.network, self.network(batch), batch, self.label_smoothing))

    def on_validation_epoch_end(self) -> None:
        weight = torch.stack([batch.weight for batch in self._validated])

        def mean(values: list[Tensor]) -> Tensor:  # over all windows, not over batches
            return (torch.stack(values) * weight).sum(dim=0) / weight.sum(dim=0).clamp(min=1e-12)

        loss, accuracy = mean([v.loss for v in self._validated]), mean([v.accuracy for v in self._validated])
        self.log_dict({f"source_val/{name}": value for name, value in self._named(loss, accuracy).items()})

    def predict_step(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """(B,) window numbers, and for each target (B, classes) probabilities or (B, 1) values on its own scale."""
        return batch.window, self.network.predictions(self.network(batch))

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(
            self.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay, fused=True
        )
        if self.schedule == "constant":
            return optimizer
        steps = int(self.trainer.estimated_stepping_batches)
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=max(1, steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _named(self, loss: Tensor, accuracy: Tensor) -> dict[str, Tensor]:
        """(Q,) numbers by name; `label_loss` is their mean: what is minimised, and what an epoch is chosen by."""
        numbers = {"label_loss": loss.mean()}
        for i, (name, classes) in enumerate(self.network.targets.items()):
            numbers[f"loss_{name}"] = loss[i]
            if classes:
                numbers[f"accuracy_{name}"] = accuracy[i]
        return numbers
