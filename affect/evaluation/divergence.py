"""How far apart two domains are in an embedding, and whether an adversary is doing anything about it."""

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from affect.evaluation.probe import domain_classifier


def proxy_a_distance(
    source_features: NDArray[Any],
    target_features: NDArray[Any],
    source_group: NDArray[Any],
    target_group: NDArray[Any],
    seed: int,
) -> float | None:
    """Proxy A-distance 2 (1 − 2 ε) (Ben-David et al., NeurIPS 2006; Mach. Learn. 2010), between 0 and 2.

    ε is the balanced error of a linear classifier of the domain on groups it was not trained on: half of each
    domain's groups train it and the other half test it, then the other way round, and the two are averaged.

    A finite sample biases it both ways. A classifier of few rows and many dimensions finds less than there is, so the
    distance is too small; an ε that happens to lie above 1/2 is clipped to 0, so that the mean over many equal pairs
    of domains is above 0, by about the standard error of 4 ε. Rows of a group are alike: the groups are what counts.

    Args:
        source_features, target_features: (n_s, D), (n_t, D).
        source_group, target_group: (n_s,), (n_t,) the trial (or person) of each row; never on both sides.
        seed: of the split into halves.

    Returns:
        None where a domain has fewer than two groups, or a feature is not finite.
    """
    rng = np.random.default_rng(seed)
    source, target = _halves(source_group, rng), _halves(target_group, rng)
    if source is None or target is None:
        return None
    if not (np.isfinite(source_features).all() and np.isfinite(target_features).all()):
        return None
    errors = []
    for train in (0, 1):
        told = domain_classifier(source_features[source == train], target_features[target == train])
        errors += [(told.predict(source_features[source != train]) == 1).mean()]
        errors += [(told.predict(target_features[target != train]) == 0).mean()]
    return float(np.clip(2 * (1 - 2 * np.mean(errors)), 0, 2))


def _halves(group: NDArray[Any], rng: np.random.Generator) -> NDArray[np.int64] | None:
    """(n,) 0 or 1: which half of the groups a row belongs to; None where there is only one group."""
    names, row = np.unique(group, return_inverse=True)
    if len(names) < 2:
        return None
    half: NDArray[np.int64] = (rng.permutation(len(names)) % 2)[row]
    return half


class Adversary(NamedTuple):
    """How an adversary ended, and what a reader should make of it."""

    state: Literal["dead", "wins", "alive"]
    sentence: str


def adversary(domain_accuracy: float, chance: float, frozen: float, distance: float | None) -> Adversary:
    """Whether the domain head and the encoder held each other in check.

    Dead: the head stays at chance (within 0.05) even while the encoder is frozen, yet a linear probe tells held-out
    rows of the domains apart with an error below 1/4 (distance above 1): the head cannot learn, so its reversed
    gradient means nothing. Wins: it names the domain in 95 % of rows or more at the end, so the encoder hid nothing.

    Args:
        domain_accuracy: of the domain head at the end of training.
        chance: accuracy of always naming the most frequent domain.
        frozen: accuracy of the same head, trained on against the frozen encoder.
        distance: `proxy_a_distance` of the trained embedding; None where it is not known, and nothing is called dead.
    """
    figures = f"domain accuracy {domain_accuracy:.2f}, {frozen:.2f} with the encoder frozen, chance {chance:.2f}"
    if frozen <= chance + 0.05 and distance is not None and distance > 1:
        return Adversary(
            "dead",
            f"The adversary is dead: {figures}, while a linear probe tells the domains apart "
            f"(proxy A-distance {distance:.2f} of 2). Its domain head does not learn: mend it.",
        )
    if domain_accuracy >= 0.95 > chance + 0.05:
        return Adversary(
            "wins",
            f"The adversary wins: {figures}. The encoder does not hide the domain: raise the weight, or train longer.",
        )
    return Adversary("alive", f"The adversary is alive: {figures}.")
