"""Encoders of spectrograms around published networks of pictures."""

from pydantic import PositiveInt
from torch import Tensor, nn

from affect.batch import StreamShape
from affect.encoders.backbone import TimmEncoder, resize, sides
from affect.encoders.base import Share


class TimmSpectrogram(TimmEncoder):
    """A log-mel spectrogram as one grey picture, resized to a square, through a network of timm.

    Takes it normalised, about the mean and deviation that such networks expect of pictures. Weights published for three
    channels are summed over them in the first layer, as if the grey picture stood in each. BatchNorm keeps its
    published running statistics, in training too (see TimmEncoder); the default backbone has none.

    Args:
        backbone: any name timm knows, with or without a tag.
        size: pixels of both sides; None: those the backbone was published for.
        dropout: on the embedding.
    """

    def __init__(
        self,
        shape: StreamShape,
        backbone: str = "convnext_atto",
        size: PositiveInt | None = 128,
        dropout: Share = 0.0,
    ) -> None:
        if shape.size is not None:
            raise ValueError("pictures, no spectrogram: LogMel makes one of a waveform; for pictures take TimmFace")
        super().__init__(shape, backbone, 1, size)
        self.sides = sides(self.backbone.pretrained_cfg["input_size"], size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, bands, frames) → (B, D)."""
        embedding: Tensor = self.dropout(self.backbone(resize(x.unsqueeze(1), self.sides)))
        return embedding
