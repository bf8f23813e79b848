"""EEG artefacts: broken channels rebuilt from their neighbours, eye movements taken out."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat

from affect.batch import Signal
from affect.preprocessing.channels import locate
from affect.preprocessing.filters import BandPass, Resample
from affect.preprocessing.step import Step
from affect.preprocessing.timing import hertz

Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class BadChannels(Step):
    """Finds broken channels of a trial and rebuilds them from the others (spherical splines, Perrin et al. 1989; mne).

    Three rules, after PREP (Bigdely-Shamlo et al. 2015); a channel that breaks one is bad. A deviation here is the
    interquartile range / 1.349, which blinks do not move. Belongs before an average reference, which spreads a broken
    channel over all others.

    Args:
        flat: a deviation below this many µV.
        loud: a deviation more than this many times that of the median channel.
        correlation: in the median second, the channel's largest absolute correlation with any other is below this.
        most: with more than this share of bad channels the trial is refused: what is left cannot rebuild them.
    """

    repairs_dead: ClassVar[bool] = True

    flat: PositiveFloat = 0.1
    loud: PositiveFloat = 5.0
    correlation: Share = 0.4
    most: Share = 0.25

    def __call__(self, signal: Signal, **beside: Signal | None) -> Signal:
        broken = self.find(signal)
        if not broken:
            return signal
        if len(broken) > self.most * len(signal.channels):
            reasons = ", ".join(f"{name} ({why})" for name, why in broken.items())
            raise ValueError(f"{len(broken)} of {len(signal.channels)} channels are bad: {reasons}")
        raw = _raw(signal)
        places = {place.lower() for place in _cap().ch_names}
        if lost := [name for name in signal.channels if name.lower() not in places]:
            raise ValueError(f"channels {', '.join(lost)}, whose place on the head is not known (10–05 system)")
        raw.set_montage(_cap(), match_case=False)
        raw.info["bads"] = list(broken)
        raw.interpolate_bads(reset_bads=True, mode="accurate", verbose="ERROR")
        data = signal.data.copy()
        for row in locate(signal.channels, list(broken)):
            data[row] = raw.get_data(row)[0] * 1e6
        return replace(signal, data=data)

    def find(self, signal: Signal) -> Mapping[str, str]:
        """Bad channel → the rule it breaks."""
        low, high = np.quantile(signal.data, [0.25, 0.75], axis=1)
        deviation = (high - low) / 1.349
        second = min(max(2, round(hertz(signal))), signal.data.shape[1])
        seconds = signal.data.shape[1] // second
        parts = signal.data[:, : seconds * second].reshape(len(signal.channels), seconds, second)
        alone = np.median(_closest(parts.astype(np.float64)), axis=0) < self.correlation
        rules = {  # the plainest reason last, which is the one that is told
            "alone": alone & (len(signal.channels) > 2),
            "loud": deviation > self.loud * np.median(deviation),
            "flat": deviation < self.flat,
        }
        return {signal.channels[row]: rule for rule, bad in rules.items() for row in np.flatnonzero(bad)}


def _closest(parts: NDArray[np.float64]) -> NDArray[np.float64]:
    """(C, S, T) → (S, C) largest absolute correlation of a channel with any other within each part."""
    centred = parts - parts.mean(axis=-1, keepdims=True)
    norm = np.linalg.norm(centred, axis=-1, keepdims=True)
    unit = (centred / np.where(norm > 0, norm, np.inf)).swapaxes(0, 1)
    correlation = np.abs(unit @ unit.swapaxes(-1, -2))
    correlation[:, np.eye(correlation.shape[-1], dtype=bool)] = 0
    closest: NDArray[np.float64] = correlation.max(axis=-1)
    return closest


@dataclass(frozen=True)
class RemoveEyes(Step):
    """Takes blinks and eye movements out: the independent components that move as the eyes do are left out (ICA; mne).

    The components are found above 1 Hz and taken out of the signal as it is. A component is the eyes' if, from 1 to
    10 Hz, it correlates with the trial's `eog` stream; a trial without one is judged by its frontal channels. No such
    component, no change. Deterministic. About a second for a minute of 32 channels.

    Args:
        frontal: channels that stand for the eyes where there is no `eog` stream.
        correlation: smallest absolute correlation of an eye component.
        variance: share of the variance that the components explain together; the rest stays as it is.
        seed: of the search for components.
    """

    beside: ClassVar[tuple[str, ...]] = ("eog",)

    frontal: tuple[str, ...] = ("Fp1", "Fp2")
    correlation: Share = 0.6
    variance: Annotated[float, Field(gt=0, lt=1)] = 0.999
    seed: int = 0

    def __call__(self, signal: Signal, **beside: Signal | None) -> Signal:
        from mne.preprocessing import ICA
        from threadpoolctl import threadpool_limits

        if signal.seconds < 10:
            raise ValueError(f"{signal.seconds:.3g} s, too short to find independent components in: 10 s at least")
        eyes = self._eyes(signal, beside.get("eog"))
        ica = ICA(self.variance, method="fastica", random_state=self.seed, max_iter=200, verbose="ERROR")
        with warnings.catch_warnings(), threadpool_limits(1):  # small products: threads cost more than they give
            warnings.simplefilter("ignore")  # a search that stops early still gives components to judge
            try:
                ica.fit(_raw(BandPass(low=1.0)(signal)), verbose="ERROR")
            except RuntimeError as error:  # one component that is nearly all
                raise ValueError(f"no independent components in {len(signal.channels)} channels: {error}") from None
        raw = _raw(signal)
        sources = ica.get_sources(raw).get_data()
        found = np.abs(_correlations(_slow(sources, signal.rate), _slow(eyes, signal.rate)))
        ica.exclude = [int(i) for i in np.flatnonzero(found.max(axis=1) >= self.correlation)]
        if not ica.exclude:
            return signal
        ica.apply(raw, verbose="ERROR")
        return replace(signal, data=(raw.get_data() * 1e6).astype(np.float32))

    def _eyes(self, signal: Signal, eog: Signal | None) -> NDArray[np.float32]:
        """(channels, T) what moves as the eyes do, at the signal's rate and of its length."""
        if eog is None:
            return signal.data[locate(signal.channels, self.frontal)]
        eyes = Resample(signal.rate)(eog).data[:, : signal.data.shape[1]]
        return np.pad(eyes, ((0, 0), (0, signal.data.shape[1] - eyes.shape[1])), mode="edge")


def _slow(data: NDArray[Any], rate: float) -> NDArray[np.float32]:
    names = tuple(map(str, range(len(data))))
    return BandPass(1.0, 10.0)(Signal(data, rate, names, "")).data


def _correlations(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    """(A, T), (B, T) → (A, B)."""
    return np.corrcoef(a, b)[: len(a), len(a) :]


def _raw(signal: Signal) -> Any:
    """The signal as mne holds EEG: in volts."""
    import mne

    info = mne.create_info(list(signal.channels), hertz(signal), "eeg", verbose="ERROR")
    return mne.io.RawArray(signal.data.astype(np.float64) * 1e-6, info, verbose="ERROR")


@lru_cache(maxsize=1)
def _cap() -> Any:
    """All places of the 10–05 system, and of 1958, on a standard head."""
    from mne.channels import get_builtin_montages, make_standard_montage

    name = "colin27_1005"  # standard_1005 until mne 1.12
    return make_standard_montage(name if name in get_builtin_montages() else "standard_1005")
