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
    each = risk(network, outputs, batch, label_smoothing)
    label = labels(network, batch)
    known = ~label.isnan()
    weight = batch.weight * known
    total = weight.sum(dim=0)
    hits = []
    for i, (classes, out) in enumerate(zip(network.targets.values(), network.split(outputs).values(), strict=True)):
        named = out.detach().argmax(dim=1) == label[:, i]
        hits.append(named.to(out.dtype) if classes else torch.zeros_like(label[:, i]))
    floor = total.clamp(min=1e-12)
    accuracy = (torch.stack(hits, dim=1) * weight).sum(dim=0) / floor
    return LabelLoss((each * weight).sum(dim=0) / floor, accuracy, total)


def risk(network: Network, outputs: Tensor, batch: Batch, label_smoothing: float = 0.0) -> Tensor:
    """(B, Q) label loss of every row, without its weight; 0 where there is no label."""
    label = labels(network, batch)
    known = ~label.isnan()
    filled = torch.where(known, label, 0.0)
    losses = []
    for i, (classes, out) in enumerate(zip(network.targets.values(), network.split(outputs).values(), strict=True)):
        if classes:
            each = F.cross_entropy(out, filled[:, i].long(), reduction="none", label_smoothing=label_smoothing)
        else:
            each = (out[:, 0] - filled[:, i]) ** 2
        losses.append(each)
    return torch.stack(losses, dim=1) * known


def labels(network: Network, batch: Batch) -> Tensor:
    """(B, Q) number of the class, or the value standardised as outputs are; NaN where unknown and in target rows."""
    label = torch.where(batch.source[:, None], batch.label, float("nan"))
    values = torch.tensor([not classes for classes in network.targets.values()], device=label.device)
    return torch.where(values, (label - network.centre) / network.spread, label)
