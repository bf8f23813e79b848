"""Encoders of raw EEG."""

from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from affect.batch import StreamShape
from affect.encoders.base import Encoder, Share


class SpatialFirstEEGNet(Encoder):
    """EEGNet (Lawhern et al., J. Neural Eng. 2018) with the spatial filter first and GroupNorm for BatchNorm.

    EEGNet's temporal and spatial convolutions commute (nothing non-linear stands between them), and mixing 32
    channels into 16 virtual ones first makes the long temporal filters several times cheaper. Without batch
    statistics a window's embedding does not depend on its neighbours.

    Args:
        virtual: spatial filters, each with a temporal filter of its own.
        kernel_seconds: length of the temporal filters; 0.5 s as in the paper.
        pool_seconds: the embedding has one value per virtual channel and this many seconds.
        dropout: after each block.
    """

    reads = "samples"

    def __init__(
        self,
        shape: StreamShape,
        virtual: PositiveInt = 16,
        kernel_seconds: PositiveFloat = 0.5,
        pool_seconds: PositiveFloat = 0.5,
        dropout: Share = 0.5,
    ) -> None:
        super().__init__(shape)
        assert shape.rate is not None, "reads samples"
        kernel = 2 * round(kernel_seconds * shape.rate / 2) + 1
        short = 2 * (kernel // 8) + 1
        pool_1 = max(1, min(4, shape.length))
        pool_2 = max(1, min(round(pool_seconds * shape.rate / pool_1), shape.length // pool_1))
        self.out_dim = virtual * (shape.length // pool_1 // pool_2)
        self.layers = nn.Sequential(
            nn.Conv1d(len(shape.channels), virtual, 1, bias=False),  # (B, V, T)
            nn.Conv1d(virtual, virtual, kernel, padding="same", groups=virtual, bias=False),
            nn.GroupNorm(virtual // 2 if virtual % 2 == 0 else 1, virtual),
            nn.ELU(),
            nn.AvgPool1d(pool_1),
            nn.Dropout(dropout),
            nn.Conv1d(virtual, virtual, short, padding="same", groups=virtual, bias=False),
            nn.Conv1d(virtual, virtual, 1, bias=False),
            nn.GroupNorm(1, virtual),
            nn.ELU(),
            nn.AvgPool1d(pool_2),
            nn.Dropout(dropout),
            nn.Flatten(),
        )

    def forward(self, x: Tensor) -> Tensor:
        embedding: Tensor = self.layers(x)
        return embedding
