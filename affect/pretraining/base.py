"""The contract of a self-supervised objective."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor, nn

from affect.batch import Batch, StreamShape
from affect.encoders.base import Encoder


class Objective(nn.Module, ABC):
    """A loss that encoders are trained by without labels. To add one: subclass this, name it in YAML by its class path.

    Args:
        shapes: stream name → its shape; given by the data.
        dims: stream name → D of its encoder; given by the model.
    """

    def __init__(self, shapes: Mapping[str, StreamShape], dims: Mapping[str, int]) -> None:
        super().__init__()
        self.shapes, self.dims = dict(shapes), dict(dims)

    @abstractmethod
    def forward(self, encoders: Mapping[str, Encoder], batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch whose labels are not looked at, and numbers for the reader, each a scalar.

        Rows whose stream is absent take no part in that stream's loss.
        """
