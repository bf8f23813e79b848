"""The contract of a fusion."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor, nn


class Fusion(nn.Module, ABC):
    """Embeddings of M streams, any of which may be missing in any row → one embedding.

    Args:
        dims: stream name → D_m, in the order of the presence mask.

    Attributes:
        out_dim: D, set by the subclass.
    """

    out_dim: int

    def __init__(self, dims: Mapping[str, int]) -> None:
        super().__init__()
        self.dims = dict(dims)

    @abstractmethod
    def forward(self, embeddings: Mapping[str, Tensor], present: Tensor) -> Tensor:
        """{stream: (B, D_m)}, (B, M) bool → (B, D)."""
