"""Encoders of faces."""

from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from affect.batch import StreamShape
from affect.encoders.backbone import Prepare, TimmEncoder
from affect.encoders.base import Share


class TimmFace(TimmEncoder):
    """Each picture of a face through a network of timm; what it makes of them is pooled over time.

    Takes pictures as they are, 0 … 255: the mean and deviation the backbone was trained with are applied here. Its
    BatchNorm keeps its published running statistics, in training too (see TimmEncoder).

    Args:
        backbone: any name timm knows, with or without a tag, for example tf_efficientnet_lite0.in1k.
        pooling: `mean` does not see the order of pictures; neither does `attention`, which learns how much each counts.
        size: pixels pictures are resized to; None: those the backbone was published for. A smaller size costs less.
        dropout: on the embedding.
    """

    native = True

    def __init__(
        self,
        shape: StreamShape,
        backbone: str = "tf_efficientnet_lite0",
        pooling: Literal["mean", "attention"] = "mean",
        size: PositiveInt | None = None,
        dropout: Share = 0.0,
    ) -> None:
        if shape.size is None:
            raise ValueError(f"{len(shape.channels)} channels of samples, no pictures: FaceCrops makes them of a film")
        super().__init__(shape, backbone, 3, size)
        self.prepare = Prepare(self.backbone, size)
        self.pool = AttentionPooling(self.out_dim) if pooling == "attention" else MeanPooling()
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, T, H, W), 0 … 255 → (B, D)."""
        frames = self.backbone(self.prepare(x.transpose(1, 2).flatten(0, 1)))  # (B·T, D)
        embedding: Tensor = self.dropout(self.pool(frames.unflatten(0, (x.shape[0], x.shape[2]))))
        return embedding


class MeanPooling(nn.Module):
    """(B, T, D) → (B, D): every moment counts the same."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=1)


class AttentionPooling(nn.Module):
    """(B, T, D) → (B, D): a mean over time with learned weights, softmax(wᵀ tanh(V x)) (Ilse et al., ICML 2018).

    Args:
        width: D.
        hidden: rows of V.
    """

    def __init__(self, width: int, hidden: int = 64) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(width, hidden), nn.Tanh(), nn.Linear(hidden, 1, bias=False))

    def weights(self, x: Tensor) -> Tensor:
        """(B, T), summing to 1 over time."""
        weights: Tensor = self.score(x).squeeze(2).softmax(dim=1)
        return weights

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("bt,btd->bd", self.weights(x), x)
