"""The label loss of every target: cross-entropy for classes, squared error for values; source rows only."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from affect.batch import Batch
from affect.learners.network import Network


@dataclass(frozen=True)
class LabelLoss:
    """Weighted means over the labelled source rows of a batch.

    Args:
        loss: (Q,) with gradient; 0 for a target without such a row. A regression's is in units of the variance of
            the source's labels: 1 is what naming their mean gets.
        accuracy: (Q,) share of rows whose class is named; 0 for a regression.
        weight: (Q,) summed weights, by which batches are averaged.
    """

    loss: Tensor
    accuracy: Tensor
    weight: Tensor


def label_loss(network: Network, outputs: Tensor, batch: Batch, label_smoothing: float = 0.0) -> LabelLoss:
    """Of (B, O) outputs, written without selecting rows, so that it can be mapped over folds."""
    losses, accuracies, weights = [], [], []
    for i, (classes, out) in enumerate(zip(network.targets.values(), network.split(outputs).values(), strict=True)):
        known = batch.source & ~batch.label[:, i].isnan()
        weight = batch.weight[:, i] * known
        label = torch.where(known, batch.label[:, i], 0.0)
        if classes:
            number = label.long()
            each = F.cross_entropy(out, number, reduction="none", label_smoothing=label_smoothing)
            hit = (out.detach().argmax(dim=1) == number).to(out.dtype)
        else:
            each = (out[:, 0] - (label - network.centre[i]) / network.spread[i]) ** 2
            hit = torch.zeros_like(label)
        total = weight.sum()
        losses.append((each * weight).sum() / total.clamp(min=1e-12))
        accuracies.append((hit * weight).sum() / total.clamp(min=1e-12))
        weights.append(total)
    return LabelLoss(torch.stack(losses), torch.stack(accuracies), torch.stack(weights))
