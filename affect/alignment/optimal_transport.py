"""Optimal transport for domain adaptation (Courty et al., IEEE TPAMI 39(9), 2017)."""

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field, NonNegativeFloat
from torch import Tensor

from affect.alignment.base import Alignment
from affect.alignment.stream_maps import Chunks, check_size, flat, sampled
from affect.batch import StreamMap


class OptimalTransport(Alignment):
    """Source windows are moved onto the target at the least cost; the target stays as it is.

    γ = argmin_γ ⟨γ, C⟩ + r Σ γ log γ over couplings of n_s source and n_t target windows of equal mass, with C the
    squared distance over its largest value (eq. 9 and 13 of the paper). A sampled source window goes to the mean of
    where its mass goes, x̂_i = Σ_j γ_ij x_j / Σ_j γ_ij (eq. 16); any other source window goes along with the nearest
    sampled one: x ↦ x + x̂_i − x_i.

    It moves all source people as one heap, and assumes that classes are as frequent in the target as in the source.

    Args:
        weight: 0, the windows as they are, to 1, as above.
        regularisation: r; 0 for exact transport.
        rows: sampled, evenly spaced, of source and of target.
    """

    maps = True
    joint = False

    def __init__(
        self,
        dim: int,
        classes: Sequence[int],
        domains: int,
        weight: float = 1.0,
        regularisation: NonNegativeFloat = 0.01,
        rows: Annotated[int, Field(ge=10, le=2000)] = 1000,
    ) -> None:
        super().__init__(dim, classes, domains, weight)
        self.regularisation, self.rows = regularisation, rows

    def map_stream(self, chunks: Chunks) -> StreamMap:
        import ot

        check_size("OptimalTransport", next(iter(chunks())).values)
        source, target = sampled(chunks, self.rows)
        cost = ot.dist(source.numpy(), target.numpy())
        cost /= cost.max() or 1.0
        if self.regularisation:
            coupling = ot.sinkhorn(
                [], [], cost, self.regularisation, method="sinkhorn_log", numItermax=1000, stopThr=1e-8, warn=False
            )
        else:
            coupling = ot.emd([], [], cost)
        plan = torch.from_numpy(coupling)
        moves = (plan @ target / plan.sum(dim=1, keepdim=True).clamp(min=1e-300) - source).float()
        known = source.float()

        def mapped(values: Tensor, person: Tensor, source: Tensor) -> Tensor:
            rows = flat(values)
            nearest = torch.cdist(rows, known.to(rows)).argmin(dim=1)
            return torch.where(source[:, None], rows + moves.to(rows)[nearest], rows).view_as(values)

        return mapped
