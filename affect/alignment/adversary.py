"""The domain head that adversaries share, and its loss."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from affect.alignment.base import AlignmentInput
from affect.alignment.domains import Between


def domain_head(dim: int, hidden: int, out: int) -> nn.Module:
    """(B, dim) → (B, out); without hidden units a linear layer."""
    if not hidden:
        return nn.Linear(dim, out)
    return nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, out))


def domains_of(batch: AlignmentInput, between: Between) -> Tensor:
    """(B,) what the domain head is to tell: the domain, or 0 for source and 1 for target."""
    return batch.domain if between == "subjects" else (~batch.source).long()


def even(weight: Tensor, source: Tensor) -> Tensor:
    """(B,) row weights scaled to a mean of 1 over source rows, and over target rows."""
    scaled = torch.zeros_like(weight)
    for side in (source, ~source):
        part = weight * side
        scaled = scaled + part * side.sum() / part.sum().clamp(min=1e-12)
    return scaled


def domain_loss(logits: Tensor, domain: Tensor, weight: Tensor | None = None) -> tuple[Tensor, dict[str, Tensor]]:
    """Cross-entropy of (B, G) logits, weighted by row if asked, and how well the domain head does beside chance."""
    each = F.cross_entropy(logits, domain, reduction="none")
    loss = (each if weight is None else each * weight).mean()
    with torch.no_grad():
        correct = (logits.argmax(dim=1) == domain).float().mean()
        named = domain[:, None] == torch.arange(logits.shape[1], device=domain.device)
        chance = named.float().mean(dim=0).amax()  # always naming the most frequent domain
    return loss, {"domain_loss": loss.detach(), "domain_accuracy": correct, "domain_chance": chance}
