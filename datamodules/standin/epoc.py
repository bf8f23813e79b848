"""Invented people under an Emotiv EPOC headset, two ECG leads and a skin sensor, as AMIGOS and DREAMER recorded them.

The EEG is 1/f noise and an alpha rhythm of 14 sources under the electrodes, mixed to the scalp. Pleasant trials have
less alpha over the left and more over the right forehead (Davidson 1992, Brain and Cognition 20:125) and more frontal
beta; arousing ones less alpha at the back and more temporal beta and gamma; the heart beats faster and the skin
conducts more. The effect starts with the stimulus. People differ in 1/f exponent, alpha peak, levels of their rhythms,
gains, mixing, and in how strongly and where they respond.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import next_fast_len

from datamodules.corpora.amigos import EEG
from datamodules.standin.eegmat import BEAT

RATE = 128.0  # Hz of the EEG
# Electrodes seen from above, in radii of the head: x to the right, y to the nose; the right half mirrors the left.
_LEFT = np.array(
    [(-0.33, 0.74), (-0.81, 0.59), (-0.42, 0.53), (-0.70, 0.30), (-1.0, 0.0), (-0.81, -0.59), (-0.31, -0.95)]
)
X, Y = np.concatenate([_LEFT, _LEFT[::-1] * (-1, 1)]).T
_DISTANCE = (X[:, None] - X) ** 2 + (Y[:, None] - Y) ** 2
_FRONT, _MIDDLE, _BACK = (np.exp(-((Y - y) ** 2) / (2 * 0.4**2)) for y in (0.6, 0.0, -0.8))
_NONE = np.zeros(len(EEG))
# Change of log power from a neutral to an extreme feeling, (14, 4): theta, alpha, beta, gamma.
VALENCE = 1.2 * np.stack([_NONE, np.clip(2 * X, -1, 1) * _FRONT, 0.6 * _FRONT, _NONE], axis=1)
AROUSAL = 0.9 * np.stack([_NONE, -0.5 * (0.3 + _BACK), 0.4 * _MIDDLE, 0.4 * np.abs(X) * _MIDDLE], axis=1)

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Person:
    """How one body sounds.

    Args:
        exponent: of the 1/f power.
        peak: Hz of the alpha rhythm; alpha (14,) its power beside the noise at 10 Hz.
        levels: (14, 4) log power of each band.
        mixing: (14, 14) sources to electrodes, gains included.
        valence, arousal: (14, 4) change of log power at an extreme feeling.
        heart, breath: Hz at rest.
        skin: conductance at rest, µS.
        body: how strongly heart and skin respond.
    """

    exponent: float
    peak: float
    alpha: Array
    levels: Array
    mixing: Array
    valence: Array
    arousal: Array
    heart: float
    breath: float
    skin: float
    body: float


def invent(rng: np.random.Generator, shift: float) -> Person:
    """Draw one person; every difference from the others is scaled by `shift`."""
    field = np.linalg.cholesky(np.exp(-_DISTANCE / (2 * 0.3**2)) + 1e-6 * np.eye(len(EEG)))

    def differ(spread: float, *shape: int) -> Array:
        return np.asarray(shift * spread * rng.standard_normal(shape))

    def respond(common: Array, part: float) -> Array:
        # The person's own part is orthogonal to the common one: responses differ in size and place, never in sign.
        own = common.any(axis=0) * (field @ rng.standard_normal(common.shape))
        own -= common * (own * common).sum() / (common**2).sum()
        own *= shift * part * np.sqrt((common**2).sum() / (own**2).sum())
        return np.asarray(common * np.exp(differ(0.3, 4)) + own)

    nearness = np.exp(-_DISTANCE / (2 * 0.35**2))
    return Person(
        exponent=float(1.0 + differ(0.2)),
        peak=float(np.clip(10.25 + shift * rng.uniform(-1.75, 1.75), 8.5, 12.0)),
        alpha=4.0 * np.exp(differ(0.5)) * (0.15 + _BACK),
        levels=field @ differ(0.9, len(EEG), 4) + differ(0.6, 4),
        mixing=5.0
        * np.exp(differ(0.3, len(EEG), 1))
        * (nearness @ (np.eye(len(EEG)) + differ(0.1, len(EEG), len(EEG)))),
        valence=respond(VALENCE, 1.3),
        arousal=respond(AROUSAL, 1.6),
        heart=float(1.2 * np.exp(differ(0.12))),
        breath=float(0.25 * np.exp(differ(0.15))),
        skin=float(5.0 * np.exp(differ(0.5))),
        body=float(np.exp(differ(0.3))),
    )


def feelings(seed: int, number: int, trials: int, shift: float) -> Array:
    """(trials, 2) valence and arousal of person `number`, standardised: of the stimulus and the person; 40–60 % are
    above 0."""
    stimulus, person = np.random.default_rng([0, seed]), np.random.default_rng([1, seed, number])
    quadrant = stimulus.permutation(np.arange(trials) % 4)
    latent = np.stack([quadrant % 2, quadrant // 2], axis=1) * 2.0 - 1.0
    latent += 0.3 * stimulus.standard_normal(latent.shape) + 0.6 * person.standard_normal(latent.shape)
    share = 0.5 + 0.1 * min(shift, 1.0) * person.uniform(-1, 1, 2)
    below = np.clip(np.round(share * trials), 1, trials - 1).astype(int)
    ordered = np.take_along_axis(np.sort(latent, axis=0), np.stack([below - 1, below]), axis=0)
    return np.asarray(latent - ordered.mean(axis=0))


def times(baseline: float, seconds: float, rate: float) -> Array:
    """(T,) s since the stimulus began; those of the baseline are negative."""
    return np.arange(round((baseline + seconds) * rate)) / rate - baseline


def eeg(rng: np.random.Generator, person: Person, felt: Array, time: Array, low: float, high: float) -> Array:
    """(T, 14) µV between two frequencies at the times `time`, of a person who feels `felt`: valence and arousal."""
    length = next_fast_len(len(time), real=True)
    f = np.fft.rfftfreq(length, 1 / RATE)
    kept = (f >= low) & (f <= high)
    f = f[kept]
    centre, width = np.array([[6.0], [person.peak], [20.0], [38.0]]), np.array([[1.2], [1.3], [5.0], [6.0]])
    bands = np.exp(-((f - centre) ** 2) / (2 * width**2))
    drift = 0.1 * rng.standard_normal((len(EEG), 4)) + 0.1 * rng.standard_normal(4)
    power = ((f / 10.0) ** -person.exponent + person.alpha[:, None] * bands[1]) * np.exp(
        (person.levels + drift) @ bands
    )
    spectrum = np.zeros((2, len(EEG), len(kept)), complex)  # at rest, and what the effect adds
    spectrum[0][:, kept] = np.sqrt(power) * (rng.standard_normal((*power.shape, 2)) @ [1, 1j])
    effect = (felt[0] * person.valence + felt[1] * person.arousal) @ bands
    spectrum[1][:, kept] = np.expm1(effect / 2) * spectrum[0][:, kept]
    rest, added = np.fft.irfft(spectrum, length, norm="ortho")[..., : len(time)]
    gain = np.exp(0.1 * rng.standard_normal())
    return np.asarray((gain * person.mixing @ (rest + np.clip(time, 0.0, 1.0) * added)).T)


def ecg(rng: np.random.Generator, person: Person, arousal: float, time: Array, rate: float) -> Array:
    """(T, 2) µV of two leads."""
    breath = np.sin(2 * np.pi * (person.breath * time + rng.uniform()))
    speed = person.heart * np.exp(0.03 * rng.standard_normal() + 0.06 * _slow(person, arousal, time) + 0.03 * breath)
    phase = 2 * np.pi * (speed.cumsum() / rate + rng.uniform())
    angle, height, width = BEAT.T[:, :, None]
    away = (phase - angle + np.pi) % (2 * np.pi) - np.pi
    wave = (height * np.exp(-(away**2) / (2 * width**2))).sum(axis=0) + 20 * breath
    return np.asarray(wave[:, None] * (1.0, 0.7) + 8 * rng.standard_normal((len(time), 2)))


def skin(rng: np.random.Generator, person: Person, arousal: float, time: Array) -> Array:
    """(T, 1) µS."""
    knots = np.arange(np.floor(time[0]), time[-1] + 2)
    wander = np.interp(time, knots, 0.01 * rng.standard_normal(len(knots)).cumsum())
    level = 0.1 * rng.standard_normal() + wander + 0.06 * _slow(person, arousal, time)
    return np.asarray(person.skin * np.exp(level)[:, None])


def save(path: Path, variables: Mapping[str, Any]) -> None:
    """Write a MATLAB file of format 5. The same content gives the same bytes: the date in its header is not today's.

    The official files are compressed; that would take ten times as long to write.
    """
    from scipy.io import savemat

    savemat(path, variables)
    with path.open("r+b") as file:
        file.write(b"MATLAB 5.0 MAT-file, Platform: GLNXA64, Created on: Sun Jan  1 00:00:00 2017".ljust(116))


def _slow(person: Person, arousal: float, time: Array) -> Array:
    """The body takes seconds to respond."""
    return np.asarray(person.body * arousal * (1.0 - np.exp(-np.maximum(time, 0.0) / 4.0)))
