"""Classical models: what they learn by hand, weights that count, seeds that reproduce, words for what cannot be."""

import inspect
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

import affect.classical
from affect.classical import (
    SVM,
    Classical,
    FisherNaiveBayes,
    ForestLeaves,
    LogisticRegression,
    RandomForest,
    Ridge,
)

MODELS: list[Callable[[], Classical]] = [
    FisherNaiveBayes,
    lambda: FisherNaiveBayes(threshold=0.0, priors="equal"),
    SVM,
    lambda: SVM(kernel="linear", C=0.1),
    lambda: SVM(gamma=0.05),
    lambda: RandomForest(trees=20),
    lambda: RandomForest(trees=20, depth=3),
    Ridge,
    LogisticRegression,
    lambda: ForestLeaves(trees=20),
]
OF_VALUES = [make for make in MODELS if make().values]
BY_WEIGHT_EXACTLY = [make for make in MODELS if not isinstance(make(), RandomForest | ForestLeaves)]
Rows = tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]


def _classes(count: int, rows: int = 120, seed: int = 0) -> Rows:
    """Windows of which two features tell the class and four tell nothing; uneven weights."""
    random = np.random.default_rng(seed)
    label = np.arange(rows) % count
    x = random.standard_normal((rows, 6))
    x[:, 0] += 2.5 * (label - (count - 1) / 2)
    x[:, 1] += 2.5 * (label == 0)
    return x.astype(np.float32), label.astype(np.float64), random.uniform(0.5, 1.5, rows)


def _values(rows: int = 200, seed: int = 0) -> Rows:
    """Ratings about 5 that follow one feature."""
    random = np.random.default_rng(seed)
    x = random.standard_normal((rows, 6))
    return x.astype(np.float32), 5 + 1.5 * x[:, 0] + 0.3 * random.standard_normal(rows), np.ones(rows)


def _named(make: Callable[[], Classical]) -> str:
    return type(make()).__name__


def test_every_model_of_the_room_is_tested_here() -> None:
    room = {name for name, c in vars(affect.classical).items() if inspect.isclass(c) and issubclass(c, Classical)} - {
        "Classical"
    }
    assert room == {_named(make) for make in MODELS}
    assert room < set(affect.classical.__all__)


