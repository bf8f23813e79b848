"""Which trained candidate is best for people whose labels nobody has: validators that read no target label.

Each validator turns what a candidate left behind into one number, the higher the better. All of them can be misled;
a table of runs shows what each cost beside the choice the target's labels would have made.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

from affect.errors import UserError
from affect.evaluation.probe import classifier, domain_classifier, every, regressor

Array = NDArray[np.floating[Any]]
SND_TEMPERATURE = 0.05  # of Saito et al.
REVERSE_PENALTY = 0.1  # of a mean loss; so strong that the classifier goes where the target lies, not along the head
TINY = float(np.finfo(np.float32).eps)  # a softmax in float32 can say 0


@dataclass(frozen=True)
class Evidence:
    """What a trained candidate leaves for selection. Labels of the target have no place in it.

    Args:
        train_features: (n_s, D) embeddings of source-train windows.
        validation_features: (n_v, D) of windows of held-out source people; n_v may be 0.
        validation_probability: (n_v, K) class probabilities; for a regression (n_v, 1) values.
        validation_label: (n_v,) classes 0 … K − 1, or values standardised as the predictions are; every row has one.
        target_features: (n_t, D).
        target_probability: (n_t, K), or (n_t, 1).
        classes: K, or 0 for a regression.
    """

    train_features: Array
    validation_features: Array
    validation_probability: Array
    validation_label: Array
    target_features: Array
    target_probability: Array
    classes: int

    @cached_property
    def loss(self) -> Array:
        """(n_v,) label loss of held-out source windows: cross-entropy in nats, or squared error."""
        if not self.classes:
            return np.square(self.validation_probability[:, 0] - self.validation_label)
        rows = np.arange(len(self.validation_label))
        named: Array = self.validation_probability[rows, self.validation_label.astype(np.int64)]
        return -np.log(np.maximum(named, TINY))

    @cached_property
    def importance(self) -> Array:
        """(n_v,) density ratio of target to source at held-out source windows, mean about 1 over the source.

        w(f) = n_s / n_t · P(target | f) / P(source | f) (Bickel et al., ICML 2007; You et al., ICML 2019), by a linear
        classifier of target against source-train in which both weigh the same, which is what n_s / n_t is for.
        """
        told = domain_classifier(self.train_features, self.target_features)
        with np.errstate(over="ignore"):
            ratio: Array = np.exp(told.decision_function(self.validation_features))
        return ratio


def source_validation(evidence: Evidence) -> float:
    """− mean label loss over held-out source windows, each counting alike."""
    return -float(evidence.loss.mean())


def reverse_validation(evidence: Evidence) -> float:
    """− reverse-validation risk (Zhong et al., ECML 2010; Ganin et al., JMLR 2016), in its linear form.

    A reverse classifier is learnt from the target's embeddings and the labels the candidate gives them, and scored on
    the true labels of held-out source windows: − its balanced error in [−1, 0], or − its mean squared error for a
    regression. The papers retrain the whole method from target to source; this one fits a linear model on the
    embedding the candidate already has. It falls where the target spreads along other directions than the source, so
    that its labels are learnt from what means nothing there. Where only the classes lie elsewhere it finds the
    candidate's own head again and says what source validation says: it is weaker than the papers' by that.
    """
    x, given = every(evidence.target_features), every(evidence.target_probability)
    if not evidence.classes:
        predicted = regressor(x, given[:, 0], REVERSE_PENALTY * len(x)).predict(evidence.validation_features)
        return -float(np.square(predicted - evidence.validation_label).mean())
    pseudo = given.argmax(axis=1)
    label = evidence.validation_label
    if np.ptp(pseudo) == 0:  # a candidate that names one class teaches its reverse to do the same
        predicted = np.full(len(label), pseudo[0])
    else:
        predicted = classifier(x, pseudo, REVERSE_PENALTY * len(x)).predict(evidence.validation_features)
    return -float(np.mean([(predicted[label == c] != c).mean() for c in np.unique(label)]))


def importance_weighted(evidence: Evidence) -> float:
    """− importance-weighted risk, R = mean(w ℓ) over held-out source windows (IWCV; Sugiyama et al., JMLR 2007).

    w is `Evidence.importance`, on embeddings as in DEV (the paper: on inputs). Unbiased where people differ in their
    inputs only, but one window where the target is dense and the source thin can be all of it.
    """
    return -float((evidence.importance * evidence.loss).mean())


def deep_embedded(evidence: Evidence) -> float:
    """− DEV risk (You et al., ICML 2019): IWCV with a control variate, as E[w] = 1 is known.

    R = mean(w ℓ) + η mean(w) − η with η = − Cov(w ℓ, w) / Var(w); weights are not clipped, and R may fall below 0.
    Where no weight differs there is nothing to correct by, and η = 0.
    """
    w = evidence.importance
    weighted = w * evidence.loss
    if len(w) < 2 or np.ptp(w) < 1e-12:
        return -float(weighted.mean())
    covariance = np.cov(weighted, w)
    eta = -covariance[0, 1] / covariance[1, 1]
    return -float(weighted.mean() + eta * w.mean() - eta)


def entropy(evidence: Evidence) -> float:
    """− mean entropy of the predictions, in nats (Morerio et al., ICLR 2018): a sure candidate. In [−ln K, 0]."""
    return -float(entr(evidence.target_probability).sum(axis=1).mean())


def information_maximisation(evidence: Evidence) -> float:
    """Mutual information of window and class, H(mean p) − mean H(p) in nats: sure and diverse. In [0, ln K].

    Bridle et al., NeurIPS 1991; as a validator Musgrave et al., arXiv 2208.07360.
    """
    return float(entr(evidence.target_probability.mean(axis=0)).sum()) + entropy(evidence)


def soft_neighbourhood_density(evidence: Evidence) -> float:
    """Soft neighbourhood density of the softmax outputs (Saito et al., ICCV 2021), in nats.

    Outputs of unit length, their cosine similarities without a window's own, a softmax over neighbours at
    temperature 0.05, and the mean entropy of that: many near neighbours. At most ln(n − 1), which a candidate reaches
    that says the same of every window.
    """
    p = every(evidence.target_probability)
    if len(p) < 2:
        return math.nan
    unit = p / np.linalg.norm(p, axis=1, keepdims=True)
    excess = (unit @ unit.T - 1) / SND_TEMPERATURE  # at most 0, the same for all of a row: a softmax does not see it
    weight = np.exp(excess)
    np.fill_diagonal(weight, 0)
    total = weight.sum(axis=1)
    return float((np.log(total) - (weight * excess).sum(axis=1) / total).mean())  # H = ln Z − mean exponent


def batch_nuclear_norm(evidence: Evidence) -> float:
    """Nuclear norm of the (n, K) matrix of predictions over its bound √(n · min(n, K)) (Cui et al., CVPR 2020).

    Sure and diverse: 1 for one-hot predictions in equal shares, 1 / √K where all are one class, 1 / K where all are
    uniform (for n ≥ K). The paper divides by n, which changes no order among candidates.
    """
    p = evidence.target_probability
    return float(np.linalg.svd(p, compute_uv=False).sum()) / math.sqrt(len(p) * min(p.shape))


class Validator(NamedTuple):
    score: Callable[[Evidence], float]
    reads: frozenset[str]  # fields of the evidence
    values: bool  # can judge a regression


HELD_OUT = frozenset({"validation_probability", "validation_label"})
SHIFTED = HELD_OUT | {"validation_features", "train_features", "target_features"}
REVERSED = frozenset({"validation_features", "validation_label", "target_features", "target_probability"})
PREDICTIONS = frozenset({"target_probability"})
_VALIDATORS: dict[str, Validator] = {
    "source-validation": Validator(source_validation, HELD_OUT, values=True),
    "reverse-validation": Validator(reverse_validation, REVERSED, values=True),
    "iwcv": Validator(importance_weighted, SHIFTED, values=True),
    "dev": Validator(deep_embedded, SHIFTED, values=True),
    "entropy": Validator(entropy, PREDICTIONS, values=False),
    "information-maximisation": Validator(information_maximisation, PREDICTIONS, values=False),
    "snd": Validator(soft_neighbourhood_density, PREDICTIONS, values=False),
    "bnm": Validator(batch_nuclear_norm, PREDICTIONS, values=False),
}
VALIDATORS = tuple(_VALIDATORS)
READS_TARGET = frozenset(n for n, v in _VALIDATORS.items() if any(field.startswith("target") for field in v.reads))
NEEDS_VALIDATION = frozenset(n for n, v in _VALIDATORS.items() if any(f.startswith("validation") for f in v.reads))


def scores(evidence: Evidence) -> dict[str, float | None]:
    """What every validator says of a candidate, the higher the better.

    None where one cannot say: nobody was held out, classes are asked for and the target is a regression, a field it
    reads is empty or not finite, or so is what comes of it.
    """
    return {name: _score(validator, evidence) for name, validator in _VALIDATORS.items()}


def choose(candidates: Sequence[Mapping[str, float | None]], by: str) -> int:
    """Index of the best of candidates' `scores`; the first of equals. One without a score never wins.

    Raises:
        UserError: no such validator, or no candidate has a score.
    """
    if by not in VALIDATORS:
        raise UserError("selection", by, ", ".join(VALIDATORS), "name one of them")
    known = {i: score for i, row in enumerate(candidates) if (score := row[by]) is not None and math.isfinite(score)}
    if not known:
        needs = "hold source people out for validation, or " if by in NEEDS_VALIDATION else ""
        raise UserError(
            "selection",
            f"no score by {by} for any of {len(candidates)} candidates",
            "one at least (none is given where nobody is held out, for a regression, or where a run diverged)",
            f"{needs}choose another validator: {', '.join(n for n in VALIDATORS if n != by)}",
        )
    return max(known, key=lambda i: known[i])


def _score(validator: Validator, evidence: Evidence) -> float | None:
    if not (evidence.classes or validator.values):
        return None
    read = [getattr(evidence, field) for field in validator.reads]
    if not all(len(array) and np.isfinite(array).all() for array in read):
        return None
    value = validator.score(evidence)
    return value if math.isfinite(value) else None
