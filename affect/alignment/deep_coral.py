"""Deep correlation alignment (Sun & Saenko, ECCV workshops 2016)."""

import torch
from torch import Tensor

from affect.alignment.base import AlignmentInput
from affect.alignment.domains import Discrepancy


class DeepCORAL(Discrepancy):
    """Covariances of the embeddings made alike (eq. 1–3 of the paper).

    L = λ · ‖C_S − C_T‖²_F / (4 D²), C = Σ (x − x̄)(x − x̄)ᵀ / (n − 1). Means are left alone: a mere translation costs
    nothing.
    """

    def distances(self, batch: AlignmentInput, share: Tensor, count: Tensor) -> Tensor:
        x = batch.features
        mean = share.T @ x
        centred = x - mean[:, None]  # (G, B, D)
        scatter = (share.T[..., None] * centred).mT @ centred
        covariance = scatter * (count / (count - 1).clamp(min=1))[:, None, None]
        return torch.sum((covariance[:-1] - covariance[-1]) ** 2, dim=(1, 2)) / (4 * x.shape[1] ** 2)
