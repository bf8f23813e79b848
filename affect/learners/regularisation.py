"""What keeps a network from learning its source by heart, or from leaning on one stream."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from affect.augmentation.base import Augmentation
from affect.batch import Batch


@dataclass(frozen=True)
class Regularisation:
    """Of training alone; tested windows are left as they are.

    Args:
        stream_dropout: chance that a stream is hidden from a row; one of those that are there is always left.
        stream_heads: weight of the label loss of every stream's own head.
        augmentations: stream → what its windows go through, in this order.
        mixup: α of mixup within a person; 0 is none.
        label_smoothing: share of the label spread over all classes.
    """

    stream_dropout: float = 0.0
    stream_heads: float = 0.0
    augmentations: Mapping[str, Sequence[Augmentation]] = field(default_factory=dict)
    mixup: float = 0.0
    label_smoothing: float = 0.0

    def augmented(self, batch: Batch) -> Batch:
        """The batch with other windows that mean the same, and with streams hidden."""
        streams = dict(batch.streams)
        for name, chain in self.augmentations.items():
            if name in streams:
                for augmentation in chain:
                    streams[name] = augmentation(streams[name])
        present = hide_streams(batch.present, self.stream_dropout) if self.stream_dropout else batch.present
        return replace(batch, streams=streams, present=present)


def hide_streams(present: Tensor, chance: float) -> Tensor:
    """(B, M) presence after each stream was lost with this chance; of those that are there, one is always left."""
    draw = torch.rand(present.shape, device=present.device)
    luckiest = torch.where(present, draw, -1.0).argmax(dim=1, keepdim=True)
    kept = (draw >= chance).scatter(1, luckiest, True)
    return present & kept


def mix(batch: Batch, alpha: float) -> tuple[Batch, Batch]:
    """Mixed windows with the one half of their labels, and the same rows with the other half (Zhang et al., ICLR 2018).

    Source rows are mixed with rows of the same person (the domain stays true) that have the same streams; target rows
    are left alone. One λ ~ Beta(α, α) a batch, or 1 − λ if that is more: a row keeps the larger part of itself.

    Returns:
        (mixed, other): both hold the mixed windows, each one row's labels, weighted by λ and by 1 − λ.
    """
    share = torch.distributions.Beta(alpha, alpha).sample().to(batch.weight)
    share = torch.maximum(share, 1 - share)
    partner = _partners(batch)
    streams = {name: x[partner].lerp(x, share) for name, x in batch.streams.items()}  # a row with itself is itself
    mixed = replace(batch, streams=streams, weight=share * batch.weight)
    return mixed, replace(mixed, label=batch.label[partner], weight=(1 - share) * batch.weight[partner])


def _partners(batch: Batch) -> Tensor:
    """(B,) a source row of the same person and presence, drawn at random; the row itself where there is no other."""
    streams = batch.present.shape[1]
    code = (batch.present.long() << torch.arange(streams, device=batch.present.device)).sum(dim=1)
    group = (batch.subject << streams) + code
    order = torch.argsort(group + 0.5 * torch.rand(group.shape, device=group.device))
    following = order.roll(-1)
    fits = (group[order] == group[following]) & batch.source[order] & batch.source[following]
    partner = torch.empty_like(order)
    partner[order] = torch.where(fits, following, order)
    return partner
