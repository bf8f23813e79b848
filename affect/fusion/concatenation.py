"""Fusion by concatenation."""

from collections.abc import Mapping

import torch
from torch import Tensor

from affect.fusion.base import Fusion
from affect.fusion.presence import visible


class Concatenation(Fusion):
    """All embeddings side by side; a missing stream is a block of zeros."""

    def __init__(self, dims: Mapping[str, int]) -> None:
        super().__init__(dims)
        self.out_dim = sum(dims.values())

    def forward(self, embeddings: Mapping[str, Tensor], present: Tensor) -> Tensor:
        """{stream: (B, D_m)}, (B, M) bool → (B, ΣD_m)."""
        return torch.cat(visible(embeddings, present, self.dims), dim=1)
