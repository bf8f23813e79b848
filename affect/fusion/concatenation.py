"""Fusion by concatenation."""

from collections.abc import Mapping

import torch
from torch import Tensor

from affect.fusion.base import Fusion


class Concatenation(Fusion):
    """All embeddings side by side; a missing stream is a block of zeros."""

    def __init__(self, dims: Mapping[str, int]) -> None:
        super().__init__(dims)
        self.out_dim = sum(dims.values())

    def forward(self, embeddings: Mapping[str, Tensor], present: Tensor) -> Tensor:
        """{stream: (B, D_m)}, (B, M) bool → (B, ΣD_m)."""
        blocks = [embeddings[name] * present[:, i : i + 1] for i, name in enumerate(self.dims)]
        return torch.cat(blocks, dim=1)
