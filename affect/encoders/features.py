"""Encoders of features."""

from typing import Literal

from pydantic import PositiveInt
from torch import Tensor, nn

from affect.batch import StreamShape
from affect.encoders.base import Encoder, Share


class BandMLP(Encoder):
    """A perceptron with one hidden layer on all features of all channels, for example band powers.

    Args:
        hidden: units of the hidden layer.
        out: D.
        input_dropout, dropout: share of inputs and of hidden units dropped in training.
        norm: before the hidden layer's nonlinearity. `batch`: BatchNorm, with running statistics of whatever is in the
            training batches, for alignments that replace them.
    """

    def __init__(
        self,
        shape: StreamShape,
        hidden: PositiveInt = 128,
        out: PositiveInt = 64,
        input_dropout: Share = 0.2,
        dropout: Share = 0.5,
        norm: Literal["none", "layer", "batch"] = "none",
    ) -> None:
        super().__init__(shape)
        self.out_dim = out
        norms: dict[str, list[nn.Module]] = {
            "none": [],
            "layer": [nn.LayerNorm(hidden)],
            "batch": [nn.BatchNorm1d(hidden)],
        }
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Dropout(input_dropout),
            nn.Linear(len(shape.channels) * shape.length, hidden),
            *norms[norm],
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, out),
            nn.GELU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        embedding: Tensor = self.layers(x)
        return embedding
