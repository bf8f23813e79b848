"""What the heads say, target by target, as an alignment uses it."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def split(outputs: Tensor, classes: Sequence[int]) -> tuple[Tensor, ...]:
    """(B, O) → for each target its (B, classes) logits or (B, 1) values."""
    return torch.split(outputs, [max(count, 1) for count in classes], dim=-1)


def beliefs(outputs: Tensor, classes: Sequence[int]) -> Tensor:
    """(B, O) → (B, O): probabilities of the classes, values of the regressions, side by side."""
    parts = zip(split(outputs, classes), classes, strict=True)
    return torch.cat([out.softmax(dim=-1) if count else out for out, count in parts], dim=-1)


def entropy(outputs: Tensor, classes: Sequence[int]) -> Tensor:
    """(B, O) → (B,) H = −Σ g log g in nats, the mean over the targets that have classes."""
    parts = [out for out, count in zip(split(outputs, classes), classes, strict=True) if count]
    return torch.stack([-(o.softmax(dim=-1) * o.log_softmax(dim=-1)).sum(dim=-1) for o in parts]).mean(dim=0)


def costs(outputs: Tensor, label: Tensor, classes: Sequence[int]) -> Tensor:
    """What each row's outputs cost under each row's label: (n, O), (m, Q) → (m, n), the mean over targets.

    Cross-entropy for classes, squared error for values; 0 where the label is NaN.
    """
    found = []
    for i, (out, count) in enumerate(zip(split(outputs, classes), classes, strict=True)):
        known = ~label[:, i].isnan()
        filled = torch.where(known, label[:, i], 0.0)
        if count:
            named = (filled[:, None] == torch.arange(count, device=label.device)).to(out.dtype)
            each = -named @ out.log_softmax(dim=-1).T
        else:
            each = (filled[:, None] - out[None, :, 0]) ** 2
        found.append(each * known[:, None])
    return torch.stack(found).mean(dim=0)


def label_loss(outputs: Tensor, label: Tensor, weight: Tensor, classes: Sequence[int]) -> Tensor:
    """Weighted cross-entropy of further heads: (B, O), (B, Q), (B, Q) → a scalar, the mean over targets with classes.

    Args:
        label: NaN where unknown and in target rows.
    """
    losses = []
    for i, (out, count) in enumerate(zip(split(outputs, classes), classes, strict=True)):
        if count:
            known = ~label[:, i].isnan()
            each = F.cross_entropy(out, torch.where(known, label[:, i], 0.0).long(), reduction="none")
            share = weight[:, i] * known
            losses.append((each * share).sum() / share.sum().clamp(min=1e-12))
    return torch.stack(losses).mean()
