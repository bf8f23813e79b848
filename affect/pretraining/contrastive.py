"""Contrastive learning of each stream by itself."""

from collections.abc import Mapping, Sequence

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from affect.augmentation.base import Augmentation
from affect.augmentation.channels import ChannelDrop, Noise, Scale
from affect.augmentation.picture import PictureJitter
from affect.augmentation.time import TimeMask, TimeShift
from affect.batch import Batch, StreamShape
from affect.encoders.base import Encoder
from affect.pretraining.base import Objective
from affect.pretraining.contrast import Projection, nt_xent


class Contrastive(Objective):
    """SimCLR (Chen et al., ICML 2020): two augmentations of a window are told from those of all other windows.

    Each stream has a loss of its own; the objective is their mean. Streams without augmentations of their own get:
    pictures `PictureJitter`; samples `TimeShift`, `Scale`, `TimeMask`, `ChannelDrop`, none of which asks for a unit;
    features and stills `Noise`, `ChannelDrop`.

    Args:
        projection: P of the head the choice is made on.
        temperature: τ.
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
        self.temperature = temperature
        self.heads = nn.ModuleDict({name: Projection(dim, projection) for name, dim in dims.items()})

    def usual(self, shape: StreamShape) -> Sequence[Augmentation]:
        if shape.size:
            return (PictureJitter(),)
        if not shape.rate:
            return Noise(), ChannelDrop()
        return TimeShift(), Scale(), TimeMask(), ChannelDrop()

    def forward(self, encoders: Mapping[str, Encoder], batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        losses: list[Tensor] = []
        numbers: dict[str, Tensor] = {}
        for name, head in self.heads.items():
            (first, here), (second, _) = self.view(name, batch), self.view(name, batch)
            a, b = head(encoders[name](torch.cat([first, second]))).chunk(2)
            found = nt_xent(a, b, here, self.temperature)
            losses.append(found.pop("choice"))
            numbers |= {f"{kind}_{name}": value for kind, value in found.items()}
        return torch.stack(losses).mean(), numbers
