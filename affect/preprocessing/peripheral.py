"""Peripheral physiology: cleaning of any kind, breathing, muscle tone (neurokit2, Makowski et al. 2021)."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveFloat

from affect.batch import Signal
from affect.preprocessing.filters import BandPass, Resample
from affect.preprocessing.step import Step
from affect.preprocessing.timing import hertz

Kind = Literal["ecg", "bvp", "eda", "resp", "emg"]

_CLEANERS: dict[Kind, str] = {
    "ecg": "ecg_clean",
    "bvp": "ppg_clean",
    "eda": "eda_clean",
    "resp": "rsp_clean",
    "emg": "emg_clean",
}
_SLOWEST: dict[Kind, float] = {"ecg": 40.0, "bvp": 16.0, "eda": 6.0, "resp": 6.0, "emg": 200.0}
"""Hz: what a cleaner's own filters must be able to hold."""


@dataclass(frozen=True)
class Clean(Step):
    """neurokit2's standard filter for a kind of signal, channel by channel.

    ecg: above 0.5 Hz, without mains hum. bvp: 0.5–8 Hz. eda: below 3 Hz. resp: 0.05–3 Hz. emg: above 100 Hz.

    Args:
        kind: what was recorded.
    """

    kind: Kind

    def __call__(self, signal: Signal, **beside: Signal | None) -> Signal:
        import neurokit2

        fast_enough(signal, self.kind)
        clean: Callable[..., Any] = getattr(neurokit2, _CLEANERS[self.kind])
        with told_by_neurokit():
            rows = [clean(row.astype(np.float64), sampling_rate=signal.rate) for row in signal.data]
        return replace(signal, data=np.stack(rows).astype(np.float32))


@dataclass(frozen=True)
class Respiration(Step):
    """Breathing belt (1, T) → (2, T'): `rate` in breaths a minute and `amplitude` from trough to peak, at `rate` Hz.

    Breaths are found once in the whole trial (Khodadad et al. 2018), so windows shorter than a breath have values
    too: interpolated between breaths, held before the first and after the last. Functionals of them are a window's
    breathing rate, depth and variability.

    Args:
        rate: Hz of what comes out.
    """

    rate: PositiveFloat = 4.0

    def __call__(self, signal: Signal, **beside: Signal | None) -> Signal:
        import neurokit2

        if hertz(signal) > 50:  # breathing ends far below; the search takes as long as there are samples
            signal = Resample(50.0)(signal)
        cleaned = Clean("resp")(signal).data[0]
        seconds = signal.seconds
        with told_by_neurokit(f"no regular breathing in {seconds:.3g} s"):
            _, found = neurokit2.rsp_peaks(cleaned, sampling_rate=signal.rate)
            peaks, troughs = found["RSP_Peaks"], found["RSP_Troughs"]
            if len(peaks) < 3:
                raise ValueError(f"{len(peaks)} breaths")
            breaths = neurokit2.signal_rate(troughs, signal.rate, desired_length=len(cleaned))
            depth = neurokit2.rsp_amplitude(cleaned, peaks, troughs)
        times = (np.arange(max(1, round(seconds * self.rate))) + 0.5) / self.rate
        index = np.minimum((times * signal.rate).astype(int), len(cleaned) - 1)
        data = np.stack([breaths, depth])[:, index].astype(np.float32)
        return Signal(data, self.rate, ("rate", "amplitude"), f"1/min, {signal.unit}")


@dataclass(frozen=True)
class MuscleActivity(Step):
    """EMG → how hard the muscle works: root mean square, 1/rate s at a time, of what is above `low` Hz.

    Args:
        low: Hz; below are movements of the electrodes and of the eyes.
        rate: Hz of what comes out.
    """

    low: PositiveFloat = 20.0
    rate: PositiveFloat = 8.0

    def __call__(self, signal: Signal, **beside: Signal | None) -> Signal:
        power = np.square(BandPass(low=self.low)(signal).data.astype(np.float64))
        count = int(signal.seconds * self.rate + 1e-9)
        if count < 1 or self.rate > signal.rate:
            raise ValueError(f"{signal.seconds:.3g} s at {signal.rate:g} Hz have no value at {self.rate:g} Hz")
        edges = np.rint(np.arange(count + 1) * (signal.rate / self.rate)).astype(int)
        total = np.add.reduceat(power[:, : edges[-1]], edges[:-1], axis=1)
        return replace(signal, data=np.sqrt(total / np.diff(edges)).astype(np.float32), rate=self.rate)


def single(signal: Signal) -> NDArray[np.float64]:
    """(T,) the samples of a stream of one channel.

    Raises:
        ValueError: it has several.
    """
    if len(signal.channels) != 1:
        raise ValueError(f"channels {', '.join(signal.channels)}: put Channels before it, to choose one")
    samples: NDArray[np.float64] = signal.data[0].astype(np.float64)
    return samples


def fast_enough(signal: Signal, kind: Kind) -> None:
    """Refuse with a ValueError a rate that this kind of signal cannot be read at."""
    if hertz(signal) <= _SLOWEST[kind]:
        raise ValueError(f"{signal.rate:g} Hz, too slow for {kind}: more than {_SLOWEST[kind]:g} Hz are needed")


@contextmanager
def told_by_neurokit(refusal: str = "neurokit2 cannot read it") -> Iterator[None]:
    """Its warnings kept back; whatever a signal without what it looks for leads to, as a ValueError."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            yield
        except (ArithmeticError, LookupError, TypeError, ValueError, UnboundLocalError) as error:
            raise ValueError(f"{refusal} ({error})" if str(error) else refusal) from error
