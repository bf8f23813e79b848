"""The contract of an encoder."""

from abc import ABC, abstractmethod
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from affect.batch import StreamShape

Share = Annotated[float, Field(ge=0, lt=1)]
"""0 ≤ share < 1; the config is held to a signature's bounds before any data is read."""


class Encoder(nn.Module, ABC):
    """One stream → one embedding. To add one: subclass this, name it in YAML by its class path.

    Encoders hold no running batch statistics: a window's embedding depends on that window alone.

    Args:
        shape: of the stream; given by the data, never by the config.

    Attributes:
        out_dim: D, set by the subclass.
    """

    out_dim: int
    reads: ClassVar[Literal["samples", "features", "either"]] = "either"
    """What its stream must give; the config is checked against it before any data is read."""

    def __init__(self, shape: StreamShape) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) samples or (B, C, F) features → (B, D)."""
