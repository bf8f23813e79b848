"""Central moment discrepancy (Zellinger et al., ICLR 2017)."""

from collections.abc import Sequence

import torch
from pydantic import PositiveInt
from torch import Tensor

from affect.alignment.base import AlignmentInput
from affect.alignment.domains import Between, Discrepancy
from affect.alignment.schedule import Schedule


class CMD(Discrepancy):
    """Means and higher central moments of each unit made alike (eq. 5 of the paper).

    L = λ · (‖E x − E y‖ / |b − a| + Σ_{k=2…K} ‖c_k(x) − c_k(y)‖ / |b − a|^k), c_k(x) = E (x − E x)^k for each unit.
    The distance is for activations in [a, b]; embeddings are unbounded here, so that it compares their tanh, in
    [−1, 1].

    Args:
        moments: K.
    """

    def __init__(
        self,
        dim: int,
        classes: Sequence[int],
        domains: int,
        weight: float = 1.0,
        moments: PositiveInt = 5,
        between: Between = "source-target",
        schedule: Schedule = "paper",
    ) -> None:
        super().__init__(dim, classes, domains, weight, between, schedule)
        self.moments = moments

    def distances(self, batch: AlignmentInput, share: Tensor, count: Tensor) -> Tensor:
        x = batch.features.tanh()
        mean = share.T @ x
        centred = (x - mean[:, None]) / 2  # (G, B, D), of an interval of length 1
        moments = [mean / 2]
        moments += [(share.T[..., None] * centred**k).sum(dim=1) for k in range(2, self.moments + 1)]
        return sum((torch.linalg.vector_norm(m[:-1] - m[-1], dim=1) for m in moments), x.new_zeros(()))
