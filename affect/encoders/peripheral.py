"""Encoders of peripheral physiology."""

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from affect.batch import StreamShape
from affect.encoders.base import Encoder, Share


class ResidualNet(Encoder):
    """A 1-D residual net (He et al., ECCV 2016, pre-activation) on a raw signal of any rate and length.

    The first convolution takes strides in seconds, so a skin conductance at 4 Hz and a pulse at 128 Hz pass the same
    layers; each residual block halves time where there is time left. What is told of a window are mean and deviation
    over time, of the signal itself and of the last block: with few people the plain statistics carry much.

    Args:
        width: channels of the convolutions.
        depth: residual blocks.
        kernel_seconds: length of the first convolution; at least 3 samples.
        stride_seconds: its step; at least 1 sample.
        out: D.
        dropout: on the statistics and on the embedding.

    Raises:
        ValueError: a window of one sample, which has no course over time.
    """

    reads = "samples"

    def __init__(
        self,
        shape: StreamShape,
        width: PositiveInt = 32,
        depth: PositiveInt = 3,
        kernel_seconds: PositiveFloat = 0.25,
        stride_seconds: PositiveFloat = 0.0625,
        out: PositiveInt = 64,
        dropout: Share = 0.3,
    ) -> None:
        super().__init__(shape)
        assert shape.rate is not None, "reads samples"
        if shape.length < 2:
            raise ValueError(f"windows of {shape.length} sample have no course over time: take an encoder of features")
        channels = len(shape.channels)
        half = max(1, round(kernel_seconds * shape.rate / 2))
        stride = min(max(1, round(stride_seconds * shape.rate)), 2 * half + 1)  # every sample is seen
        self.out_dim = out
        self.stem = nn.Conv1d(channels, width, 2 * half + 1, stride, padding=half)
        self.residual = nn.Sequential(*(_Block(width) for _ in range(depth)))
        self.project = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(2 * channels + 2 * width, out), nn.GELU(), nn.Dropout(dropout)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) → (B, D)."""
        y = self.residual(self.stem(x))
        embedding: Tensor = self.project(torch.cat([_statistics(x), _statistics(y)], dim=1))
        return embedding

    def blocks(self) -> list[nn.Module]:
        return [self.stem, *self.residual, self.project]


class _Block(nn.Module):
    """(B, C, T) → (B, C, ⌈T / 2⌉)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        groups = 8 if width % 8 == 0 else 1
        self.layers = nn.Sequential(
            nn.GroupNorm(groups, width),
            nn.GELU(),
            nn.Conv1d(width, width, 3, padding=1),
            nn.GroupNorm(groups, width),
            nn.GELU(),
            nn.Conv1d(width, width, 3, padding=1),
        )
        self.halve = nn.AvgPool1d(2, ceil_mode=True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.halve(x + self.layers(x))
        return out


def _statistics(x: Tensor) -> Tensor:
    """(B, C, T) → (B, 2C): mean and standard deviation over time."""
    return torch.cat([x.mean(dim=2), (x.var(dim=2, unbiased=False) + 1e-6).sqrt()], dim=1)
