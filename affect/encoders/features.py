"""Encoders of features."""

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
    """

    def __init__(
        self,
        shape: StreamShape,
        hidden: PositiveInt = 128,
        out: PositiveInt = 64,
        input_dropout: Share = 0.2,
        dropout: Share = 0.5,
    ) -> None:
        super().__init__(shape)
        self.out_dim = out
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Dropout(input_dropout),
            nn.Linear(len(shape.channels) * shape.length, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, out),
            nn.GELU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        embedding: Tensor = self.layers(x)
        return embedding
