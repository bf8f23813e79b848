"""Invariant risk minimisation (Arjovsky et al., arXiv:1907.02893, 2019)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from affect.alignment.base import Alignment, AlignmentInput
from affect.alignment.domain_risks import domain_risks
from affect.alignment.outputs import split
from affect.encoders.base import Share


class IRM(Alignment):
    """IRMv1: asks of the embedding that one head be the best for every source domain at once.

    L = L_label + weight · mean_d (∂R_d(s · f) / ∂s at s = 1)², f the outputs and s a number that multiplies them: no
    domain alone would have them larger or smaller. The derivative is written out, so one backward pass does:
    for classes Σ_k p_k z_k − z_y of a row with logits z, for a value 2 (f − y) f. Label smoothing is not in it. Of few
    rows a domain the square is too large on average, and asks for small outputs; the product of two halves' derivatives
    is not, but has no lower bound, which small batches do not survive.

    Args:
        weight: of the penalty; the paper's are large, 10² … 10⁵.
        start: share of training without the penalty; the paper begins it late.
    """

    sees = "nothing"
    joint = False
    source_domains = 2
    by_outputs = True

    def __init__(self, dim: int, classes: Sequence[int], domains: int, weight: float = 1.0, start: Share = 0.0) -> None:
        super().__init__(dim, classes, domains, weight)
        self.classes, self.start = tuple(classes), start

    def derivative(self, logits: Tensor, label: Tensor) -> Tensor:
        """(B, O), (B, Q) → (B, Q) of each row's loss by the multiplier of its outputs; 0 without a label."""
        rows = []
        for i, (out, count) in enumerate(zip(split(logits, self.classes), self.classes, strict=True)):
            known = ~label[:, i].isnan()
            filled = torch.where(known, label[:, i], 0.0)
            if count:
                named = (filled[:, None] == torch.arange(count, device=out.device)).to(out.dtype)
                each = ((out.softmax(dim=1) - named) * out).sum(dim=1)
            else:
                each = 2 * (out[:, 0] - filled) * out[:, 0]
            rows.append(each * known)
        return torch.stack(rows, dim=1)

    def forward(self, batch: AlignmentInput) -> tuple[Tensor, dict[str, Tensor]]:
        rows = self.derivative(batch.logits, batch.label)
        slopes = domain_risks(rows, batch.weight, batch.domain, self.domains)
        penalty = slopes.each.square().sum() / slopes.here.sum().clamp(min=1)
        weight = self.weight if batch.progress >= self.start else 0.0
        return weight * penalty, {"irm_penalty": penalty.detach()}
