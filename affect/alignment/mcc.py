"""Minimum class confusion (Jin et al., ECCV 2020)."""

from collections.abc import Sequence

import torch
from pydantic import PositiveFloat
from torch import Tensor

from affect.alignment.base import AlignmentInput
from affect.alignment.outputs import split
from affect.alignment.schedule import Schedule, Scheduled


class MCC(Scheduled):
    """Predictions of target rows that do not confuse classes (eq. 2–6 of the paper).

    Ŷ = softmax(Z / T) over the target rows; C = Ŷᵀ W Ŷ, the W of a row in proportion to 1 + e^(−H(ŷ)), summing to
    their number; rows of C made to sum to 1: L = λ · Σ_{j ≠ j'} C_jj' / |C|. W carries no gradient, as in the
    authors' code. With several targets the mean over those that have classes; the domains are not compared.

    Args:
        weight: λ at the end of training.
        temperature: T.
        schedule: of λ.
    """

    by_outputs = True

    def __init__(
        self,
        dim: int,
        classes: Sequence[int],
        domains: int,
        weight: float = 1.0,
        temperature: PositiveFloat = 2.5,
        schedule: Schedule = "constant",
    ) -> None:
        super().__init__(dim, classes, domains, weight, schedule)
        if not any(classes):
            raise ValueError("MCC is about the confusion of classes, and no target has any: take DAN, JAN or DeepCORAL")
        self.classes, self.temperature = tuple(classes), temperature

    def forward(self, batch: AlignmentInput) -> tuple[Tensor, dict[str, Tensor]]:
        target = (~batch.source).to(batch.logits.dtype)
        parts = zip(split(batch.logits, self.classes), self.classes, strict=True)
        confusion = torch.stack([self._confusion(out, target) for out, count in parts if count]).mean()
        strength = self.strength(batch.progress)
        return strength * confusion, {"class_confusion": confusion.detach(), "lambda": torch.tensor(strength)}

    def _confusion(self, logits: Tensor, target: Tensor) -> Tensor:
        """(B, C) logits, (B,) 0 or 1 → the share of C off its diagonal; 0 without target rows."""
        warm = logits / self.temperature
        belief = warm.softmax(dim=1)
        entropy = -(belief * warm.log_softmax(dim=1)).sum(dim=1).detach()
        certain = (1 + torch.exp(-entropy)) * target
        certain = certain * target.sum() / certain.sum().clamp(min=1e-12)
        confusion = belief.T @ (certain[:, None] * belief)
        confusion = confusion / confusion.sum(dim=1, keepdim=True).clamp(min=1e-12)
        return (confusion.sum() - confusion.diagonal().sum()) / logits.shape[1]
