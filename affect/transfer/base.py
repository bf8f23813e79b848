"""The contract of a transfer mode: how an encoder goes on learning from the weights it was given."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from pydantic import PositiveFloat
from torch import nn

from affect.encoders.base import Encoder


@dataclass(frozen=True)
class Part:
    """Parameters that learn together.

    Args:
        rate: times the trainer's learning rate.
        start: share of training, 0 … 1, after which they begin to learn; rounded up to whole epochs.
    """

    parameters: list[nn.Parameter]
    rate: float = 1.0
    start: float = 0.0


class Transfer(ABC):
    """To add a mode: subclass this, name it in YAML by its class path."""

    def attach(self, encoder: Encoder) -> Encoder:
        """The encoder as it goes on; parts may have been added to it, or parameters taken from learning."""
        return encoder

    @abstractmethod
    def parts(self, encoder: Encoder) -> list[Part]:
        """Of an attached encoder: what learns, how fast and from when on. What is in no part stays as it is."""


class FineTune(Transfer):
    """Everything learns from the first step on.

    Args:
        rate: times the trainer's learning rate; below 1 where the weights are worth keeping.
    """

    def __init__(self, rate: PositiveFloat = 1.0) -> None:
        self.rate = rate

    def parts(self, encoder: Encoder) -> list[Part]:
        return [Part(list(encoder.parameters()), self.rate)]
