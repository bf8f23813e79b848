"""The learner without labels: encoders, trained by a self-supervised objective."""

from collections.abc import Mapping
from typing import Literal, cast

import torch
from torch import Tensor, nn

from affect.batch import Batch
from affect.encoders.base import Encoder
from affect.learners.base import Learner
from affect.pretraining.base import Objective


class Pretraining(Learner):
    """Trains encoders by an objective; all rows of a batch take part, and no label is looked at.

    Validation draws the same random numbers in every epoch, so that its losses can be compared between epochs; they
    are means over batches by their windows, and a contrastive one depends on how many windows a batch has.

    Args:
        encoders: stream → encoder.
        objective: with what it needs beside them, which is thrown away after the fit.
        learning_rate, weight_decay, schedule: as in `Learner`.
        seed: of dropout, augmentation and masks.
    """

    monitor = "source_val/loss"

    def __init__(
        self,
        encoders: Mapping[str, Encoder],
        objective: Objective,
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-2,
        schedule: Literal["constant", "cosine"] = "cosine",
        seed: int = 0,
    ) -> None:
        super().__init__(learning_rate, weight_decay, schedule, seed)
        self.encoders = nn.ModuleDict(dict(encoders))
        self.objective = objective
        self._validated: list[tuple[int, dict[str, Tensor]]] = []

    def training_step(self, batch: Batch) -> Tensor:
        loss, numbers = self._loss(batch)
        self.note({"loss": loss.detach(), **numbers})
        return loss

    def on_validation_epoch_start(self) -> None:
        self._validated = []

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(self.seed * 1_000_003 + batch_idx)
            loss, numbers = self._loss(batch)
        self._validated.append((len(batch.window), {"loss": loss, **numbers}))

    def on_validation_epoch_end(self) -> None:
        rows = torch.tensor([float(count) for count, _ in self._validated], device=self.device)
        for name in self._validated[0][1]:
            values = torch.stack([numbers[name] for _, numbers in self._validated])
            known = ~values.isnan()
            self.log(f"source_val/{name}", (values * rows)[known].sum() / rows[known].sum(), sync_dist=True)

    def _loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        found: tuple[Tensor, dict[str, Tensor]] = self.objective(cast("Mapping[str, Encoder]", self.encoders), batch)
        return found
