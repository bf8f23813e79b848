"""Augmentations along the last axis: time, or the features of a channel."""

import torch
from torch import Tensor

from affect.augmentation.base import Augmentation, Share


def hide_run(x: Tensor, dim: int, share: float) -> Tensor:
    """Zero (the mean of a normalised stream) over a run of random place and length along `dim`, one per row.

    Args:
        x: (B, C, T).
        dim: 1 or 2.
        share: longest run, as a share of all; all lengths up to it are equally likely.
    """
    size = x.shape[dim]
    length = torch.rand(len(x), 1, device=x.device) * share * size
    start = torch.rand(len(x), 1, device=x.device) * (size - length)
    middle = torch.arange(size, device=x.device) + 0.5  # of each sample, so that the first is hidden like the last
    hidden = (middle >= start) & (middle < start + length)
    return x.masked_fill(hidden.unsqueeze(3 - dim), 0.0)


class TimeMask(Augmentation):
    """A run of samples is 0 in all channels.

    Args:
        share: longest run, as a share of the window; all lengths up to it are equally likely.
    """

    def __init__(self, share: Share = 0.2) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) → (B, C, T)."""
        self.expect(x, "BCT")
        return hide_run(x, 2, self.share)


class TimeShift(Augmentation):
    """The window is rolled: what leaves at one end comes in at the other, in all channels alike.

    Args:
        share: longest shift, as a share of the window, to either side.
    """

    def __init__(self, share: Share = 0.2) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) → (B, C, T)."""
        self.expect(x, "BCT")
        size = x.shape[2]
        shift = ((2 * torch.rand(len(x), 1, device=x.device) - 1) * self.share * size).round().long()
        index = (torch.arange(size, device=x.device) - shift) % size
        return x.gather(2, index[:, None].expand_as(x))
