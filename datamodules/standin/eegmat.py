"""A stand-in for eegmat: small EDF files in its official layout, with a known effect of the task in them.

Rhythms and 1/f activity of 19 sources are shaped in the frequency domain and mixed to the scalp. During arithmetic
frontal theta rises and posterior alpha falls (Gevins et al. 1997, Cereb. Cortex 7:374) and the heart beats faster.
People differ in 1/f exponent, alpha peak, gains, mixing and in how strongly they respond.
"""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import PositiveInt

from datamodules.corpora.eegmat import EEG_CHANNELS, Eegmat
from datamodules.standin.folder import folder_of, write_once

VERSION = 1  # raise it when the files written change
RATE = 128
# Electrodes seen from above, in radii of the head: x to the right, y to the nose, in the order of EEG_CHANNELS.
PLACES = np.array(
    [
        *((-0.3, 0.9), (0.3, 0.9), (-0.4, 0.5), (0.4, 0.5), (-0.8, 0.6), (0.8, 0.6), (-1.0, 0.0), (1.0, 0.0)),
        *((-0.5, 0.0), (0.5, 0.0), (-0.8, -0.6), (0.8, -0.6), (-0.4, -0.5), (0.4, -0.5), (-0.3, -0.9), (0.3, -0.9)),
        *((0.0, 0.5), (0.0, 0.0), (0.0, -0.5)),
    ]
)
# A heartbeat as bumps on its phase (McSharry et al. 2003): P Q R S T, each angle (rad), height (µV), width (rad).
BEAT = np.array([(-1.2, 80, 0.25), (-0.26, -90, 0.1), (0, 600, 0.1), (0.26, -140, 0.1), (1.75, 160, 0.4)])


class StandInEegmat(Eegmat):
    """Invented people in eegmat's layout, written under `root` when first asked for and read by the real reader.

    Args:
        root: folder of all stand-ins; this one gets its own folder in it, named by a hash of the settings.
        subjects: how many people.
        seconds: length of each of a person's two recordings; whole seconds are kept.
        strength: size of the task's effect; at 0 rest and arithmetic are alike in distribution.
        shift: size of the differences between people; at 0 all are alike in distribution.
        seed: another seed, other people.
        segments: as of Eegmat.
    """

    def __init__(
        self,
        root: str = "data/standin",
        subjects: int = 8,
        seconds: float = 62.0,
        strength: float = 1.0,
        shift: float = 1.0,
        seed: int = 0,
        segments: PositiveInt = 1,
    ) -> None:
        self.write = partial(
            write_eegmat,
            subjects=subjects,
            seconds=float(seconds),
            strength=float(strength),
            shift=float(shift),
            seed=seed,
        )
        self.invented = {"version": VERSION, **self.write.keywords}
        self.folder = Path(root).expanduser()
        super().__init__(str(folder_of(self.folder, self.name, self.invented)), segments=segments)

    def check(self) -> None:
        """Nothing can be amiss yet: the folder is written when first asked for."""

    def ensure(self) -> None:
        write_once(self.folder, self.name, self.invented, self.write)


def write_eegmat(
    root: Path,
    *,
    subjects: int = 8,
    seconds: float = 62.0,
    strength: float = 1.0,
    shift: float = 1.0,
    seed: int = 0,
) -> None:
    """Fill the folder `root` with recordings and `subject-info.csv`; arguments as for StandInEegmat."""
    rows = []
    for number in range(subjects):
        rng = np.random.default_rng([seed, number])  # so that the first people stay when more are asked for
        person = _invent(rng, shift)
        for k, effect in enumerate((0.0, strength), start=1):
            samples = max(1, int(seconds)) * RATE
            eeg, ecg = _eeg(rng, person, effect, samples), _ecg(rng, person, effect, samples)
            _write_edf(root / f"Subject{number:02d}_{k}.edf", np.vstack([eeg, ecg]))
        rows.append((f"Subject{number:02d}", rng.integers(16, 27), rng.choice(["F", "M"]), 2011, rng.integers(2)))
    columns = ["Subject", "Age", "Gender", "Recording year", "Count quality"]
    pd.DataFrame(rows, columns=columns).to_csv(root / "subject-info.csv", index=False)


