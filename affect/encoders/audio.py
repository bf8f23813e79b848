"""Encoders of voice."""

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from affect.augmentation.spectrum import SpecAugment
from affect.batch import StreamShape
from affect.encoders.base import Encoder, Share


class LogMelCNN(Encoder):
    """A shallow CNN over time on log-mel bands whose output is summed up by statistics, not by its last frame.

    Mean and deviation over time of the bands themselves stand beside those of the convolutions: with few voices,
    long-term statistics carry most of what is there to learn. In training, SpecAugment (Park et al. 2019) hides a
    run of bands and a run of frames in every window.

    Args:
        width: channels of the convolutions.
        out: D.
        dropout: on the pooled statistics.
        mask_bands, mask_frames: longest hidden run, as a share of all; 0 switches it off.
    """

    reads = "samples"

    def __init__(
        self,
        shape: StreamShape,
        width: PositiveInt = 64,
        out: PositiveInt = 128,
        dropout: Share = 0.5,
        mask_bands: Share = 0.15,
        mask_frames: Share = 0.15,
    ) -> None:
        super().__init__(shape)
        bands = len(shape.channels)
        self.out_dim = out
        self.augment = SpecAugment(mask_bands, mask_frames)
        self.convolutions = nn.Sequential(
            nn.Conv1d(bands, width, 5, stride=2, padding=2),
            nn.GroupNorm(8 if width % 8 == 0 else 1, width),
            nn.GELU(),
            nn.Conv1d(width, width, 5, stride=2, padding=2),
            nn.GroupNorm(8 if width % 8 == 0 else 1, width),
            nn.GELU(),
        )
        self.project = nn.Sequential(
            nn.Dropout(dropout / 2),
            nn.Linear(2 * bands + 2 * width, out),
            nn.GELU(),
            nn.Dropout(dropout),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, bands, frames) → (B, D)."""
        if self.training:
            x = self.augment(x)
        embedding: Tensor = self.project(torch.cat([_statistics(x), _statistics(self.convolutions(x))], dim=1))
        return embedding


def _statistics(x: Tensor) -> Tensor:
    """(B, C, T) → (B, 2C): mean and standard deviation over time."""
    return torch.cat([x.mean(dim=2), (x.var(dim=2, unbiased=False) + 1e-6).sqrt()], dim=1)
