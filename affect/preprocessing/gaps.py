"""Missing samples."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from pydantic import PositiveFloat

from affect.batch import Signal
from affect.preprocessing.step import Step
from affect.preprocessing.timing import hertz


@dataclass(frozen=True)
class FillGaps(Step):
    """Bridges short gaps (NaN) by straight lines, and at the ends by the nearest sample; refuses longer ones.

    For what is lost now and then, as frames in which a face was not tracked. Comes first: other steps take no NaN.

    Args:
        longest: seconds a gap may last.
    """

    repairs_missing: ClassVar[bool] = True
    longest: PositiveFloat = 1.0

    def __call__(self, signal: Signal, **beside: Signal | None) -> Signal:
        missing = ~np.isfinite(signal.data)
        if not missing.any():
            return signal
        rate, data, time = hertz(signal), signal.data.copy(), np.arange(signal.data.shape[1])
        for channel, values, lost in zip(signal.channels, data, missing, strict=True):
            if (gap := _longest(lost) / rate) > self.longest:
                raise ValueError(f"{gap:.3g} s of {channel} missing, more than {self.longest:g} s")
            values[lost] = np.interp(time[lost], time[~lost], values[~lost])
        return replace(signal, data=data)


def _longest(lost: np.ndarray) -> int:
    """Length of the longest run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], lost.astype(np.int8), [0]])))
    return int((edges[1::2] - edges[::2]).max(initial=0))
