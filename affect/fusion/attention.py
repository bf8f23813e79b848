"""Fusion by attention between streams, and the layer of attention for it."""

from collections.abc import Mapping

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from affect.fusion.base import Fusion
from affect.fusion.presence import masked_softmax, present_mean, visible


class AttentionLayer(nn.Module):
    """Multi-head attention and a feed-forward part, each with LayerNorm before and the input added after.

    Attention is written out: with a handful of tokens nothing is gained by a fused kernel, and a token that may look
    at nothing takes in nothing, where common kernels give NaN.

    Args:
        width: of a token.
        heads: must divide `width`.

    Raises:
        ValueError: it does not.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"out = {width} must be a multiple of heads = {heads}")
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.collect = nn.Linear(width, width)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, tokens: Tensor, looks_at: Tensor | None = None) -> Tensor:
        """(B, N, D) tokens, (B, N, N) bool: row looks at column, default all at all → (B, N, D)."""
        split = self.query_key_value(self.norm(tokens)).unflatten(2, (3, self.heads, -1))  # (B, N, 3, H, D/H)
        query, key, value = split.transpose(1, 3).unbind(dim=2)  # (B, H, N, D/H) each
        scores = query @ key.transpose(2, 3) / query.shape[-1] ** 0.5
        attention = scores.softmax(dim=3) if looks_at is None else masked_softmax(scores, looks_at.unsqueeze(1), dim=3)
        tokens = tokens + self.collect((attention @ value).transpose(1, 2).flatten(2))
        after: Tensor = tokens + self.feed_forward(tokens)
        return after


class CrossModalAttention(Fusion):
    """Each stream asks the others and adds what they answer; then the mean over the present streams.

    After the crossmodal attention of Tsai et al. (ACL 2019), which goes between sequences: here a stream is one token,
    and one layer of attention serves all ordered pairs of streams. A stream never asks itself or a missing one; alone
    it is only transformed. A row without streams is 0. Streams are weighed alike in the end, so there are no shares.

    Args:
        out: D.
        heads: of attention; must divide `out`.
    """

    def __init__(self, dims: Mapping[str, int], out: PositiveInt = 64, heads: PositiveInt = 4) -> None:
        super().__init__(dims)
        self.out_dim = out
        self.project = nn.ModuleDict({name: nn.Linear(dim, out) for name, dim in dims.items()})
        self.layer = AttentionLayer(out, heads)
        self.norm = nn.LayerNorm(out)

    def forward(self, embeddings: Mapping[str, Tensor], present: Tensor) -> Tensor:
        """{stream: (B, D_m)}, (B, M) bool → (B, D)."""
        seen = visible(embeddings, present, self.dims)
        tokens = torch.stack([layer(e) for layer, e in zip(self.project.values(), seen, strict=True)], dim=1)
        others = ~torch.eye(len(self.dims), dtype=torch.bool, device=present.device)
        return present_mean(self.norm(self.layer(tokens, others & present.unsqueeze(1))), present)
