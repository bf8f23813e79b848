"""The contracts of preprocessing: a step makes a signal from a signal, features make numbers from windows."""

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from affect.batch import Signal


@dataclass(frozen=True)
class Step(ABC):
    """Whole trial → whole trial, run once when the cache is prepared. Subclasses are frozen dataclasses."""

    @abstractmethod
    def __call__(self, signal: Signal) -> Signal: ...


@dataclass(frozen=True)
class Features(ABC):
    """Windows (B, C, T) → (B, C, F), run once for all windows and kept. Subclasses are frozen dataclasses."""

    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """The F features of a channel."""

    @abstractmethod
    def __call__(self, windows: NDArray[np.float32], rate: float) -> NDArray[np.float32]: ...


def describe(part: Step | Features | None) -> dict[str, Any] | None:
    """Class and parameters as plain data: what a cache key is made of."""
    if part is None:
        return None
    assert is_dataclass(part)
    return {"class_path": f"{type(part).__module__}.{type(part).__qualname__}", **asdict(part)}