class _Person(NamedTuple):
    exponent: float
    """Of the 1/f background power."""
    alpha_peak: float
    """Hz."""
    theta: float
    alpha: float
    """Amplitudes of the rhythms beside the background's at 1 Hz."""
    mixing: NDArray[np.float64]
    """(19, 19) sources to scalp, electrode gains included."""
    heart_rate: float
    """Beats a second at rest."""
    response: NDArray[np.float64]
    """(theta, alpha, heart): how strongly the task moves each, 1 on average."""


def _invent(rng: np.random.Generator, shift: float) -> _Person:
    """Draw one person; every draw is scaled by `shift`."""

    def differ(spread: float, *shape: int) -> NDArray[np.float64]:
        return np.asarray(shift * spread * rng.standard_normal(shape))

    nearness = np.exp(-((PLACES[:, None] - PLACES[None]) ** 2).sum(-1) / (2 * 0.35**2))
    mixing = nearness / np.linalg.norm(nearness, axis=1, keepdims=True) + differ(0.08, 19, 19)
    return _Person(
        exponent=float(1.5 + differ(0.2)),
        alpha_peak=float(np.clip(10.0 + differ(0.9), 8.0, 12.0)),
        theta=float(0.25 * np.exp(differ(0.3))),
        alpha=float(0.7 * np.exp(differ(0.4))),
        mixing=mixing * np.exp(differ(0.2) + differ(0.15, 19, 1)),
        heart_rate=float(np.clip(1.2 + differ(0.12), 0.8, 1.8)),
        response=1.0 + differ(0.6, 3),
    )


def _eeg(rng: np.random.Generator, person: _Person, effect: float, samples: int) -> NDArray[np.float64]:
    """(19, samples) µV."""
    f = np.fft.rfftfreq(samples, 1 / RATE)
    theta = person.theta * np.exp(0.3 * effect * person.response[0])
    alpha = person.alpha * np.exp(-0.35 * effect * person.response[1])
    frontal = np.exp(-((PLACES - (0.0, 0.5)) ** 2).sum(1) / (2 * 0.4**2))[:, None]
    posterior = np.exp(-((PLACES - (0.0, -0.8)) ** 2).sum(1) / (2 * 0.5**2))[:, None]
    power = np.maximum(f, 0.5) ** -person.exponent
    power = power + (theta * frontal) ** 2 * np.exp(-((f - 6.0) ** 2) / 2)
    power = power + (alpha * posterior) ** 2 * np.exp(-((f - person.alpha_peak) ** 2) / 2)
    power = power * (f > 0.4) / (1 + (f / 45.0) ** 8)  # the amplifier's high and low pass
    spectrum = np.sqrt(power) * (rng.standard_normal((2, 19, len(f))) * [[[1]], [[1j]]]).sum(0)
    # 110: the scalp signal then has a standard deviation near that of the real recordings, 12 µV
    sources = 110.0 * np.sqrt(samples) / 2 * np.fft.irfft(spectrum, samples)
    return np.asarray(person.mixing @ sources)


def _ecg(rng: np.random.Generator, person: _Person, effect: float, samples: int) -> NDArray[np.float64]:
    """(1, samples) µV."""
    t = np.arange(samples) / RATE
    breath = np.sin(2 * np.pi * (0.25 * t + rng.uniform()))  # the heart follows the breath
    beats = (person.heart_rate + 0.1 * effect * person.response[2]) * (1 + 0.04 * breath)
    phase = 2 * np.pi * (np.cumsum(beats) / RATE + rng.uniform())
    angle, height, width = BEAT.T[:, :, None]
    away = (phase - angle + np.pi) % (2 * np.pi) - np.pi
    wave = (height * np.exp(-(away**2) / (2 * width**2))).sum(0)
    return np.asarray(wave + 20 * breath + 5 * rng.standard_normal(samples))[None]


def _write_edf(path: Path, data: NDArray[np.float64]) -> None:
    """Write (19 EEG + 1 ECG, samples) µV, each signal with a physical range that fits it."""
    import edfio

    names = [*(f"EEG {name}" for name in EEG_CHANNELS), "ECG ECG"]
    signals = []
    for name, row in zip(names, data, strict=True):
        limit = float(np.ceil(np.abs(row).max() / 10) * 10)
        signals.append(edfio.EdfSignal(row, RATE, label=name, physical_dimension="uV", physical_range=(-limit, limit)))
    edfio.Edf(signals, recording=edfio.Recording(equipment_code="stand-in")).write(path)
