"""The contracts of preprocessing: a step makes a signal from a signal, features make numbers from windows.

A part refuses what it cannot take (too short, too slow, a channel it misses) with a ValueError in words; who calls it
knows the trial and the key, and says them.
"""

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from affect.batch import Signal, StreamShape, Video


@dataclass(frozen=True)
class Step(ABC):
    """Whole trial → whole trial, run once when the cache is prepared. Subclasses are frozen dataclasses.

    Attributes:
        beside: other streams of the same trial it looks at; given by name after the signal, None where absent.
        repairs_dead, repairs_missing: whether channels that never move, or missing samples, are its business; they are
            no reason to refuse a trial then.
    """

    beside: ClassVar[tuple[str, ...]] = ()
    repairs_dead: ClassVar[bool] = False
    repairs_missing: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, signal: Signal, **beside: Signal | None) -> Signal: ...


@dataclass(frozen=True)
class VideoStep(ABC):
    """Video → signal: the first step of a stream of pictures. Subclasses are frozen dataclasses."""

    @abstractmethod
    def __call__(self, video: Video) -> Signal: ...


@dataclass(frozen=True)
class Features(ABC):
    """Windows → (B, C', F), run once for all windows and kept. Subclasses are frozen dataclasses."""

    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """The F features of a channel."""

    def channels(self, given: tuple[str, ...]) -> tuple[str, ...]:
        """The C' channels made of those given; the same ones unless a subclass mixes them."""
        return given

    @abstractmethod
    def __call__(self, windows: NDArray[Any], stream: StreamShape) -> NDArray[np.float32]:
        """(B, C, T), or (B, 3, T, H, W) pictures, of the stream's channels and rate → (B, C', F)."""


def describe(part: Step | VideoStep | Features | None) -> dict[str, Any] | None:
    """Class and parameters as plain data: what a cache key is made of."""
    if part is None:
        return None
    assert is_dataclass(part)
    return {"class_path": f"{type(part).__module__}.{type(part).__qualname__}", **asdict(part)}
