"""TSception: several lengths of time, the two sides of the head."""

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, pad

from affect.batch import StreamShape
from affect.encoders.base import Encoder, Share
from affect.encoders.eeg import Mixing, at_every_place
from affect.encoders.electrodes import mirrored

SECONDS = (1 / 2, 1 / 4, 1 / 8)
"""Lengths of the temporal kernels, as in the paper."""


class TSception(Encoder):
    """TSception (Ding et al., IEEE Trans. Affective Computing 2022) with GroupNorm for BatchNorm.

    Temporal filters of 1/2, 1/4 and 1/8 s on every electrode; then spatial filters over the whole cap, and others over
    one hemisphere that see left and right alike; then a layer that weighs cap, left and right against each other, and
    the mean over time. Sides are told by the electrodes' names; those on the midline, or without a partner, are seen by
    the whole cap's filters only. Windows are padded with zeros and may be shorter than a filter.

    Args:
        temporal: filters of each length.
        spatial: filters of the cap, and of a hemisphere.
        out: D.
        dropout: on the embedding.

    Raises:
        ValueError: no electrode has its partner on the other side.
    """

    reads = "samples"
    left: Tensor
    right: Tensor

    def __init__(
        self,
        shape: StreamShape,
        temporal: PositiveInt = 6,
        spatial: PositiveInt = 12,
        out: PositiveInt = 32,
        dropout: Share = 0.5,
    ) -> None:
        super().__init__(shape)
        assert shape.rate is not None, "reads samples"
        left, right = mirrored(shape.channels)
        self.register_buffer("left", torch.tensor(left), persistent=False)
        self.register_buffer("right", torch.tensor(right), persistent=False)
        self.out_dim = out
        self.pool = max(1, min(round(shape.rate / 16), shape.length))
        half = [max(1, round(seconds * shape.rate / 2)) for seconds in SECONDS]
        self.filters = nn.ParameterList(
            [torch.empty(temporal, 2 * h + 1).uniform_(-1, 1) / (2 * h + 1) ** 0.5 for h in half]
        )
        self.norm_time = nn.GroupNorm(1, temporal)
        self.cap = Mixing(temporal * len(shape.channels), spatial)
        self.hemisphere = Mixing(temporal * len(left), spatial)
        self.norm_space = nn.GroupNorm(1, 3 * spatial)
        self.fuse = Mixing(3 * spatial, spatial)
        self.norm_fused = nn.GroupNorm(1, spatial)
        self.project = nn.Sequential(nn.Linear(spatial, out), nn.GELU(), nn.Dropout(dropout))

    def forward(self, x: Tensor) -> Tensor:
        y = self._over_time(x)  # (B, lengths × filters, C, T')
        # As in the paper the lengths follow each other in time, and share the filters over space.
        y = self.norm_time(y.reshape(len(y), len(SECONDS), -1, *y.shape[2:]).permute(0, 2, 3, 1, 4).flatten(3))
        sides = [y.index_select(2, side).flatten(1, 2) for side in (self.left, self.right)]
        y = torch.cat([self.cap(y.flatten(1, 2)), *(self.hemisphere(side) for side in sides)], dim=1)
        y = self.norm_fused(leaky_relu(self.fuse(self.norm_space(leaky_relu(y)))))
        embedding: Tensor = self.project(y.mean(dim=2))
        return embedding

    def _over_time(self, x: Tensor) -> Tensor:
        """(B, C, T) → (B, lengths × filters, C, T'), rectified and averaged over 1/16 s.

        One matrix product: frames of the signal that overlap by a filter, times every filter at every place in a frame.
        """
        longest = self.filters[0].shape[1]
        step = self.pool * max(1, longest // (4 * self.pool))
        bank = torch.cat([pad(f, 2 * [(longest - f.shape[1]) // 2]) for f in self.filters])
        frames = pad(x, (longest // 2, longest // 2 + step - 1)).unfold(2, longest + step - 1, step)
        y = leaky_relu(frames @ at_every_place(bank, step).flatten(0, 1).T)  # (B, C, frames, filters × step)
        y = y.reshape(*y.shape[:3], len(bank), -1, self.pool).mean(dim=5)
        pooled: Tensor = y.permute(0, 3, 1, 2, 4).flatten(3)[..., : x.shape[2] // self.pool]
        return pooled

    def blocks(self) -> list[nn.Module]:
        """Over time, over space, and what weighs them."""
        return [
            nn.ModuleList([self.filters, self.norm_time]),
            nn.ModuleList([self.cap, self.hemisphere, self.norm_space]),
            nn.ModuleList([self.fuse, self.norm_fused, self.project]),
        ]
