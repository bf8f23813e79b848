"""Augmentations of spectrograms."""

from torch import Tensor

from affect.augmentation.base import Augmentation, Share
from affect.augmentation.time import hide_run


class SpecAugment(Augmentation):
    """A run of bands and a run of frames are hidden (Park et al., Interspeech 2019), one of each, without warping.

    Args:
        bands, frames: longest hidden run, as a share of all; 0 switches it off.
    """

    def __init__(self, bands: Share = 0.15, frames: Share = 0.15) -> None:
        super().__init__()
        self.bands, self.frames = bands, frames

    def forward(self, x: Tensor) -> Tensor:
        """(B, bands, frames) → the same shape."""
        self.expect(x, "BCT")
        return hide_run(hide_run(x, 1, self.bands), 2, self.frames)
