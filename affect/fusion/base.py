"""The contract of a fusion."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn


class Fusion(nn.Module, ABC):
    """Embeddings of M streams, any of which may be missing in any row → one embedding.

    What stands in the embedding of a missing stream must not matter. A row may lack every stream.

    Args:
        dims: stream name → D_m, in the order of the presence mask.

    Attributes:
        out_dim: D, set by the subclass.
    """

    out_dim: int
    decides: ClassVar[bool] = False
    """Fuses what a head of each stream decides, by `shares`; its embedding is for alignments only."""

    def __init__(self, dims: Mapping[str, int]) -> None:
        super().__init__()
        self.dims = dict(dims)

    @abstractmethod
    def forward(self, embeddings: Mapping[str, Tensor], present: Tensor) -> Tensor:
        """{stream: (B, D_m)}, (B, M) bool → (B, D)."""

    def shares(self, embeddings: Mapping[str, Tensor], present: Tensor) -> Tensor | None:
        """(B, M) how much of the result comes from each stream, 0 where it is missing, summing to 1 in each row that
        has a stream; None where the fusion has no such weights or gates."""
        return None