@pytest.mark.parametrize("make", MODELS, ids=_named)
@pytest.mark.parametrize("count", [2, 3])
def test_classes_are_learnt_and_probabilities_sum_to_one(make: Callable[[], Classical], count: int) -> None:
    model = make()
    model.fit(*_classes(count), count, seed=0)
    x, label, _ = _classes(count, seed=1)
    probabilities = model.predict(x)
    assert probabilities.shape == (len(x), count)
    assert probabilities.dtype == np.float64
    assert (probabilities >= 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert (probabilities.argmax(axis=1) == label).mean() > 0.8
    np.testing.assert_allclose(model.predict(x[3:4])[0], probabilities[3], atol=1e-9)  # knows no neighbours


@pytest.mark.parametrize("make", OF_VALUES, ids=_named)
def test_values_are_learnt_on_their_own_scale(make: Callable[[], Classical]) -> None:
    model = make()
    model.fit(*_values(), 0, seed=0)
    x, label, _ = _values(seed=1)
    found = model.predict(x)
    assert found.shape == (len(x), 1)
    assert np.corrcoef(found[:, 0], label)[0, 1] > 0.7
    assert abs(found.mean() - 5) < 0.5


@pytest.mark.parametrize("make", MODELS, ids=_named)
def test_what_cannot_be_learnt_is_refused_in_words(make: Callable[[], Classical]) -> None:
    model = make()
    x, label, weight = _classes(2)
    with pytest.raises(ValueError, match=r"two classes or more to learn from; all 120 are of class number 1"):
        model.fit(x, np.ones_like(label), weight, 2, seed=0)
    with pytest.raises(ValueError, match="all 60 are of class number 0"):  # of the other, no row weighs anything
        model.fit(x, label, np.where(label == 0, weight, 0.0), 2, seed=0)
    with pytest.raises(ValueError, match="no window to learn from"):
        model.fit(x, label, 0 * weight, 2, seed=0)
    if not model.values:
        with pytest.raises(ValueError, match="learns classes, not values"):
            model.fit(*_values(), 0, seed=0)


@pytest.mark.parametrize("make", MODELS, ids=_named)
def test_a_class_without_a_window_gets_probability_zero(make: Callable[[], Classical]) -> None:
    model = make()
    x, label, weight = _classes(3)
    here = label != 1
    model.fit(x[here], label[here], weight[here], 4, seed=0)
    probabilities = model.predict(x)
    assert probabilities.shape == (len(x), 4)
    assert not probabilities[:, [1, 3]].any()
    assert (probabilities.argmax(axis=1) == label)[here].mean() > 0.9


@pytest.mark.parametrize("make", MODELS, ids=_named)
def test_seeds_reproduce_and_a_model_is_fitted_anew(make: Callable[[], Classical]) -> None:
    model, again = make(), make()
    model.fit(*_classes(3, seed=5), 3, seed=9)
    for one in (model, again):
        one.fit(*_classes(2), 2, seed=4)
    x, _, _ = _classes(2, seed=1)
    np.testing.assert_array_equal(model.predict(x), again.predict(x))


@pytest.mark.parametrize("make", [lambda: RandomForest(trees=20), lambda: ForestLeaves(trees=20)], ids=_named)
def test_another_seed_is_another_forest(make: Callable[[], Classical]) -> None:
    found = []
    for seed in (0, 1):
        model = make()
        model.fit(*_classes(2), 2, seed=seed)
        found.append(model.predict(_classes(2, seed=1)[0]))
    assert not np.array_equal(*found)


@pytest.mark.parametrize("make", MODELS, ids=_named)
def test_rows_without_weight_are_not_there(make: Callable[[], Classical]) -> None:
    x, label, weight = _classes(2)
    wrong = np.arange(len(x)) % 3 == 0
    given, left = make(), make()
    given.fit(np.where(wrong[:, None], 99, x), np.where(wrong, 1 - label, label), weight * ~wrong, 2, seed=0)
    left.fit(x[~wrong], label[~wrong], weight[~wrong], 2, seed=0)
    np.testing.assert_array_equal(given.predict(x), left.predict(x))


@pytest.mark.parametrize("make", BY_WEIGHT_EXACTLY, ids=_named)
def test_weight_two_is_a_row_twice(make: Callable[[], Classical]) -> None:
    """But for `gamma="scale"`, which is of the features and asks for no weights."""
    for classes, (x, label, weight) in {2: _classes(2), 0: _values()}.items():
        weighted, repeated, plain = (make() for _ in range(3))
        if not classes and not weighted.values:
            continue
        twice = np.arange(len(x)) % 4 == 0
        if isinstance(weighted, SVM) and weighted.gamma == "scale":
            weighted.gamma = repeated.gamma = plain.gamma = 0.1
        double = np.concatenate([np.arange(len(x)), np.flatnonzero(twice)])
        weighted.fit(x, label, weight * (1 + twice), classes, seed=0)
        repeated.fit(x[double], label[double], weight[double], classes, seed=0)
        plain.fit(x, label, weight, classes, seed=0)
        tolerance = 5e-3 if isinstance(weighted, SVM) else 1e-4  # of their solvers
        np.testing.assert_allclose(weighted.predict(x), repeated.predict(x), atol=tolerance)
        assert np.abs(plain.predict(x) - repeated.predict(x)).max() > 2 * tolerance


@pytest.mark.parametrize("make", MODELS, ids=_named)
def test_weights_decide_between_rows_that_contradict_each_other(make: Callable[[], Classical]) -> None:
    """Half of the rows say the opposite: the heavier half is believed, whichever it is."""
    x, label, _ = _classes(2, rows=200)
    turned = np.arange(len(x)) // 2 % 2 == 0
    for believed in (turned, ~turned):
        model = make()
        model.fit(x, np.where(turned, 1 - label, label), np.where(believed, 1.8, 0.2), 2, seed=0)
        wanted = 1 - label if believed is turned else label
        assert (model.predict(x).argmax(axis=1) == wanted).mean() > 0.8


@pytest.mark.parametrize("priors", ["empirical", "equal"])
def test_naive_bayes_by_hand(priors: str) -> None:
    """Fisher's J, the features above the threshold, normal densities and Bayes' rule, all weighted."""
    x, label, weight = _classes(3)
    weight = weight * np.where(label == 2, 3.0, 1.0)
    model = FisherNaiveBayes(0.3, priors)  # type: ignore[arg-type]
    model.fit(x, label, weight, 3, seed=0)
    mean = np.stack([np.average(x[label == k], axis=0, weights=weight[label == k]) for k in range(3)])
    variance = np.stack(
        [np.average((x[label == k] - mean[k]) ** 2, axis=0, weights=weight[label == k]) for k in range(3)]
    )
    pairs = [(0, 1), (0, 2), (1, 2)]
    j = np.max([(mean[a] - mean[b]) ** 2 / (variance[a] + variance[b]) for a, b in pairs], axis=0)
    kept = np.flatnonzero(j > 0.3)
    assert list(kept) == [0, 1]
    np.testing.assert_array_equal(model.selected, kept)
    prior = np.array([weight[label == k].sum() for k in range(3)]) if priors == "empirical" else np.ones(3)
    new = _classes(3, seed=1)[0].astype(float)
    log = np.log(prior / prior.sum()) + np.stack(
        [
            (-((new - mean[k]) ** 2) / (2 * variance[k]) - np.log(2 * np.pi * variance[k]) / 2)[:, kept].sum(axis=1)
            for k in range(3)
        ],
        axis=1,
    )
    expected = np.exp(log) / np.exp(log).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.predict(new.astype(np.float32)), expected, atol=1e-6)


