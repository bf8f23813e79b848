"""Augmentations of pictures."""

import torch
from pydantic import NonNegativeFloat
from torch import Tensor

from affect.augmentation.base import Augmentation, Share


class PictureJitter(Augmentation):
    """Half of the rows are mirrored; brightness and contrast change; all pictures of a row alike.

    Both are measured by the row's own mean and standard deviation, so that pictures may be on any scale, 0 … 255 or
    normalised. What leaves the scale is not cut off.

    Args:
        brightness: largest shift to either side, in standard deviations of the row.
        contrast: largest change of the contrast to either side: 0.2 is 0.8 … 1.2 times.
    """

    def __init__(self, brightness: NonNegativeFloat = 0.2, contrast: Share = 0.2) -> None:
        super().__init__()
        self.brightness, self.contrast = brightness, contrast

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, T, H, W) → the same shape."""
        self.expect(x, "BCTHW")
        mirrored, shift, change = torch.rand(3, len(x), 1, 1, 1, 1, device=x.device)
        everything = (1, 2, 3, 4)
        mean = x.mean(dim=everything, keepdim=True)
        deviation = x.var(dim=everything, unbiased=False, keepdim=True).sqrt()
        x = torch.where(mirrored < 0.5, x.flip(-1), x)
        contrast = 1 + self.contrast * (2 * change - 1).to(x.dtype)
        changed: Tensor = mean + self.brightness * (2 * shift - 1).to(x.dtype) * deviation + contrast * (x - mean)
        return changed
