"""What travels between rooms: a recorded signal, a video, the shape of a stream, a batch of windows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:  # reading a corpus needs no torch, and importing it takes seconds
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


@dataclass(frozen=True)
class Signal:
    """One stream of one trial: samples continuous in time, or facts that hold for the whole trial.

    Args:
        data: (C, T) float32, in `unit`; for pictures (3, T, H, W) uint8, RGB.
        rate: samples a second, Hz; 0 where there is no time: T is 1 and holds for the whole trial (a still, the mean
            of a clip).
        channels: C names.
        unit: physical unit, for example "µV".
    """

    data: np.ndarray
    rate: float
    channels: tuple[str, ...]
    unit: str

    @property
    def seconds(self) -> float:
        """Length in time; infinite where there is no time."""
        return float(self.data.shape[1] / self.rate) if self.rate else float("inf")


class Video(ABC):
    """Pictures in time that are decoded when asked for: an hour of film needs the memory of one picture.

    Args:
        seconds: length; infinite for a still.
        where: file and place in it, for error messages.
    """

    seconds: float
    where: str

    @abstractmethod
    def frames(self, rate: float) -> Iterator[NDArray[np.uint8]]:
        """(H, W, 3) RGB pictures shown at the times 0, 1/rate, 2/rate … s; a still gives one.

        Raises:
            UserError: nothing can be decoded, or the video ends more than a second too early.
        """


@dataclass(frozen=True)
class StreamShape:
    """What an encoder must know of its stream before it sees any of it.

    Args:
        channels: C names.
        length: samples a window, or features a channel.
        rate: Hz of the samples; None when the last axis holds features, 0 when there is no time.
        size: (H, W) of pictures.
    """

    channels: tuple[str, ...]
    length: int
    rate: float | None
    size: tuple[int, int] | None = None


@dataclass
class Batch:
    """B windows, all streams of one dtype and device.

    Args:
        streams: stream name → (B, C, T) float32, or (B, 3, T, H, W) of pictures; zeros where absent.
        present: (B, M) bool, in the order of `streams`.
        label: (B, Q) float32, a column for each target: number of the class, or the value of a regression; NaN where
            unknown or forbidden (every target row while fitting).
        source: (B,) bool, True for rows of labelled source domains.
        domain: (B,) int64, 0 … K−1 for the K source domains, K for the target.
        weight: (B, Q) float32, weight of the row in the label loss of each target.
        window, trial, subject: (B,) int64 row numbers in their tables.
    """

    streams: dict[str, Tensor]
    present: Tensor
    label: Tensor
    source: Tensor
    domain: Tensor
    weight: Tensor
    window: Tensor
    trial: Tensor
    subject: Tensor

    def to(self, *args: Any, **kwargs: Any) -> Batch:
        """The same batch on another device (Lightning calls this)."""
        tensors = {f.name: getattr(self, f.name).to(*args, **kwargs) for f in fields(self) if f.name != "streams"}
        return replace(self, streams={k: v.to(*args, **kwargs) for k, v in self.streams.items()}, **tensors)


@dataclass(frozen=True)
class StreamRows:
    """Some windows of one stream, as an alignment that maps streams is fitted on them.

    Args:
        values: (n, C, F) normalised features, or (n, C, T) samples.
        person: (n,) number of whose they are.
        source: (n,) bool, False for the unlabelled target.
        held_out: (n,) bool, source people kept to choose with: not for statistics that others share.
    """

    values: Tensor
    person: Tensor
    source: Tensor
    held_out: Tensor


StreamMap: TypeAlias = "Callable[[Tensor, Tensor, Tensor], Tensor]"
"""((B, C, F) values, (B,) person, (B,) bool source) → (B, C, F)."""
