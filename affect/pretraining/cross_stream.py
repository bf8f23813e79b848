"""Contrastive learning between streams."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from affect.augmentation.base import Augmentation
from affect.batch import Batch, StreamShape
from affect.encoders.base import Encoder
from affect.pretraining.base import Objective
from affect.pretraining.contrast import Projection, info_nce


class CrossStream(Objective):
    """What one stream says of a moment is found by what another says of it, among other moments.

    Symmetric InfoNCE, as in CLIP (Radford et al., ICML 2021), over all pairs of streams; the objective is the mean
    over pairs. The positive is the same window of the same person; windows of the same trial are no negatives, since
    they may overlap and resemble each other. Nothing is augmented unless augmentations are given.

    Args:
        projection: P of the heads the choice is made on, one for each stream.
        temperature: τ.

    Raises:
        ValueError: fewer than two streams.
    """

    def __init__(
        self,
        shapes: Mapping[str, StreamShape],
        dims: Mapping[str, int],
        augmentations: Mapping[str, Sequence[Augmentation]],
        projection: PositiveInt = 64,
        temperature: PositiveFloat = 0.1,
    ) -> None:
        super().__init__(shapes, dims, augmentations)
        if len(dims) < 2:
            raise ValueError(f"{', '.join(dims) or 'no stream'}: CrossStream compares streams and needs two or more")
        self.temperature = temperature
        self.heads = nn.ModuleDict({name: Projection(dim, projection) for name, dim in dims.items()})

    def forward(self, encoders: Mapping[str, Encoder], batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        seen = {name: self.view(name, batch) for name in self.dims}
        points = {name: head(encoders[name](seen[name][0])) for name, head in self.heads.items()}
        losses: list[Tensor] = []
        numbers: dict[str, Tensor] = {}
        for a, b in combinations(self.dims, 2):
            both = seen[a][1] & seen[b][1]
            found = info_nce(points[a], points[b], both, batch.trial, self.temperature)
            losses.append(found.pop("choice"))
            numbers |= {f"{kind}_{a}_{b}": value for kind, value in found.items()}
        return torch.stack(losses).mean(), numbers
