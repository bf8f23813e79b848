"""Statistics with the person as the unit: seeds and folds are averaged within a person before anything is tested.

A caution about cross-subject intervals near chance. Each person trains the models of the others, so people's scores
are not independent: if A's chance regularity agrees with B's, both gain; if not, both lose. With nothing to find, the
mean then varies about √2 times as much as an interval over people says (a sum over pairs is counted from both ends).
Simulated so (tests/affect/test_evaluation.py), 95 % intervals miss chance in about 35 % of experiments with 8 people
and 26 % with 24, on either side. An interval that just excludes chance proves little; the same experiment on
stand-ins of strength 0 shows how little.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap, rankdata, wilcoxon


@dataclass(frozen=True)
class Interval:
    """A mean over people with its 95 % interval.

    Args:
        mean: over people.
        low, high: BCa bootstrap over people (Efron 1987); the mean itself where people do not differ or are one.
        sd: standard deviation over people.
        people: how many.
    """

    mean: float
    low: float
    high: float
    sd: float
    people: int


def interval(values: NDArray[np.float64], seed: int = 0, resamples: int = 9999) -> Interval:
    """Mean of (people,) values and its 95 % bootstrap interval."""
    mean = float(values.mean())
    sd = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    if len(values) < 2 or np.ptp(values) < 1e-12:  # equal but for the order in which seeds were averaged
        return Interval(mean, mean, mean, sd, len(values))
    result = bootstrap(
        (values,), np.mean, n_resamples=resamples, confidence_level=0.95, method="BCa", rng=np.random.default_rng(seed)
    )
    low, high = float(result.confidence_interval.low), float(result.confidence_interval.high)
    return Interval(mean, low, high, sd, len(values))


@dataclass(frozen=True)
class Paired:
    """A method against its reference, person by person.

    Args:
        difference: method − reference, mean over people, with its interval.
        p: two-sided Wilcoxon signed-rank test over people; 1 where nobody differs.
        effect: matched-pairs rank-biserial correlation, −1 (everybody hurt) to 1 (everybody helped).
        helped, hurt: people with a better and with a worse value than under the reference.
    """

    difference: Interval
    p: float
    effect: float
    helped: int
    hurt: int


def paired(method: NDArray[np.float64], reference: NDArray[np.float64], lower_is_better: bool = False) -> Paired:
    """Compare (people,) values of the same people in the same order.

    Args:
        lower_is_better: as for an error: who has less of it was helped.
    """
    difference = np.round(method - reference, 12)  # seeds averaged in another order differ in the last bit
    (p,) = signed_rank(difference[:, None])
    better = -difference if lower_is_better else difference
    helped, hurt = int((better > 0).sum()), int((better < 0).sum())
    return Paired(interval(difference), float(p), rank_biserial(better), helped, hurt)


def signed_rank(difference: NDArray[np.float64]) -> NDArray[np.float64]:
    """(k,) p values of two-sided Wilcoxon signed-rank tests of (people, k) differences; 1 where nobody differs.

    People without a difference are left out. Exact, but by scipy's normal approximation of more than 50
    people, or where two of more than 13 differ by as much.
    """
    p = np.ones(difference.shape[1])
    complete = (difference != 0).all(axis=0)
    if complete.any():
        p[complete] = wilcoxon(difference[:, complete], axis=0).pvalue
    for i in np.flatnonzero(~complete & (difference != 0).any(axis=0)):
        column = difference[:, i]
        p[i] = wilcoxon(column[column != 0]).pvalue
    return p


def rank_biserial(difference: NDArray[np.float64]) -> float:
    """Matched-pairs rank-biserial correlation (Kerby 2014, Comprehensive Psychology 3): of the ranks of |difference|,
    the share that is in favour minus the share that is against, people without a difference left out; 0 of none."""
    known = difference[difference != 0]
    if not len(known):
        return 0.0
    ranks = rankdata(np.abs(known))
    return float((np.sign(known) * ranks).sum() / ranks.sum())


def holm(p: Sequence[float]) -> list[float]:
    """p values of a family of tests, adjusted so that calling any below α true is wrong in α of families at most
    (Holm 1979, Scand. J. Statist. 6:65): the k-th smallest of m times m − k + 1, no smaller than the one before."""
    adjusted, least = [0.0] * len(p), 0.0
    for rank, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        least = max(least, min(1.0, (len(p) - rank) * p[i]))
        adjusted[i] = least
    return adjusted


def as_dict(value: Interval | Paired) -> dict[str, object]:
    """Plain data for a summary."""
    return asdict(value)
