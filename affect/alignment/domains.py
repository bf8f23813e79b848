"""Distances between each source domain and the target, without selecting rows."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from affect.alignment.base import AlignmentInput
from affect.alignment.schedule import Schedule, Scheduled

Between = Literal["subjects", "source-target"]
"""`subjects`: every source domain is one; `source-target`: all source domains are one heap."""


def members(batch: AlignmentInput, between: Between, domains: int) -> Tensor:
    """(B, G) of 0 and 1: which domain a row is of; the last column is the target."""
    if between == "source-target":
        return torch.stack([batch.source, ~batch.source], dim=1).to(batch.features.dtype)
    numbers = torch.arange(domains, device=batch.domain.device)
    return (batch.domain[:, None] == numbers).to(batch.features.dtype)


class Discrepancy(Scheduled):
    """A distance d between the embeddings of domains: L = λ · mean over source domains k of d(k, target).

    Only pairs count of which both have at least two rows in the batch. λ grows as in DANN's paper, whatever the paper
    of a distance does, unless `schedule` is `constant`.

    Args:
        weight: λ at the end of training.
        between: what a source domain is.
        schedule: of λ.
    """

    def __init__(
        self,
        dim: int,
        classes: Sequence[int],
        domains: int,
        weight: float = 1.0,
        between: Between = "source-target",
        schedule: Schedule = "paper",
    ) -> None:
        super().__init__(dim, classes, domains, weight, schedule)
        self.classes, self.between = tuple(classes), between

    @abstractmethod
    def distances(self, batch: AlignmentInput, share: Tensor, count: Tensor) -> Tensor:
        """(G − 1,) distance of each source domain to the target.

        Args:
            share: (B, G) of each row in its domain's mean: columns sum to 1, or to 0 for a domain without rows.
            count: (G,) rows of each domain in the batch.
        """

    def forward(self, batch: AlignmentInput) -> tuple[Tensor, dict[str, Tensor]]:
        member = members(batch, self.between, self.domains)
        count = member.sum(dim=0)
        distances = self.distances(batch, member / count.clamp(min=1), count)
        pair = ((count[:-1] >= 2) & (count[-1] >= 2)).to(distances.dtype)
        distance = (distances * pair).sum() / pair.sum().clamp(min=1)
        strength = self.strength(batch.progress)
        return strength * distance, {"distance": distance.detach(), "lambda": torch.tensor(strength)}
