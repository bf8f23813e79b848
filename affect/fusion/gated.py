"""Fusion by gates."""

from collections.abc import Mapping

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from affect.fusion.base import Fusion
from affect.fusion.presence import masked_softmax, visible


class Gated(Fusion):
    """A gated multimodal unit (Arevalo et al. 2017, arXiv:1702.01992): which stream speaks is decided unit by unit.

    Each unit is Σ_m z_m · tanh(W_m e_m). The paper's gates for two streams, z and 1 − z, are a softmax over two; here
    it goes over the streams present, of scores that see all embeddings and who is present. A row without streams is 0.

    Args:
        out: units, D.
    """

    def __init__(self, dims: Mapping[str, int], out: PositiveInt = 64) -> None:
        super().__init__(dims)
        self.out_dim = out
        self.project = nn.ModuleDict({name: nn.Linear(dim, out) for name, dim in dims.items()})
        self.score = nn.Linear(sum(dims.values()) + len(dims), len(dims) * out)

    def forward(self, embeddings: Mapping[str, Tensor], present: Tensor) -> Tensor:
        """{stream: (B, D_m)}, (B, M) bool → (B, D)."""
        seen = visible(embeddings, present, self.dims)
        values = torch.stack([layer(e).tanh() for layer, e in zip(self.project.values(), seen, strict=True)], dim=1)
        return (self._gates(seen, present) * values).sum(dim=1)

    def shares(self, embeddings: Mapping[str, Tensor], present: Tensor) -> Tensor:
        """(B, M) each stream's gates, mean over units."""
        return self._gates(visible(embeddings, present, self.dims), present).mean(dim=2)

    def _gates(self, seen: list[Tensor], present: Tensor) -> Tensor:
        """(B, M, D), summing to 1 over the present streams."""
        scores = self.score(torch.cat([*seen, present.to(seen[0].dtype)], dim=1))
        return masked_softmax(scores.unflatten(1, (len(self.dims), self.out_dim)), present.unsqueeze(2), dim=1)
