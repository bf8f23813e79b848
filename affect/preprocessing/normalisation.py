"""Normalisation: one affine map per trial, fitted where the fold allows, and the setting that follows from it."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Normalisation = Literal["none", "source", "subject", "baseline", "baseline+subject"]
"""none: native units. source: z-score with source-train statistics. subject: z-score with each person's own,
unlabelled statistics. baseline: the trial's baseline is subtracted, then source-train scale. baseline+subject: the
trial's baseline is subtracted, then as subject. A stream without time has no baseline: for it, baseline is source and
baseline+subject is subject."""


def setting(
    normalisation: Normalisation,
    sees: Literal["nothing", "statistics", "windows", "labels"],
    calibration: int = 0,
) -> str:
    """What a method saw of the target.

    `inductive`: nothing. `transductive-stats`: its unlabelled statistics. `transductive`: its unlabelled windows, in
    training, afterwards or to choose by. `calibrated(k)`: the labels of k of its trials, whatever else it saw.
    `oracle`: all its labels, to choose by.

    Args:
        sees: what the method itself looks at, beside its normalisation.
    """
    if sees == "labels":
        return "oracle"
    if calibration:
        return f"calibrated({calibration})"
    if sees == "windows":
        return "transductive"
    statistics = sees == "statistics" or normalisation in ("subject", "baseline+subject")
    return "transductive-stats" if statistics else "inductive"


@dataclass(frozen=True)
class Moments:
    """Count, mean and sum of squared deviations of each trial, from which those of any set of trials follow exactly.

    Args:
        count: (n_trials,) samples.
        mean, m2: (n_trials, C, F), F = 1 for raw streams.
        baseline: (n_trials, C, F) mean over the trial's baseline, NaN where it has none.
    """

    count: NDArray[np.float64]
    mean: NDArray[np.float64]
    m2: NDArray[np.float64]
    baseline: NDArray[np.float64]

    def pool(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(C, F) mean and standard deviation over the trials `rows` (Chan et al. 1979)."""
        count = self.count[rows][:, None, None]
        total = max(float(count.sum()), 1.0)
        mean = (count * self.mean[rows]).sum(0) / total
        m2 = (self.m2[rows] + count * (self.mean[rows] - mean) ** 2).sum(0)
        return mean, np.sqrt(m2 / total)


@dataclass(frozen=True)
class Affine:
    """x ↦ (x − shift) · scale, a row for every trial: (n_trials, C, F) float32."""

    shift: NDArray[np.float32]
    scale: NDArray[np.float32]


def fit(
    normalisation: Normalisation,
    moments: Moments,
    subject: NDArray[np.int64],
    source_train: NDArray[np.int64],
    visible: NDArray[np.int64],
) -> Affine:
    """Fit on what the fold allows.

    Args:
        subject: (n_trials,) number of the person of every trial.
        source_train: trials whose statistics are always allowed.
        visible: trials whose statistics `subject` may use, each for its own person: source and target-unlabelled.
    """
    shift, scale = np.zeros_like(moments.mean), np.ones_like(moments.mean)
    here = moments.count > 0  # of an absent stream there is nothing to fit on
    removes = normalisation in ("baseline", "baseline+subject") and not np.isnan(moments.baseline[here]).all()
    if removes:
        shift[:] = moments.baseline
        moments = replace(moments, mean=moments.mean - moments.baseline)
    if normalisation in ("subject", "baseline+subject"):
        for person in np.unique(subject[visible]):
            mean, deviation = moments.pool(visible[here[visible] & (subject[visible] == person)])
            shift[subject == person] += mean
            scale[subject == person] = _inverse(deviation)
    elif normalisation in ("source", "baseline"):
        mean, deviation = moments.pool(source_train[here[source_train]])
        shift += 0.0 if removes else mean
        scale[:] = _inverse(deviation)
    return Affine(shift.astype(np.float32), scale.astype(np.float32))


def _inverse(deviation: NDArray[np.float64]) -> NDArray[np.float64]:
    """1/σ; 0 where nothing varies, so that a constant feature becomes 0 and not noise blown up."""
    constant = deviation < 1e-12
    return np.where(constant, 0.0, 1.0 / np.where(constant, 1.0, deviation))
