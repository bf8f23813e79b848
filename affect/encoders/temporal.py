"""A plain convolutional net over time."""

from typing import Literal

from pydantic import PositiveInt
from torch import Tensor, nn

from affect.batch import StreamShape
from affect.encoders.base import Encoder, Share


class TemporalCNN(Encoder):
    """The 1-D CNN of AdaTime (Ragab et al., ACM TKDD 17(8), 2023), whose figures it is there to be compared with.

    Three blocks of convolution, normalisation, ReLU and max-pooling by two, with `width`, 2 · `width` and 2 · `width`
    filters; the mean over time is the embedding, D = 2 · `width`. ResidualNet is the usual choice for a signal of any
    rate and length.

    Args:
        width: filters of the first block.
        kernel, stride: of the first block, in samples; the others have kernels of 8. AdaTime takes 5 and 1 for UCI HAR,
            25 and 6 for EEG.
        dropout: after the first block.
        norm: `group`: GroupNorm, a window's embedding depends on that window alone. `batch`: BatchNorm as in the
            paper's code: in training, source windows are normalised by theirs and target windows, if there are any, by
            theirs; the running statistics follow both in turn.
    """

    reads = "samples"

    def __init__(
        self,
        shape: StreamShape,
        width: PositiveInt = 64,
        kernel: PositiveInt = 5,
        stride: PositiveInt = 1,
        dropout: Share = 0.5,
        norm: Literal["group", "batch"] = "group",
    ) -> None:
        super().__init__(shape)
        self.out_dim, self.apart = 2 * width, norm == "batch"
        self.first = nn.Sequential(*_block(len(shape.channels), width, kernel, stride, norm), nn.Dropout(dropout))
        self.second = nn.Sequential(*_block(width, 2 * width, 8, 1, norm))
        self.third = nn.Sequential(*_block(2 * width, 2 * width, 8, 1, norm))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) → (B, D)."""
        embedding: Tensor = self.third(self.second(self.first(x))).mean(dim=2)
        return embedding


def _block(channels: int, filters: int, kernel: int, stride: int, norm: str) -> list[nn.Module]:
    """(B, channels, T) → (B, filters, about T / 2)."""
    return [
        nn.Conv1d(channels, filters, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm1d(filters) if norm == "batch" else nn.GroupNorm(8 if filters % 8 == 0 else 1, filters),
        nn.ReLU(),
        nn.MaxPool1d(2, 2, padding=1),
    ]
