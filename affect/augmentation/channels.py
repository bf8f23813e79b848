"""Augmentations of amplitude and of channels."""

import math

import torch
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor

from affect.augmentation.base import Augmentation, Share


class ChannelDrop(Augmentation):
    """Channels are 0, each with the same chance; one is always left.

    Args:
        share: chance of a channel to be dropped.
    """

    def __init__(self, share: Share = 0.2) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) or (B, C, F) → the same shape."""
        self.expect(x, "BCT")
        luck = torch.rand(len(x), x.shape[1], 1, device=x.device)
        return x.masked_fill((luck < self.share) & (luck < luck.amax(dim=1, keepdim=True)), 0.0)


class Noise(Augmentation):
    """White Gaussian noise. Of a stream in its native unit it knows nothing: give it normalised ones.

    Args:
        level: standard deviation, in that of the normalised stream.
    """

    def __init__(self, level: NonNegativeFloat = 0.1) -> None:
        super().__init__()
        self.level = level

    def forward(self, x: Tensor) -> Tensor:
        """Any (B, …) → the same shape."""
        return x + self.level * torch.randn_like(x)


class Scale(Augmentation):
    """Everything in a row times one factor, its logarithm evenly spread.

    Args:
        range: lowest and highest factor.
    """

    def __init__(self, range: tuple[PositiveFloat, PositiveFloat] = (0.8, 1.25)) -> None:
        super().__init__()
        low, high = range
        if not 0 < low <= high < math.inf:
            raise ValueError(f"range ({low}, {high}): two positive factors, the lower first")
        self.low, self.high = math.log(low), math.log(high)

    def forward(self, x: Tensor) -> Tensor:
        """Any (B, …) → the same shape."""
        luck = torch.rand(len(x), *[1] * (x.ndim - 1), device=x.device)
        return x * (self.low + (self.high - self.low) * luck).exp().to(x.dtype)
