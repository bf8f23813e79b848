"""The contract of an augmentation."""

from abc import ABC, abstractmethod
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

Share = Annotated[float, Field(ge=0, lt=1)]
"""0 ≤ share < 1; 0 switches it off."""


class Augmentation(nn.Module, ABC):
    """Windows → windows that mean the same. To add one: subclass this, name it in YAML by its class path.

    Works on normalised streams, in which 0 is the mean; draws from torch's global generator, a draw for each row.
    It acts whenever it is called, in training or not: who calls it decides.
    """

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) samples, (B, C, F) features or (B, 3, T, H, W) pictures → the same shape, a new tensor.

        Raises:
            ValueError: of a kind it cannot take.
        """

    def expect(self, x: Tensor, axes: str) -> None:
        """Refuse what has other axes than these, a letter each: "BCT"."""
        if x.ndim != len(axes):
            raise ValueError(f"{type(self).__name__} takes ({', '.join(axes)}), not {tuple(x.shape)}")
