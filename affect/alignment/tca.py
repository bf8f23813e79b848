"""Transfer component analysis (Pan et al., IEEE Trans. Neural Networks 22(2), 2011)."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

from affect.alignment.base import Alignment
from affect.alignment.stream_maps import Chunks, flat, sampled
from affect.batch import StreamMap


class TCA(Alignment):
    """Components on which source and target have the same mean, in the space of a kernel, and the windows still vary.

    K is the Gaussian kernel of all sampled windows, exp(−‖x − x'‖² / 2s²), H the centring matrix and L = l lᵀ with
    l_i = 1/n_s for source rows and −1/n_t for target rows. The components W are the leading solutions w of
    K H K w = λ (K L K + μ I) w (eq. 8–9 of the paper); any window x has the components Wᵀ k(x).

    They are centred and scaled to variance 1, and stand in the first d places of the window's numbers; the rest is 0.
    What was a channel or a time is none any more: for encoders of features that mix all numbers.

    Args:
        weight: 0 or 1; there is nothing between a window and its components.
        components: d; at most as many as a window has numbers, or as there are windows to fit on.
        penalty: μ.
        width: s, in median distances between windows; the wider, the more components are straight lines.
        rows: sampled, evenly spaced, of source and of target; cost grows with their cube.
    """

    maps = True
    joint = False

    def __init__(
        self,
        dim: int,
        classes: Sequence[int],
        domains: int,
        weight: float = 1.0,
        components: PositiveInt = 20,
        penalty: PositiveFloat = 1.0,
        width: PositiveFloat = 1.0,
        rows: Annotated[int, Field(ge=10, le=1000)] = 500,
    ) -> None:
        super().__init__(dim, classes, domains, weight)
        if weight not in (0, 1):
            raise ValueError(f"weight {weight}: 0 or 1, there is nothing between a window and its components")
        self.components, self.penalty, self.width, self.rows = components, penalty, width, rows

    def map_stream(self, chunks: Chunks) -> StreamMap:
        source, target = sampled("TCA", chunks, self.rows)
        both = torch.cat([source, target])
        width = self.width * float(torch.pdist(both).median()) or 1.0
        kernel = _gaussian(both, both, width)
        components = _components(kernel, len(source), min(self.components, both.shape[1], len(both)), self.penalty)
        found = kernel @ components
        centre, spread = found.mean(dim=0), found.std(dim=0, correction=0).clamp(min=1e-12)

        def mapped(values: Tensor, person: Tensor, source: Tensor) -> Tensor:
            rows = flat(values)
            made = (_gaussian(rows.double(), both, width) @ components - centre) / spread
            out = torch.zeros_like(rows)
            out[:, : made.shape[1]] = made.to(rows)
            return out.view_as(values)

        return mapped


def _gaussian(a: Tensor, b: Tensor, width: float) -> Tensor:
    return torch.exp(-0.5 * torch.cdist(a, b).square() / width**2)


def _components(kernel: Tensor, sources: int, count: int, penalty: float) -> Tensor:
    """(n, n) → (n, count), the leading ones first."""
    from scipy.linalg import eigh

    n = len(kernel)
    k = kernel.numpy()
    side = np.where(np.arange(n) < sources, 1 / sources, -1 / (n - sources))
    mean = k @ side
    centred = k - k.mean(axis=0)
    _, vectors = eigh(
        centred.T @ centred, np.outer(mean, mean) + penalty * np.eye(n), subset_by_index=[n - count, n - 1]
    )
    return torch.from_numpy(vectors).flip(1)
