"""How sure and how rightly: against closed forms, sklearn, torch, torchmetrics and MAPIE's own classifier."""

import warnings

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import brier_score_loss, log_loss
from torchmetrics.functional.classification import multiclass_calibration_error

from affect.evaluation.conformal import NOMINAL, of_sets, prediction_sets, shortfall
from affect.evaluation.reliability import BINS, brier, expected_calibration_error, reliability_curve
from affect.evaluation.selection import TINY
from affect.evaluation.selective import COVERAGES, at_coverages, aurc, risk_coverage
from affect.evaluation.temperature import LIMITS, fit_temperature, scaled

Array = NDArray[np.float64]
Labels = NDArray[np.int64]


def drawn(probability: Array, generator: np.random.Generator) -> Labels:
    """(n,) labels that occur as often as the (n, K) probabilities say."""
    return np.asarray((probability.cumsum(axis=1) > generator.random((len(probability), 1))).argmax(axis=1), np.int64)


def people(n: int, classes: int, seed: int, sharper: float = 1.0) -> tuple[Array, Labels]:
    """Calibrated probabilities with their labels; `sharper` > 1 is too sure of itself by that temperature."""
    generator = np.random.default_rng(seed)
    true = generator.dirichlet(np.ones(classes), n)
    return scaled(true, 1 / sharper), drawn(true, generator)


# ---- temperature


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("sharper", [0.5, 1.0, 3.0])
def test_a_temperature_undoes_what_made_a_model_too_sure(classes: int, sharper: float) -> None:
    probability, label = people(8_000, classes, 1, sharper)
    found = fit_temperature(probability, label)
    assert found == pytest.approx(sharper, rel=0.05)
    after = scaled(probability, found)
    assert (after.argmax(axis=1) == probability.argmax(axis=1)).all()
    assert expected_calibration_error(after, label) < 0.02
    # A grid, and torch's L-BFGS on the temperature of the logits, find no less.
    losses = [log_loss(label, scaled(probability, found * step)) for step in np.linspace(0.5, 2, 31)]
    least = log_loss(label, after)
    assert least <= min(losses) + 1e-9
    logits = torch.from_numpy(np.log(np.maximum(probability, TINY)))
    temperature = torch.ones(1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([temperature], line_search_fn="strong_wolfe", max_iter=100)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(logits / temperature, torch.from_numpy(label))
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)
    assert found == pytest.approx(temperature.item(), rel=1e-3)


def test_a_temperature_without_a_least_loss_stays_within_its_limits() -> None:
    right = np.array([[0.6, 0.4], [0.3, 0.7]])
    assert fit_temperature(right, np.array([0, 1])) == LIMITS[0]
    assert fit_temperature(right, np.array([1, 0])) == LIMITS[1]
    sure = np.tile(np.array([1.0, 0.0], np.float32), (10, 1))  # once in ten it is the class of probability 0
    assert scaled(sure, fit_temperature(sure, np.array([0] * 9 + [1])))[0, 0] == pytest.approx(0.9)


# ---- reliability


def test_the_calibration_error_by_hand() -> None:
    """Two bins: .9 twice, right once; .6 twice, right both times."""
    probability = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.4, 0.6]])
    label = np.array([0, 1, 0, 1])
    assert reliability_curve(probability, label) == [
        {"confidence": pytest.approx(0.6), "accuracy": 1.0, "share": 0.5},
        {"confidence": pytest.approx(0.9), "accuracy": 0.5, "share": 0.5},
    ]
    assert expected_calibration_error(probability, label) == pytest.approx(0.5 * 0.4 + 0.5 * 0.4)


@pytest.mark.parametrize("classes", [2, 4])
def test_the_calibration_error_is_torchmetrics(classes: int) -> None:
    probability, label = people(500, classes, 2, 2.0)
    theirs = multiclass_calibration_error(torch.from_numpy(probability), torch.from_numpy(label), classes, n_bins=BINS)
    assert expected_calibration_error(probability, label) == pytest.approx(float(theirs), abs=1e-6)
    sure = np.eye(classes)[label]
    assert expected_calibration_error(sure, label) == 0


def test_few_windows_make_a_calibrated_model_look_worse() -> None:
    many = expected_calibration_error(*people(50_000, 2, 3))
    few = np.mean([expected_calibration_error(*people(60, 2, seed)) for seed in range(200)])
    assert many < 0.01
    assert few == pytest.approx(0.1, abs=0.03)


