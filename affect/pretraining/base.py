"""The contract of a self-supervised objective."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from affect.augmentation.base import Augmentation
from affect.batch import Batch, StreamShape
from affect.encoders.base import Encoder


class Objective(nn.Module, ABC):
    """A loss that encoders are trained by without labels. To add one: subclass this, name it in YAML by its class path.

    Args:
        shapes: stream name → its shape; given by the data.
        dims: stream name → D of its encoder, for the streams that are trained; given by the model.
        augmentations: stream name → what its windows go through, in order; given by `pretraining.augmentations`.
            Streams without an entry go through what the objective finds usual.

    Raises:
        ValueError: augmentations of a stream that is not trained, or that cannot take their stream.
    """

    def __init__(
        self,
        shapes: Mapping[str, StreamShape],
        dims: Mapping[str, int],
        augmentations: Mapping[str, Sequence[Augmentation]],
    ) -> None:
        super().__init__()
        self.shapes, self.dims = dict(shapes), dict(dims)
        if strange := [name for name in augmentations if name not in dims]:
            raise ValueError(f"augmentations of {', '.join(strange)}; trained streams are {', '.join(dims)}")
        self.augmentations = nn.ModuleDict(
            {name: nn.Sequential(*augmentations.get(name, self.usual(shapes[name]))) for name in dims}
        )
        for name in dims:
            self._try(name)

    @abstractmethod
    def forward(self, encoders: Mapping[str, Encoder], batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch whose labels are not looked at, and numbers for the reader, each a scalar.

        Rows whose stream is absent take no part in that stream's loss, whatever stands in them. With fewer than two
        rows to work with the loss is 0 and has a gradient; numbers there is nothing to compute from are NaN.
        """

    def usual(self, shape: StreamShape) -> Sequence[Augmentation]:
        """The augmentations of a stream for which none are given; none, unless a subclass says otherwise."""
        return ()

    def view(self, name: str, batch: Batch) -> tuple[Tensor, Tensor]:
        """(B, C, …) the stream's windows, augmented, and (B,) bool, which of them are there."""
        x, here = batch.streams[name], batch.present[:, list(batch.streams).index(name)]
        known = torch.where(here.view(-1, *[1] * (x.ndim - 1)), x, 0.0)
        augmented: Tensor = self.augmentations[name](known)
        return augmented, here

    def _try(self, name: str) -> None:
        """One window of zeros through a stream's augmentations, so that a misfit is told before any data is read."""
        shape = self.shapes[name]
        with torch.random.fork_rng(devices=[]):  # no draw that training would miss
            try:
                self.augmentations[name](torch.zeros(1, len(shape.channels), shape.length, *(shape.size or ())))
            except ValueError as error:
                raise ValueError(f"augmentations of {name}: {error}") from None
