"""Deep adaptation network (Long et al., ICML 2015)."""

import torch
from torch import Tensor

from affect.alignment.base import AlignmentInput
from affect.alignment.domains import Discrepancy

WIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Of the kernels, as multiples of the mean squared distance in the batch."""


def gaussians(x: Tensor, widths: tuple[float, ...] = WIDTHS) -> Tensor:
    """(B, D) → (B, B): k(x, y) = mean over u of exp(−‖x − y‖² / (u s)).

    s, the mean squared distance of two rows of the batch, carries no gradient.
    """
    square = (x * x).sum(dim=1)
    distance = (square[:, None] + square[None] - 2 * x @ x.T).clamp(min=0)
    rows = len(x)
    scale = (distance.detach().sum() / max(1, rows * (rows - 1))).clamp(min=1e-12)
    return torch.stack([torch.exp(-distance / (width * scale)) for width in widths]).mean(dim=0)


def mmd(kernel: Tensor, share: Tensor) -> Tensor:
    """Squared maximum mean discrepancy of each source domain and the target: (B, B), (B, G) → (G − 1,).

    MMD²(k, T) = E k(x, x') − 2 E k(x, y) + E k(y, y'), x, x' of k and y, y' of T, over all pairs, a row with itself
    among them: never negative, and 0 for the same rows.
    """
    between = share.T @ kernel @ share
    own = between.diagonal()
    return own[:-1] + own[-1] - 2 * between[:-1, -1]


class DAN(Discrepancy):
    """Maximum mean discrepancy of the embeddings under several Gaussian kernels (eq. 2–4 of the paper).

    L = λ · MMD²_K(source, target), K = mean of Gaussian kernels with widths of ¼, ½, 1, 2, 4 times the mean squared
    distance in the batch. All kernels weigh the same, where the paper learns their weights β; and all pairs of rows
    are compared, where its linear-time estimate takes each row once. Labels play no part: any target will do.
    """

    def distances(self, batch: AlignmentInput, share: Tensor, count: Tensor) -> Tensor:
        return mmd(gaussians(batch.features), share)
