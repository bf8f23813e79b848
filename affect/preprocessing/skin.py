"""The skin: conductance, its tonic and phasic parts, and its responses (Boucsein 2012)."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveFloat

from affect.batch import Signal, StreamShape
from affect.preprocessing.functionals import slope
from affect.preprocessing.peripheral import single, told_by_neurokit
from affect.preprocessing.step import Features, Step
from affect.preprocessing.timing import hertz

_OHMS = {"ohm": 1.0, "ω": 1.0, "kohm": 1e3, "kω": 1e3, "mohm": 1e6, "mω": 1e6}
"""Unit, in small letters → how many Ohm it is."""


@dataclass(frozen=True)
class Conductance(Step):
    """Skin resistance in Ohm, kOhm or MOhm → skin conductance in µS, its inverse; what is in µS already stays."""

    def __call__(self, signal: Signal, **beside: Signal | None) -> Signal:
        if signal.unit in ("µS", "uS"):
            return replace(signal, unit="µS")
        if signal.unit.lower() not in _OHMS:
            raise ValueError(f"{signal.unit!r}, no unit of resistance or conductance: Ohm, kOhm, MOhm or µS")
        ohms = signal.data.astype(np.float64) * _OHMS[signal.unit.lower()]
        if not (ohms > 0).all():
            raise ValueError(f"resistances down to {ohms.min():g} Ohm: only positive ones have a conductance")
        return replace(signal, data=(1e6 / ohms).astype(np.float32), unit="µS")


@dataclass(frozen=True)
class PhasicTonic(Step):
    """Skin conductance (1, T) → (2, T): its slow level, `tonic`, and its quick responses, `phasic` (neurokit2).

    Args:
        method: highpass, a filter at 0.05 Hz parts them (Biopac's); smoothmedian, the median of 4 s is the level.
    """

    method: Literal["highpass", "smoothmedian"] = "highpass"

    def __call__(self, signal: Signal, **beside: Signal | None) -> Signal:
        import neurokit2

        rate, conductance = hertz(signal), single(signal)
        if signal.seconds < 10:
            raise ValueError(f"{signal.seconds:.3g} s, too short to tell level from responses: 10 s at least")
        with told_by_neurokit():
            parts = neurokit2.eda_phasic(conductance, sampling_rate=rate, method=self.method)
        data = parts[["EDA_Tonic", "EDA_Phasic"]].to_numpy().T
        return replace(signal, data=np.ascontiguousarray(data, dtype=np.float32), channels=("tonic", "phasic"))


@dataclass(frozen=True)
class SkinConductance(Features):
    """Level and responses of the skin in windows of a stream that PhasicTonic made.

    level: mean tonic part, µS. slope: of its straight line, µS/min. phasic sd, µS. SCR/min: skin conductance
    responses a minute: peaks of the phasic part that stand out from both sides by `smallest`. SCR amplitude: by how
    much on average, µS; 0 where there is none.

    Args:
        smallest: µS.
    """

    smallest: PositiveFloat = 0.05

    def names(self) -> tuple[str, ...]:
        return ("level", "slope", "phasic sd", "SCR/min", "SCR amplitude")

    def channels(self, given: tuple[str, ...]) -> tuple[str, ...]:
        if given != ("tonic", "phasic"):
            raise ValueError(f"channels {', '.join(given)}: put the step PhasicTonic before it")
        return ("skin",)

    def __call__(self, windows: NDArray[np.float32], stream: StreamShape) -> NDArray[np.float32]:
        """(B, 2, T) µS → (B, 1, 5)."""
        from scipy.signal import find_peaks

        self.channels(stream.channels)
        minutes = windows.shape[-1] / hertz(stream) / 60
        tonic, phasic = windows.swapaxes(0, 1)
        found = [find_peaks(row, prominence=self.smallest)[1]["prominences"] for row in phasic]
        count = np.array([len(heights) for heights in found])
        total = np.array([heights.sum() for heights in found])
        parts = [
            tonic.mean(axis=-1),
            slope(tonic, hertz(stream)) * 60,
            phasic.std(axis=-1),
            count / minutes,
            total / np.maximum(count, 1),
        ]
        return np.stack(parts, axis=-1)[:, None].astype(np.float32)
