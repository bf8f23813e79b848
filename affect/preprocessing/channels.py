"""Channels by name: which ones, in which order, against which reference."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from affect.batch import Signal
from affect.preprocessing.step import Step

_TODAY = {"t3": "t7", "t4": "t8", "t5": "p7", "t6": "p8"}
"""Names of the 10–20 system of 1958 → those of today's 10–10 system."""


def locate(given: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Where the wanted channels are among those given; case does not matter, nor whether a name is T3 or T7.

    Raises:
        ValueError: some are missing, or there twice.
    """
    known = [_place(name) for name in given]
    if missing := [name for name in wanted if _place(name) not in known]:
        raise ValueError(f"no channel {', '.join(missing)} among {', '.join(given)}")
    if twice := [name for name in wanted if known.count(_place(name)) > 1]:
        raise ValueError(f"more than one channel {', '.join(twice)} among {', '.join(given)}")
    return [known.index(_place(name)) for name in wanted]


def _place(name: str) -> str:
    return _TODAY.get(name.lower(), name.lower())


@dataclass(frozen=True)
class Channels(Step):
    """The named channels, in this order and under these names: makes recordings with different caps alike.

    Args:
        names: case does not matter; T3, T4, T5, T6 and T7, T8, P7, P8 are the same places.
    """

    names: tuple[str, ...]

    def __post_init__(self) -> None:
        again = [place for place, n in Counter(map(_place, self.names)).items() if n > 1]
        if again or not self.names:
            raise ValueError(f"names {list(self.names)}: at least one, each once")

    def __call__(self, signal: Signal, **beside: Signal | None) -> Signal:
        rows = locate(signal.channels, self.names)
        return replace(signal, data=signal.data[rows], channels=tuple(self.names))


@dataclass(frozen=True)
class Reference(Step):
    """EEG against another reference: the mean of all channels, or of those named, is subtracted from every channel.

    Args:
        to: "average" (all channels), or channel names, for example [M1, M2]; these stay in the stream.
    """

    to: Literal["average"] | tuple[str, ...] = "average"

    def __call__(self, signal: Signal, **beside: Signal | None) -> Signal:
        if signal.data.shape[0] < 2:
            raise ValueError(f"one channel, {signal.channels[0]}, which against itself is zero")
        rows = slice(None) if self.to == "average" else locate(signal.channels, self.to)
        data = signal.data - signal.data[rows].mean(axis=0, dtype=np.float64)
        return replace(signal, data=data.astype(np.float32))
