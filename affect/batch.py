"""What travels between rooms: a recorded signal, the shape of a stream, a batch of windows."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # reading a corpus needs no torch, and importing it takes seconds
    import numpy as np
    from torch import Tensor


@dataclass(frozen=True)
class Signal:
    """One stream of one trial, continuous in time.

    Args:
        data: (C, T) float32, in `unit`.
        rate: samples a second, Hz.
        channels: C names.
        unit: physical unit, for example "µV".
    """

    data: np.ndarray
    rate: float
    channels: tuple[str, ...]
    unit: str

    @property
    def seconds(self) -> float:
        return float(self.data.shape[-1] / self.rate)


@dataclass(frozen=True)
class StreamShape:
    """What an encoder must know of its stream before it sees any of it.

    Args:
        channels: C names.
        length: samples a window, or features a channel.
        rate: Hz of the samples; None when the last axis holds features.
    """

    channels: tuple[str, ...]
    length: int
    rate: float | None


@dataclass
class Batch:
    """B windows, all streams of one dtype and device.

    Args:
        streams: stream name → (B, C, T) float32; zeros where absent.
        present: (B, M) bool, in the order of `streams`.
        label: (B,) int64 class; −1 where unknown or forbidden (every target row while fitting).
        source: (B,) bool, True for rows of labelled source domains.
        domain: (B,) int64, 0 … K−1 for the K source domains, K for the target.
        weight: (B,) float32, weight of the row in the label loss.
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
