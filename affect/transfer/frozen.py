"""Encoders that stay as they are: features for what learns behind them."""

from typing import Any

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from affect.batch import StreamShape
from affect.encoders.base import Encoder, Share
from affect.transfer.base import Part, Transfer


class FrozenEncoder(Encoder):
    """An encoder that never learns, always as in testing, and what learns on its embedding.

    Its windows are embedded once, before training, and the embeddings are normalised like any features: where a fold
    may use a person's own unlabelled statistics, they are those of the embedding.

    Args:
        encoder: with its weights.
        behind: what learns; None passes the embedding on.
        out: D behind it.

    Attributes:
        embedded: whether a batch already holds (B, 1, D) embeddings for this stream; set by who embeds.
    """

    def __init__(self, encoder: Encoder, behind: nn.Module | None = None, out: int | None = None) -> None:
        super().__init__(StreamShape((), 0, None))
        self.encoder = encoder.requires_grad_(False).eval()
        self.behind = behind or nn.Identity()
        self.out_dim = out or encoder.out_dim
        self.embedded = False

    def train(self, mode: bool = True) -> "FrozenEncoder":
        super().train(mode)
        self.encoder.eval()
        return self

    def embed(self, x: Tensor) -> Tensor:
        """(B, …) of the stream → (B, D)."""
        with torch.no_grad():
            embedding: Tensor = self.encoder(x)
        return embedding

    def forward(self, x: Tensor) -> Tensor:
        """(B, …) of the stream, or (B, 1, D) embeddings when `embedded` → (B, D)."""
        embedding: Tensor = self.behind(x.flatten(1) if self.embedded else self.embed(x))
        return embedding

    def blocks(self) -> list[nn.Module]:
        return [self.behind]


class LinearProbe(Transfer):
    """The encoder stays as it is and nothing learns before the fusion: a linear head reads its embedding."""

    def attach(self, encoder: Encoder) -> Encoder:
        return FrozenEncoder(encoder)

    def parts(self, encoder: Encoder) -> list[Part]:
        return []


class Frozen(Transfer):
    """The encoder stays as it is; a perceptron with one hidden layer learns on its embedding.

    Args:
        out: D behind the hidden layer.
        input_dropout, dropout: share of the embedding and of the hidden units dropped in training.
    """

    def __init__(self, out: PositiveInt = 64, input_dropout: Share = 0.2, dropout: Share = 0.5) -> None:
        self.out, self.input_dropout, self.dropout = out, input_dropout, dropout

    def attach(self, encoder: Encoder) -> Encoder:
        layers: list[Any] = [nn.Dropout(self.input_dropout), nn.Linear(encoder.out_dim, self.out), nn.GELU()]
        return FrozenEncoder(encoder, nn.Sequential(*layers, nn.Dropout(self.dropout)), self.out)

    def parts(self, encoder: Encoder) -> list[Part]:
        assert isinstance(encoder, FrozenEncoder)
        return [Part(list(encoder.behind.parameters()))]