@pytest.mark.parametrize("classes", [2, 4])
def test_the_brier_score_is_sklearns(classes: int) -> None:
    probability, label = people(300, classes, 4, 2.0)
    assert brier(probability, label) == pytest.approx(brier_score_loss(label, probability, scale_by_half=True))
    assert brier(np.full((4, 2), 0.5), np.array([0, 1, 1, 0])) == 0.25


# ---- selective prediction


def test_the_risk_coverage_curve_by_hand() -> None:
    """Errors at ranks 2 and 4 of four; then all equally sure, where any order gives the share of errors."""
    probability = np.array([[0.95, 0.05], [0.9, 0.1], [0.2, 0.8], [0.4, 0.6]])
    label = np.array([0, 1, 1, 0])
    np.testing.assert_allclose(risk_coverage(probability, label), [0, 1 / 2, 1 / 3, 1 / 2])
    assert aurc(probability, label) == pytest.approx((1 / 2 + 1 / 3 + 1 / 2) / 4)
    even = np.full((4, 2), [0.7, 0.3])
    np.testing.assert_allclose(risk_coverage(even, label), np.full(4, 0.5))
    assert at_coverages(risk_coverage(probability, label))[-1] == 0.5
    assert at_coverages(np.array([0.0, 1.0]))[COVERAGES.index(0.5) : COVERAGES.index(0.5) + 2] == [0.0, 1.0]


def test_confidence_that_means_nothing_gains_nothing() -> None:
    probability, label = people(20_000, 3, 5)
    wrong = 1 - (probability.argmax(axis=1) == label).mean()
    assert aurc(probability, label) < 0.8 * wrong
    shuffled = np.random.default_rng(0).permutation(probability)
    assert aurc(shuffled, label) == pytest.approx(2 / 3, abs=0.03)


# ---- conformal sets


class Given(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """What MAPIE's classifier asks for, when probabilities are all there is."""

    classes_ = np.arange(4)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def predict_proba(self, x: Array) -> Array:
        return x

    def predict(self, x: Array) -> Labels:
        return np.asarray(x.argmax(axis=1), np.int64)


def test_sets_are_those_of_mapies_classifier() -> None:
    from mapie.classification import SplitConformalClassifier

    (held_out, label), (tested, _) = people(300, 4, 6), people(1000, 4, 7)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = SplitConformalClassifier(Given(), confidence_level=NOMINAL).conformalize(held_out, label)
    np.testing.assert_array_equal(prediction_sets(held_out, label, tested), theirs.predict_set(tested)[1][:, :, 0])


@pytest.mark.parametrize(("classes", "sharper"), [(2, 1.0), (2, 4.0), (5, 1.0), (5, 4.0)])
def test_exchangeable_windows_are_covered_as_promised(classes: int, sharper: float) -> None:
    """Whether the model is calibrated or not."""
    found = []
    for seed in range(150):
        held_out, label = people(200, classes, 2 * seed, sharper)
        tested, theirs = people(500, classes, 2 * seed + 1, sharper)
        found.append(of_sets(theirs, prediction_sets(held_out, label, tested)))
    assert np.mean([one["coverage"] for one in found]) == pytest.approx(NOMINAL, abs=0.02)
    assert 1 < np.mean([one["set_size"] for one in found]) < classes


def test_people_who_are_not_like_the_source_are_covered_less() -> None:
    held_out, label = people(2000, 3, 8)
    tested, theirs = people(2000, 3, 9, sharper=4.0)
    found = of_sets(theirs, prediction_sets(held_out, label, tested))["coverage"]
    assert found < 0.8
    said = shortfall([found, 0.95])
    assert (
        f"{NOMINAL - (found + 0.95) / 2:.3f} short; 1 of 2 people are below, the lowest at {100 * found:.0f} %" in said
    )
    assert "not short on average; 0 of 1" in shortfall([0.93])


def test_too_few_held_out_labels_promise_nothing_but_everything() -> None:
    held_out, label = people(9, 3, 10)
    tested, _ = people(50, 3, 11)
    assert prediction_sets(held_out[:8], label[:8], tested).all()
    assert not prediction_sets(held_out, label, np.array([[1.0, 0.0, 0.0]])).all()