def test_naive_bayes_keeps_the_best_feature_where_none_is_good_and_no_constant_one() -> None:
    x, label, weight = _classes(2)
    x[:, 0] += 2 * label
    x[:, 5] = 7.0
    model = FisherNaiveBayes(threshold=1e6)
    model.fit(x, label, weight, 2, seed=0)
    assert list(model.selected) == [0]
    every = FisherNaiveBayes(threshold=0)
    every.fit(x, label, weight, 2, seed=0)
    assert 5 not in every.selected
    x[:, 4] = label  # constant within each class: the clearest there is
    model.fit(x, label, weight, 2, seed=0)
    assert list(model.selected) == [4]


def test_ridge_by_hand() -> None:
    """The normal equations of the weighted mean square and the penalty, around weighted means."""
    x, label, _ = _values()
    weight = np.random.default_rng(0).uniform(0.5, 1.5, len(x))
    model = Ridge(strength=0.5)
    model.fit(x, label, weight, 0, seed=0)
    centre, middle = np.average(x, axis=0, weights=weight), np.average(label, weights=weight)
    share = weight / weight.sum()
    moment = (x - centre).T * share @ (x - centre) + 0.5 * np.eye(6)
    slope = np.linalg.solve(moment, (x - centre).T * share @ (label - middle))
    np.testing.assert_allclose(model.predict(x)[:, 0], middle + (x - centre) @ slope, rtol=1e-4)


def test_leaves_are_one_per_tree_and_their_products_are_shared_leaves() -> None:
    model = ForestLeaves(trees=25)
    model.fit(*_classes(2), 2, seed=0)
    x, _, _ = _classes(2, seed=1)
    leaves = model.leaves(x)
    assert (leaves.getnnz(axis=1) == 25).all()
    np.testing.assert_allclose(leaves.data, 1 / 5)
    number = model._forest.apply(x)
    shared = (number[:, None] == number[None]).mean(axis=2)
    np.testing.assert_allclose((leaves @ leaves.T).toarray(), shared)


def test_leaves_come_from_the_source_and_are_read_as_the_target_person_reads_them() -> None:
    """The person's classes are the other way round; so is the answer, from a forest that never saw them."""
    x, label, weight = _classes(2, rows=300)
    own = np.arange(len(x)) >= 260
    told = np.where(own, 1 - label, label)
    calibrated, source_only, one_class = (ForestLeaves(trees=30) for _ in range(3))
    calibrated.fit(x, told, weight, 2, seed=0, target=own)
    new, wanted, _ = _classes(2, seed=1)
    assert (calibrated.predict(new).argmax(axis=1) == 1 - wanted).mean() > 0.8

    source_only.fit(x[~own], told[~own], weight[~own], 2, seed=0)
    assert (source_only.predict(new).argmax(axis=1) == wanted).mean() > 0.8
    np.testing.assert_array_equal(calibrated._forest.apply(new), source_only._forest.apply(new))

    one_class.fit(x, np.where(own, 0.0, label), weight, 2, seed=0, target=own)  # of one class only: all rows count
    assert (one_class.predict(new).argmax(axis=1) == wanted).mean() > 0.8


def test_leaves_of_values_are_read_as_the_target_person_reads_them() -> None:
    x, label, weight = _values(300)
    own = np.arange(len(x)) >= 240
    model = ForestLeaves(trees=30)
    model.fit(x, np.where(own, 10 - label, label), weight, 0, seed=0, target=own)
    new, wanted, _ = _values(seed=1)
    assert np.corrcoef(model.predict(new)[:, 0], 10 - wanted)[0, 1] > 0.7


@pytest.mark.parametrize("make", [make for make in MODELS if _named(make) != "ForestLeaves"], ids=_named)
def test_the_others_weigh_the_persons_own_windows_like_any(make: Callable[[], Classical]) -> None:
    x, label, weight = _classes(2)
    told, untold = make(), make()
    told.fit(x, label, weight, 2, seed=0, target=np.arange(len(x)) > 100)
    untold.fit(x, label, weight, 2, seed=0)
    np.testing.assert_array_equal(told.predict(x), untold.predict(x))
