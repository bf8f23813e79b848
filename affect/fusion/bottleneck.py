"""Fusion through an attention bottleneck."""

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from affect.fusion.attention import AttentionLayer
from affect.fusion.base import Fusion
from affect.fusion.presence import present_mean, visible


class AttentionBottleneck(Fusion):
    """Streams tell each other only what fits into a few tokens (Nagrani et al., NeurIPS 2021).

    In each layer, each stream's token and the bottleneck tokens attend to each other, with that stream's own weights;
    the new bottleneck is the mean of what the present streams made of it. The embedding is the mean of the present
    streams' tokens after the last layer; a row without streams is 0. In the paper a stream is a sequence of patches,
    here it is the one embedding of its encoder. Streams are weighed alike in the end, so there are no shares.

    Args:
        out: D, the width of a token.
        tokens: of the bottleneck.
        layers: 2 or more: a stream hears in one layer what the others wrote in the one before.
        heads: of attention; must divide `out`.
    """

    def __init__(
        self,
        dims: Mapping[str, int],
        out: PositiveInt = 64,
        tokens: PositiveInt = 4,
        layers: Annotated[int, Field(ge=2)] = 2,
        heads: PositiveInt = 4,
    ) -> None:
        super().__init__(dims)
        self.out_dim = out
        self.project = nn.ModuleDict({name: nn.Linear(dim, out) for name, dim in dims.items()})
        self.bottleneck = nn.Parameter(0.02 * torch.randn(tokens, out))
        self.layers = nn.ModuleList(
            nn.ModuleDict({name: AttentionLayer(out, heads) for name in dims}) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(out)

    def forward(self, embeddings: Mapping[str, Tensor], present: Tensor) -> Tensor:
        """{stream: (B, D_m)}, (B, M) bool → (B, D)."""
        seen = visible(embeddings, present, self.dims)
        streams = [layer(e).unsqueeze(1) for layer, e in zip(self.project.values(), seen, strict=True)]  # (B, 1, D)
        bottleneck = self.bottleneck.expand(len(present), -1, -1)  # (B, tokens, D)
        for layer in self.layers:
            assert isinstance(layer, nn.ModuleDict)
            after = [
                own(torch.cat([stream, bottleneck], dim=1)) for own, stream in zip(layer.values(), streams, strict=True)
            ]
            streams = [tokens[:, :1] for tokens in after]
            bottleneck = present_mean(torch.stack([tokens[:, 1:] for tokens in after], dim=1), present)
        return present_mean(self.norm(torch.cat(streams, dim=1)), present)
