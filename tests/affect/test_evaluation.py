"""Metrics of classes, statistics and trivial predictors: by hand, and against sklearn and scipy."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import wilcoxon
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, roc_auc_score

from affect.evaluation.metrics import CLASSIFICATION, of_classes, pool, score
from affect.evaluation.statistics import as_dict, holm, interval, paired
from affect.evaluation.trivial import trivial, trivial_of

Array = NDArray[np.float64]
quick = settings(max_examples=50, deadline=None)


def hard(*classes: int, of: int) -> Array:
    """Probabilities all on one class."""
    return np.eye(of)[list(classes)]


def test_metrics_of_a_person_by_hand() -> None:
    """Of four classes the person has three, and one more is predicted: recalls 1/2, 1, 0."""
    label = np.array([0, 0, 1, 2])
    found = of_classes(label, hard(0, 3, 1, 1, of=4))
    assert found["balanced_accuracy"] == pytest.approx((1 / 2 + 1 + 0) / 3)
    assert found["accuracy"] == pytest.approx(2 / 4)
    # F1: 2/3 of class 0, 2/3 of 1, 0 of 2, which is missed, and 0 of 3, which is only predicted
    assert found["macro_f1"] == pytest.approx((2 / 3 + 2 / 3 + 0 + 0) / 4)


def test_macro_f1_leaves_out_classes_that_nobody_names() -> None:
    assert of_classes(np.array([0, 0, 2]), hard(0, 0, 2, of=8))["macro_f1"] == 1.0


def test_a_person_of_one_class_has_no_auroc() -> None:
    found = of_classes(np.array([1, 1, 1]), np.array([[0.2, 0.8], [0.6, 0.4], [0.3, 0.7]]))
    assert found["auroc"] is None
    assert found["balanced_accuracy"] == found["accuracy"] == pytest.approx(2 / 3)
    assert of_classes(np.array([1]), hard(1, of=3))["auroc"] is None


def test_auroc_of_two_classes_is_that_of_the_second() -> None:
    label, high = np.array([0, 1, 0, 1]), np.array([0.1, 0.4, 0.5, 0.9])
    found = of_classes(label, np.stack([1 - high, high], axis=1))
    assert found["auroc"] == pytest.approx(3 / 4)  # of the four pairs, one stands the wrong way round


@st.composite
def people(draw: st.DrawFn) -> tuple[NDArray[np.int64], Array, int]:
    """(n,) labels, some classes of K absent, and (n, K) probabilities, many of them equal or none."""
    classes, n = draw(st.integers(2, 5)), draw(st.integers(1, 30))
    generator = np.random.default_rng(draw(st.integers(0, 2**16)))
    has = generator.permutation(classes)[: draw(st.integers(1, classes))]
    probability = generator.dirichlet(np.ones(classes), n)
    if draw(st.booleans()):
        probability = (probability + 0.1).round(1)
    return generator.choice(has, n), probability / probability.sum(axis=1, keepdims=True), classes


@quick
@given(people())
@pytest.mark.filterwarnings("ignore")
def test_metrics_are_sklearns(person: tuple[NDArray[np.int64], Array, int]) -> None:
    label, probability, classes = person
    predicted, has = probability.argmax(axis=1), np.unique(label)
    found = of_classes(label, probability)
    assert set(found) == set(CLASSIFICATION)
    assert found["accuracy"] == pytest.approx(accuracy_score(label, predicted))
    assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(label, predicted))
    named = np.union1d(label, predicted)
    assert found["macro_f1"] == pytest.approx(f1_score(label, predicted, labels=named, average="macro"))
    if len(has) == 1:
        assert found["auroc"] is None
    elif classes == 2:
        assert found["auroc"] == pytest.approx(roc_auc_score(label, probability[:, 1]))
    else:
        areas = [roc_auc_score(label == c, probability[:, c]) for c in has]
        assert found["auroc"] == pytest.approx(np.mean(areas))
        if len(has) == classes:
            assert found["auroc"] == pytest.approx(roc_auc_score(label, probability, multi_class="ovr"))


def predictions(rows: list[tuple[str, int, int, float]]) -> pd.DataFrame:
    """From (subject, trial, label, probability of `high`) of the target `v`."""
    frame = pd.DataFrame(rows, columns=["subject", "trial", "label_v", "p_v_high"])
    return frame.assign(p_v_low=1 - frame["p_v_high"], window=np.arange(len(frame)))


WINDOWS = predictions(
    [
        *(("s2", 0, 1, p) for p in (0.9, 0.4, 0.4)),  # most windows are wrong, their mean is right
        *(("s2", 1, 0, p) for p in (0.1, 0.2)),
        *(("s1", 2, 1, p) for p in (0.3, 0.4)),
        *(("s1", 3, 1, p) for p in (0.8,)),
    ]
)


def test_a_trial_is_the_mean_of_its_windows() -> None:
    pooled = pool(WINDOWS, "v", ["low", "high"])
    assert pooled[["subject", "trial", "label_v"]].to_numpy().tolist() == [
        ["s2", 0, 1],
        ["s2", 1, 0],
        ["s1", 2, 1],
        ["s1", 3, 1],
    ]
    np.testing.assert_allclose(pooled["p_v_high"], [1.7 / 3, 0.15, 0.35, 0.8])
    np.testing.assert_allclose(pooled["p_v_low"] + pooled["p_v_high"], 1)


def test_scores_are_made_per_person_and_averaged_over_people() -> None:
    by_window, by_trial = (score(WINDOWS, "v", ["low", "high"], level) for level in ("window", "trial"))
    assert {p: m["accuracy"] for p, m in by_window["subjects"].items()} == {"s2": 3 / 5, "s1": 1 / 3}
    assert by_window["mean"]["accuracy"] == pytest.approx((3 / 5 + 1 / 3) / 2)
    assert {p: m["accuracy"] for p, m in by_trial["subjects"].items()} == {"s2": 1.0, "s1": 0.5}
    assert by_trial["subjects"]["s1"]["auroc"] is None
    assert by_trial["mean"]["auroc"] == by_trial["subjects"]["s2"]["auroc"] == 1.0


def test_a_mean_that_nobody_has_is_none() -> None:
    assert score(WINDOWS[WINDOWS["subject"] == "s1"], "v", ["low", "high"], "window")["mean"]["auroc"] is None


def test_the_order_of_windows_changes_no_score() -> None:
    shuffled = WINDOWS.sample(frac=1, random_state=0)
    for level in ("window", "trial"):
        one, two = (score(frame, "v", ["low", "high"], level)["subjects"] for frame in (WINDOWS, shuffled))
        for person in one:
            assert two[person] == pytest.approx(one[person])


def test_windows_without_a_label_are_not_scored() -> None:
    unknown = WINDOWS.assign(label_v=WINDOWS["label_v"].where(WINDOWS["trial"] != 1))
    found = score(unknown, "v", ["low", "high"], "window")["subjects"]
    assert found["s2"]["accuracy"] == 1 / 3
    nobody = WINDOWS.assign(label_v=WINDOWS["label_v"].where(WINDOWS["subject"] == "s1"))
    assert set(score(nobody, "v", ["low", "high"], "trial")["subjects"]) == {"s1"}


def test_a_trial_whose_label_changes_has_the_most_frequent_one() -> None:
    """As classes of a continuous annotation do; a tie goes to the lower class."""
    changing = predictions(
        [("s1", 0, 1, 0.9), ("s1", 0, 1, 0.5), ("s1", 0, 0, 0.1), ("s1", 1, 1, 0.9), ("s1", 1, 0, 0)]
    )
    pooled = pool(changing, "v", ["low", "high"])
    assert pooled["label_v"].tolist() == [1, 0]
    np.testing.assert_allclose(pooled["p_v_high"], [0.5, 0.45])


shares = st.lists(st.integers(0, 20).map(lambda n: n / 20), min_size=1, max_size=32)


@quick
@given(shares)
def test_the_interval_holds_the_mean_and_stays_inside_the_values(drawn: list[float]) -> None:
    values = np.array(drawn)
    found = interval(values, resamples=499)
    assert found.mean == pytest.approx(values.mean())
    assert values.min() - 1e-9 <= found.low <= found.mean <= found.high <= values.max() + 1e-9
    assert found.people == len(values)
    assert found.sd == pytest.approx(values.std(ddof=1) if len(values) > 1 else 0.0)


@pytest.mark.parametrize("values", [[0.7], [0.7, 0.7], [0.1] * 24, [0.0] * 3])
def test_where_people_do_not_differ_the_interval_is_a_point(values: list[float]) -> None:
    found = interval(np.array(values))
    assert found.low == found.high == found.mean == pytest.approx(values[0])
    assert found.sd == pytest.approx(0)


def test_the_interval_covers_as_often_as_it_says() -> None:
    """95 % nominal; with 20 people BCa reaches 92–95 %. 300 draws, three binomial deviations below 92 %: 87 %."""
    generator = np.random.default_rng(0)
    found = [interval(generator.normal(0.6, 0.1, 20), resamples=499) for _ in range(300)]
    covered = np.mean([i.low <= 0.6 <= i.high for i in found])
    assert 0.87 <= covered <= 0.99


def test_the_interval_leans_with_skewed_people() -> None:
    """What BCa is for: a few people far above pull the upper end out."""
    found = interval(np.array([0.5] * 16 + [0.9] * 3))
    assert found.high - found.mean > 1.2 * (found.mean - found.low)


def test_the_interval_is_the_same_every_time_and_narrows_with_people() -> None:
    values = np.random.default_rng(1).normal(0.6, 0.1, 40)
    assert interval(values) == interval(values)
    few = interval(values[:10])
    assert interval(values).high - interval(values).low < few.high - few.low


sixteenths = st.integers(0, 16).map(lambda n: n / 16)  # whose differences are exact


@quick
@given(st.lists(st.tuples(sixteenths, sixteenths), min_size=2, max_size=32))
def test_the_paired_test_is_scipys(drawn: list[tuple[float, float]]) -> None:
    method, reference = np.array(drawn).T
    difference = method - reference
    found = paired(method, reference)
    assert found.difference.mean == pytest.approx(difference.mean())
    assert (found.helped, found.hurt) == ((difference > 0).sum(), (difference < 0).sum())
    differ = difference[difference != 0]
    assert found.p == pytest.approx(wilcoxon(differ).pvalue if len(differ) else 1.0)


def test_people_who_do_not_differ_leave_the_test_exact() -> None:
    """Five of 24 differ, all for the better: two of the 32 ways in which they could."""
    method = np.concatenate([np.zeros(19), [0.1, 0.2, 0.3, 0.4, 0.5]])
    assert paired(method, np.zeros(24)).p == pytest.approx(2 / 32)


def test_five_people_all_helped_have_the_p_of_two_in_thirty_two() -> None:
    found = paired(np.array([0.6, 0.7, 0.8, 0.65, 0.9]), np.array([0.5, 0.55, 0.6, 0.4, 0.59]))
    assert found.p == pytest.approx(2 / 32)
    assert (found.helped, found.hurt) == (5, 0)
    assert found.difference.low > 0


def test_less_of_an_error_helps() -> None:
    lower, higher = np.array([0.5, 0.6, 0.4]), np.array([0.7, 0.8, 0.3])
    found = paired(lower, higher, lower_is_better=True)
    assert (found.helped, found.hurt) == (2, 1)
    assert found.difference.mean < 0
    assert paired(lower, higher).helped == 1


def test_where_nobody_differs_p_is_one() -> None:
    found = paired(np.full(6, 0.6), np.full(6, 0.6))
    assert (found.p, found.helped, found.hurt) == (1.0, 0, 0)
    assert found.difference.low == found.difference.high == 0


def test_a_difference_of_rounding_is_none() -> None:
    """The same three seeds, averaged in another order, differ in the last bit."""
    reference = np.array([np.mean([0.45, 0.55, 0.4]), 0.6, 0.5])
    method = np.array([np.mean([0.4, 0.45, 0.55]), 0.6, 0.7])
    assert method[0] != reference[0]
    found = paired(method, reference)
    assert (found.helped, found.hurt) == (1, 0)
    assert found.p == 1.0


@given(st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=8))
def test_holm_is_the_smallest_level_at_which_a_step_down_rejects(p: list[float]) -> None:
    """By the definition: order the tests, stop at the first p above α / (those that are left)."""

    def rejected(alpha: float) -> set[int]:
        found: set[int] = set()
        for rank, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
            if p[i] > alpha / (len(p) - rank):
                break
            found.add(i)
        return found

    for i, adjusted in enumerate(holm(p)):
        assert p[i] <= adjusted <= 1
        assert adjusted < 1 or i not in rejected(1 - 1e-6)
        assert adjusted == 1 or i in rejected(adjusted * (1 + 1e-9))
        assert adjusted == 1 or i not in rejected(adjusted * (1 - 1e-6))


def test_statistics_become_plain_data() -> None:
    plain = as_dict(paired(np.array([0.6, 0.7]), np.array([0.5, 0.5])))
    assert set(plain) == {"difference", "p", "effect", "helped", "hurt"}
    assert set(plain["difference"]) == {"mean", "low", "high", "sd", "people"}  # type: ignore[call-overload]


CLASSES = ["low", "middle", "high"]


COLUMNS = [f"p_v_{name}" for name in CLASSES]
PRIORS = [0.2, 0.5, 0.3]
SOURCE = dict(zip(CLASSES, PRIORS, strict=True))


@pytest.fixture
def many() -> pd.DataFrame:
    generator = np.random.default_rng(0)
    probability = pd.DataFrame(generator.dirichlet(np.ones(3), 9000), columns=COLUMNS)
    label, window = generator.integers(0, 3, 9000), np.arange(9000)
    return probability.assign(subject="s1", trial=window // 3, window=window, label_v=label)


@pytest.mark.parametrize(
    ("kind", "expected"), [("majority", [0, 1, 0]), ("class-ratio", PRIORS), ("random", [1 / 3] * 3)]
)
def test_trivial_predictors_name_classes_in_their_shares(kind: str, expected: list[float], many: pd.DataFrame) -> None:
    found = trivial(kind, many, "v", CLASSES, SOURCE)
    guessed = found[COLUMNS].to_numpy()
    assert ((guessed == 0) | (guessed == 1)).all()
    np.testing.assert_array_equal(guessed.sum(axis=1), 1)
    np.testing.assert_allclose(guessed.mean(axis=0), expected, atol=0.02)
    pd.testing.assert_frame_equal(found.drop(columns=COLUMNS), many.drop(columns=COLUMNS))
    assert score(found, "v", CLASSES, "window")["mean"]["balanced_accuracy"] == pytest.approx(1 / 3, abs=0.02)


@pytest.mark.parametrize("kind", trivial_of(CLASSES))
def test_trivial_predictors_look_at_neither_labels_nor_predictions(kind: str, many: pd.DataFrame) -> None:
    other = many.assign(label_v=0, p_v_low=0.0, p_v_middle=0.0, p_v_high=1.0)
    one, two = (trivial(kind, frame, "v", CLASSES, SOURCE)[COLUMNS] for frame in (many, other))
    pd.testing.assert_frame_equal(one, two)


@pytest.mark.parametrize(("people", "least", "most"), [(8, 0.25, 0.45), (24, 0.17, 0.35)])
def test_how_often_cross_subject_intervals_miss_chance(people: int, least: float, most: float) -> None:
    """The caution of the module: with nothing to find, people who train each other's models are not independent.

    A person's score is the agreement of their own chance regularities with the others' mean; its mean is 0.
    """
    generator = np.random.default_rng(0)
    missed = []
    for number in range(200):
        own = generator.standard_normal((people, 5))
        others = (own.sum(axis=0) - own) / (people - 1)
        found = interval((own * others).sum(axis=1), seed=number, resamples=499)
        missed.append(not found.low <= 0 <= found.high)
    assert least < np.mean(missed) < most
