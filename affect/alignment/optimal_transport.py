"""Optimal transport for domain adaptation (Courty et al., IEEE TPAMI 39(9), 2017)."""

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field, NonNegativeFloat
from torch import Tensor

from affect.alignment.base import Alignment
from affect.alignment.coral import SourceMaps
from affect.alignment.stream_maps import Chunks, sampled
from affect.batch import StreamMap


class OptimalTransport(Alignment):
    """Source windows are moved onto the target at the least cost; the target stays as it is.

    γ = argmin_γ ⟨γ, C⟩ + r Σ γ log γ over couplings of n_s source and n_t target windows of equal mass, with C the
    squared distance over its largest value (eq. 9 and 13 of the paper). A source window goes to the mean of where its
    mass goes, x̂_i = Σ_j γ_ij x_j / Σ_j γ_ij (eq. 16). One that was not sampled goes where the dual potential v of the
    target sends it, γ_j ∝ exp(v_j − C(x, x_j) / r); under exact transport along with the nearest sampled window:
    x ↦ x + x̂_i − x_i. Both as in POT.

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
        regularisation: NonNegativeFloat = 0.02,
        rows: Annotated[int, Field(ge=10, le=2000)] = 500,
    ) -> None:
        super().__init__(dim, classes, domains, weight)
        self.regularisation, self.rows = regularisation, rows

    def map_stream(self, chunks: Chunks) -> StreamMap:
        import ot

        source, target = sampled("OptimalTransport", chunks, self.rows)
        cost = ot.dist(source.numpy(), target.numpy())
        largest = float(cost.max()) or 1.0
        cost /= largest
        if self.regularisation:
            rule = {"method": "sinkhorn_log", "numItermax": 1000, "stopThr": 1e-6, "warn": False}
            _, found = ot.sinkhorn([], [], cost, self.regularisation, log=True, **rule)
            potential = torch.from_numpy(found["log_v"])
            scale = 1 / (largest * self.regularisation)

            def sent(rows: Tensor) -> Tensor:
                mass = potential - scale * torch.cdist(rows.double(), target).square()
                return (mass.softmax(dim=1) @ target).to(rows)

            return SourceMaps({-1: sent})
        plan = torch.from_numpy(ot.emd([], [], cost))
        moves = plan @ target / plan.sum(dim=1, keepdim=True) - source

        def along(rows: Tensor) -> Tensor:
            nearest = torch.cdist(rows.double(), source).argmin(dim=1)
            return (rows + moves[nearest]).to(rows)

        return SourceMaps({-1: along})
