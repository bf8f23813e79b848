"""Split conformal prediction: sets of classes that hold the label as often as was promised, if people are alike.

A set holds every class whose probability is no lower than a threshold that NOMINAL of the held-out source labels reach
(Vovk et al. 2005; the score is LAC's, Sadinle et al., J. Am. Stat. Assoc. 2019). The promise is for windows that are
exchangeable with the held-out ones. Those of a person nobody has seen are not: coverage may fall short, for some people
by far, and by how much is what the figures here are for.

MAPIE's score computes it. Its SplitConformalClassifier would want an estimator to call, and here probabilities are all
there is.
"""

import math
from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from affect.evaluation.reliability import Array, Labels

NOMINAL = 0.9
"""Share of labels that sets are promised to hold."""


def prediction_sets(held_out: Array, label: Labels, tested: Array) -> NDArray[np.bool_]:
    """(n_t, K) which classes are in the set of every tested window; a set may be empty.

    Args:
        held_out: (n_v, K) probabilities of held-out source windows; of fewer than 9 nothing can be promised at 0.9,
            and every class is in every set.
        label: (n_v,) 0 … K − 1.
        tested: (n_t, K).
    """
    if math.ceil((len(label) + 1) * NOMINAL) > len(label):
        return np.ones(tested.shape, np.bool_)
    from mapie.conformity_scores import LACConformityScore

    score, alpha = LACConformityScore(), np.array([1 - NOMINAL])
    known = score.get_conformity_scores(label, held_out, y_enc=label)
    score.quantiles_ = score.get_conformity_score_quantiles(known, alpha, cv="prefit")
    found: NDArray[np.bool_] = score.get_prediction_sets(tested[:, :, None], known, alpha, cv="prefit")
    return found[:, :, 0]


def of_sets(label: Labels, sets: NDArray[np.bool_]) -> dict[str, float]:
    """`coverage`: share of (n,) labels in their (n, K) set; `set_size`: mean number of classes in it."""
    held = sets[np.arange(len(label)), label]
    return {"coverage": float(held.mean()), "set_size": float(sets.sum(axis=1).mean())}


def shortfall(coverage: Collection[float]) -> str:
    """In words, how people's coverage compares with the promise."""
    mean, below = float(np.mean(list(coverage))), sum(value < NOMINAL for value in coverage)
    by = f"{NOMINAL - mean:.3f} short" if mean < NOMINAL else "not short on average"
    return (
        f"promised to people like the held-out source: {100 * NOMINAL:g} %; "
        f"tested people get {100 * mean:.1f} %, {by}; {below} of {len(coverage)} people are below, "
        f"the lowest at {100 * min(coverage):.0f} %"
    )
