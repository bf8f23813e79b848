"""The contract of an augmentation."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Augmentation(nn.Module, ABC):
    """Windows → windows that mean the same. To add one: subclass this, name it in YAML by its class path.

    Works on normalised streams, in which 0 is the mean; draws from torch's global generator, a draw for each row.
    """

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) samples, (B, C, F) features or (B, 3, T, H, W) pictures → the same shape, a new tensor."""
