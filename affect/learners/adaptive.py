"""The learner: label losses on source rows, plus an alignment over source and target rows if there is one."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor

from affect.alignment.base import Alignment, AlignmentInput, Windows
from affect.batch import Batch
from affect.errors import UserError
from affect.fusion.decision import Decision
from affect.learners.base import Learner
from affect.learners.label_loss import LabelLoss, label_loss, labels, risk
from affect.learners.network import Network, Reading
from affect.learners.regularisation import Regularisation, mix
from affect.transfer.base import Part


class Adaptive(Learner):
    """Trains a Network with or without an alignment; without one it is source-only.

    Args:
        network: encoders, fusion, heads.
        alignment: None, or the loss that makes domains alike.
        learning_rate, weight_decay, schedule: as in `Learner`.
        regularisation: of training.
        parts: of the encoders: what learns at a rate of its own, or later; None: everything at once. What is in no
            part and belongs to an encoder does not learn.
        seed: of dropout and augmentation.
    """

    monitor = "source_val/label_loss"

    def __init__(
        self,
        network: Network,
        alignment: Alignment | None,
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-2,
        schedule: Literal["constant", "cosine"] = "cosine",
        regularisation: Regularisation | None = None,
        parts: Sequence[Part] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(learning_rate, weight_decay, schedule, seed)
        self.network = network
        # Weight 0 adds nothing at all, so that it is source-only to the last bit.
        self.alignment = alignment if alignment is not None and alignment.weight != 0 else None
        network.transform = self.alignment.transform if self.alignment is not None else None
        self.regularisation = regularisation or Regularisation()
        self.parts = [Part(list(network.encoders.parameters()))] if parts is None else list(parts)
        self._validated: list[tuple[LabelLoss, LabelLoss | None]] = []
        self._steps = 0

    def on_fit_start(self) -> None:
        steps = max(1, int(self.trainer.estimated_stepping_batches))
        if self._steps not in (0, steps):
            raise UserError(
                "trainer.max_epochs",
                f"{steps} steps in all, for a checkpoint on its way to {self._steps}",
                "the same length: λ and the learning rate follow the share of steps that are done",
                "train anew in another folder, or for as long as before",
            )
        self._steps = steps

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint["steps"] = self._steps

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        self._steps = int(checkpoint["steps"])

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        progress = self.current_epoch / max(1, self.trainer.max_epochs or 1)
        for part in self.parts:
            for parameter in part.parameters:
                parameter.requires_grad_(progress >= part.start)

    def training_step(self, batch: Batch) -> Tensor:
        rules = self.regularisation
        batch = rules.augmented(batch)
        if self.alignment is not None:
            batch = self.alignment.change(batch)
        halves = mix(batch, rules.mixup) if rules.mixup else (batch,)
        reading = self.network.read(halves[0])
        found = self._label_loss(reading.outputs, halves)
        loss = found.loss.mean()
        curve = self._named(found.loss.detach(), found.accuracy)
        alone = rules.stream_heads or (1.0 if self.network.fusion.decides else 0.0)
        if reading.streams is not None and alone:
            heads = torch.stack([head.loss.mean() for head in self._by_stream(reading, halves)])
            loss = loss + alone * heads.mean()
            curve |= {f"loss_head_{name}": part.detach() for name, part in zip(batch.streams, heads, strict=True)}
        if self.alignment is not None:
            aligned, numbers = self.alignment(self._seen(reading, halves))
            loss = loss + aligned
            curve |= numbers
        if not bool(loss.isfinite()):
            raise UserError(
                f"epoch {self.current_epoch + 1}, step {self.global_step + 1}",
                f"a loss of {float(loss)}",
                "a finite loss",
                "lower trainer.learning_rate or the weight of the alignment; the last good checkpoint is kept",
            )
        self.note(curve)
        return loss

    def _seen(self, reading: Reading, halves: Sequence[Batch]) -> AlignmentInput:
        """The batch as an alignment sees it; a mixed row has both its labels' risk, and the label that weighs more."""
        batch, network = halves[0], self.network
        assert self.alignment is not None

        def risks(outputs: Tensor) -> Tensor:
            each = [risk(network, outputs, half, self.regularisation.label_smoothing) for half in halves]
            if len(each) == 1:
                return each[0]
            weights = [half.weight for half in halves]
            total = sum(r * w for r, w in zip(each, weights, strict=True))
            return total / torch.stack(weights).sum(dim=0).clamp(min=1e-12)

        def under(parameters: Mapping[str, Tensor]) -> Tensor:
            outputs: Tensor = torch.func.functional_call(network, dict(parameters), (batch,))
            return risks(outputs)

        return AlignmentInput(
            features=reading.features,
            logits=reading.outputs,
            label=labels(network, batch),
            source=batch.domain != self.alignment.domains - 1,
            domain=batch.domain,
            weight=torch.stack([half.weight for half in halves]).sum(dim=0),
            progress=self.global_step / self._steps,
            risk=risks(reading.outputs),
            parameters=dict(network.named_parameters()),
            risk_under=under,
        )

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """How hard encoders and alignment are pulled: what tells a dead or an overwhelming adversary."""
        parts = {"encoders": self.network.encoders, "alignment": self.alignment}
        for name, part in parts.items():
            gradients = [p.grad for p in part.parameters() if p.grad is not None] if part is not None else []
            if gradients:
                self.note({f"gradient_{name}": torch.nn.utils.get_total_norm(gradients)})

    def finish(self, windows: Windows) -> None:
        """What the alignment does once training is over."""
        if self.alignment is not None:
            torch.manual_seed(self.seed * 1_000_003 - 1)
            self.alignment.after(self.network, windows)

    def _label_loss(self, outputs: Tensor, halves: Sequence[Batch]) -> LabelLoss:
        """Of outputs that have one label, or the two halves of a mixed one."""
        rows, smoothing = halves[0], self.regularisation.label_smoothing
        if len(halves) == 2:
            label, source, weight = (torch.cat([getattr(h, n) for h in halves]) for n in ("label", "source", "weight"))
            rows, outputs = replace(rows, label=label, source=source, weight=weight), torch.cat([outputs, outputs])
        return label_loss(self.network, outputs, rows, smoothing)

    def _by_stream(self, reading: Reading, halves: Sequence[Batch]) -> list[LabelLoss]:
        """Of every stream's own head, over the rows that have the stream."""
        assert reading.streams is not None
        found = []
        for i, outputs in enumerate(reading.streams.unbind(dim=1)):
            here = [replace(half, weight=half.weight * half.present[:, i : i + 1]) for half in halves]
            found.append(self._label_loss(outputs, here))
        return found

    def on_validation_epoch_start(self) -> None:
        self._validated = []

    def validation_step(self, batch: Batch) -> None:
        reading = self.network.read(batch)
        fused = self._label_loss(reading.outputs, (batch,))
        alone = None if reading.streams is None else _stacked(self._by_stream(reading, (batch,)))
        self._validated.append((fused, alone))

    def on_validation_epoch_end(self) -> None:
        fused = _mean([fused for fused, _ in self._validated])
        told = self._named(fused.loss, fused.accuracy)
        self.log_dict({f"source_val/{name}": value for name, value in told.items()}, sync_dist=True)
        alone = [heads for _, heads in self._validated if heads is not None]
        if alone and isinstance(self.network.fusion, Decision):
            self.network.fusion.score(self._above_chance(_mean(alone)))

    def _above_chance(self, heads: LabelLoss) -> Tensor:
        """(M,) how much better than chance each stream's head is, 0 … 1, averaged over targets."""
        scores = []
        for i, classes in enumerate(self.network.targets.values()):
            if classes:
                scores.append((heads.accuracy[:, i] - 1 / classes) / (1 - 1 / classes))
            else:
                scores.append(1 - heads.loss[:, i])
        known = (heads.weight > 0).to(heads.loss.dtype)  # a stream nobody held out has is not trusted
        mean = (torch.stack(scores, dim=1) * known).sum(dim=1) / known.sum(dim=1).clamp(min=1)
        return mean.clamp(min=0)

    def predict_step(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """(B,) window numbers, and for each target (B, classes) probabilities or (B, 1) values on its own scale."""
        return batch.window, self.network.predictions(self.network(batch))

    def groups(self) -> list[dict[str, Any]]:
        mine = {id(parameter) for parameter in self.network.encoders.parameters()}
        rest = [parameter for parameter in self.parameters() if id(parameter) not in mine]
        groups: list[dict[str, Any]] = [{"params": rest}]
        groups += [{"params": part.parameters, "lr": part.rate * self.learning_rate} for part in self.parts]
        return [group for group in groups if group["params"]]

    def _named(self, loss: Tensor, accuracy: Tensor) -> dict[str, Tensor]:
        """(Q,) numbers by name; `label_loss` is their mean: what is minimised, and what an epoch is chosen by."""
        numbers = {"label_loss": loss.mean()}
        for i, (name, classes) in enumerate(self.network.targets.items()):
            numbers[f"loss_{name}"] = loss[i]
            if classes:
                numbers[f"accuracy_{name}"] = accuracy[i]
        return numbers


def _stacked(losses: Sequence[LabelLoss]) -> LabelLoss:
    """Of M heads: (M, Q)."""
    return LabelLoss(*(torch.stack([getattr(x, name) for x in losses]) for name in ("loss", "accuracy", "weight")))


def _mean(batches: Sequence[LabelLoss]) -> LabelLoss:
    """Over all windows, not over batches."""
    all_ = _stacked(batches)
    total = all_.weight.sum(dim=0)

    def mean(values: Tensor) -> Tensor:
        return (values * all_.weight).sum(dim=0) / total.clamp(min=1e-12)

    return LabelLoss(mean(all_.loss), mean(all_.accuracy), total)
