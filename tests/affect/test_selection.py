"""Validators without target labels: closed forms, planted shifts, rankings, and what cannot be judged."""

import math
from dataclasses import fields, replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import entropy as entropy_of
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import balanced_accuracy_score, log_loss
from sklearn.metrics.pairwise import cosine_similarity

from affect.errors import UserError
from affect.evaluation.probe import ROWS
from affect.evaluation.selection import (
    NEEDS_VALIDATION,
    READS_TARGET,
    REVERSE_PENALTY,
    VALIDATORS,
    Evidence,
    choose,
    scores,
)

Array = NDArray[np.float64]
ON_PREDICTIONS = {"entropy", "information-maximisation", "snd", "bnm"}


def evidence(seed: int = 0, rows: int = 80, dim: int = 3, classes: int = 3) -> Evidence:
    """Of a candidate that has something right: classes lie along the first features, the target a little off."""
    rng = np.random.default_rng(seed)
    train, held_out, target = (rng.integers(0, classes, rows) for _ in range(3))
    centres = 2 * np.eye(classes, dim)

    def probability(x: Array) -> Array:
        logits = x @ centres.T
        return np.asarray(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))

    x_v, x_t = centres[held_out] + rng.normal(size=(rows, dim)), centres[target] + 0.4 + rng.normal(size=(rows, dim))
    x_s = centres[train] + rng.normal(size=(rows, dim))
    return Evidence(x_s, x_v, probability(x_v), held_out.astype(float), x_t, probability(x_t), classes)


def said(found: Evidence, name: str) -> float:
    value = scores(found)[name]
    assert value is not None
    return value


def predicting(probability: list[list[float]] | Array) -> Evidence:
    p = np.array(probability)
    return replace(evidence(), target_probability=p, target_features=np.zeros((len(p), 3)), classes=p.shape[1])


def weights(found: Evidence) -> Array:
    """Density ratio by hand: the odds of the target, of a classifier in which it weighs as much as the source."""
    x = np.concatenate([found.train_features, found.target_features])
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    domain = np.repeat([0, 1], [len(found.train_features), len(found.target_features)])
    weight = len(x) / 2 / np.bincount(domain)[domain]
    told = LogisticRegression(C=1 / x.shape[1]).fit((x - mean) / deviation, domain, weight)
    p = told.predict_proba((found.validation_features - mean) / deviation)
    return np.asarray(p[:, 1] / p[:, 0])


# --- each against its equation


def test_source_validation_is_minus_the_cross_entropy() -> None:
    found = evidence()
    assert said(found, "source-validation") == pytest.approx(
        -log_loss(found.validation_label, found.validation_probability)
    )


def test_a_certain_error_costs_a_lot_but_not_everything() -> None:
    found = evidence()
    wrong = np.eye(3)[(found.validation_label.astype(int) + 1) % 3]
    assert -20 < said(replace(found, validation_probability=wrong), "source-validation") < -10


def test_reverse_validation_is_a_classifier_of_pseudo_labels_scored_on_the_held_out_source() -> None:
    found = evidence()
    mean, deviation = found.target_features.mean(axis=0), found.target_features.std(axis=0)
    pseudo = found.target_probability.argmax(axis=1)
    model = LogisticRegression(C=1 / (REVERSE_PENALTY * len(pseudo))).fit(
        (found.target_features - mean) / deviation, pseudo
    )
    predicted = model.predict((found.validation_features - mean) / deviation)
    error = 1 - balanced_accuracy_score(found.validation_label, predicted)
    assert 0.05 < error < 0.5
    assert said(found, "reverse-validation") == pytest.approx(-error)


def test_iwcv_and_dev_follow_their_equations() -> None:
    found, _ = under_shift(0, 1.0)
    found = replace(
        found, target_features=found.target_features[:250], target_probability=found.target_probability[:250]
    )
    w = weights(found)
    rows = np.arange(len(w))
    weighted = w * -np.log(found.validation_probability[rows, found.validation_label.astype(int)])
    assert said(found, "iwcv") == pytest.approx(-weighted.mean(), rel=1e-3)
    eta = -np.cov(weighted, w)[0, 1] / np.var(w, ddof=1)
    assert said(found, "dev") == pytest.approx(-(weighted.mean() + eta * w.mean() - eta), rel=1e-3)
    assert abs(said(found, "dev") - said(found, "iwcv")) > 0.01


def test_predictions_alone_by_hand() -> None:
    p = [[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]]
    found = predicting(p)
    mean_of_entropies = np.mean([entropy_of(row) for row in p])
    assert said(found, "entropy") == pytest.approx(-mean_of_entropies)
    assert said(found, "information-maximisation") == pytest.approx(entropy_of(np.mean(p, axis=0)) - mean_of_entropies)
    gram = np.array(p).T @ np.array(p)  # its eigenvalues are the squared singular values
    assert said(found, "bnm") == pytest.approx(np.sqrt(np.linalg.eigvalsh(gram)).sum() / np.sqrt(3 * 2))


def test_snd_is_the_entropy_over_neighbours() -> None:
    found = evidence(rows=30)
    similarity = cosine_similarity(found.target_probability)
    expected = [entropy_of(np.exp(np.delete(row, i) / 0.05)) for i, row in enumerate(similarity)]
    assert said(found, "snd") == pytest.approx(np.mean(expected))


@pytest.mark.parametrize(
    ("p", "expected"),
    [
        (np.eye(4)[np.arange(40) % 4], {"entropy": 0, "information-maximisation": math.log(4), "bnm": 1}),
        (
            np.eye(4)[np.zeros(40, int)],
            {"entropy": 0, "information-maximisation": 0, "bnm": 1 / 2, "snd": math.log(39)},
        ),
        (np.full((40, 4), 0.25), {"entropy": -math.log(4), "information-maximisation": 0, "bnm": 1 / 4}),
        (np.eye(4)[:3], {"entropy": 0, "information-maximisation": math.log(3), "bnm": 1}),  # fewer rows than classes
    ],
    ids=["sure and diverse", "one class", "unsure", "three windows of four classes"],
)
def test_extremes(p: Array, expected: dict[str, float]) -> None:
    found = scores(predicting(p))
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-6)


def test_a_regression_is_judged_by_its_squared_error() -> None:
    rng = np.random.default_rng(0)
    x_s, x_v, x_t = (rng.normal(size=(60, 4)) for _ in range(3))
    value = x_v[:, 0] + 0.1 * rng.normal(size=60)
    found = Evidence(x_s, x_v, 0.5 * x_v[:, :1], value, x_t, 0.5 * x_t[:, :1], 0)
    table = scores(found)
    assert {name for name, score in table.items() if score is None} == ON_PREDICTIONS
    assert table["source-validation"] == pytest.approx(-np.square(0.5 * x_v[:, 0] - value).mean())
    mean, deviation = x_t.mean(axis=0), x_t.std(axis=0)
    reverse = Ridge(alpha=REVERSE_PENALTY * 60).fit((x_t - mean) / deviation, 0.5 * x_t[:, 0])
    expected = -np.square(reverse.predict((x_v - mean) / deviation) - value).mean()
    assert table["reverse-validation"] == pytest.approx(expected)


# --- shifts


def under_shift(seed: int, shift: float) -> tuple[Evidence, float]:
    """A candidate that errs where the target is dense, and its true risk there."""
    rng = np.random.default_rng(seed)
    x_s, x_v, x_t = (rng.normal(size=(rows, 4)) for rows in (600, 600, 600))
    x_t[:, 0] += shift

    def probability(x: Array) -> Array:
        return np.stack([expit(-x[:, 0]), expit(x[:, 0])], axis=1)

    y_v, y_t = ((rng.random(len(x)) < expit(-x[:, 0])).astype(float) for x in (x_v, x_t))
    risk = log_loss(y_t, probability(x_t))
    return Evidence(x_s, x_v, probability(x_v), y_v, x_t, probability(x_t), 2), risk


def test_without_a_shift_weighting_changes_little() -> None:
    for seed in range(3):
        table = scores(under_shift(seed, 0)[0])
        assert table["iwcv"] == pytest.approx(table["source-validation"], abs=0.15)
        assert table["dev"] == pytest.approx(table["source-validation"], abs=0.05)


def test_a_covariate_shift_is_corrected_towards_the_risk_on_the_target() -> None:
    gap: dict[str, list[float]] = {name: [] for name in ("source-validation", "iwcv", "dev")}
    for seed in range(5):
        found, risk = under_shift(seed, 1.0)
        table = scores(found)
        for name, gaps in gap.items():
            gaps.append(-(table[name] or math.nan) - risk)
    size = {name: abs(np.mean(gaps)) for name, gaps in gap.items()}
    assert size["source-validation"] > 0.15
    assert size["iwcv"] < size["source-validation"] / 2
    assert size["dev"] < size["source-validation"] / 2


def test_the_control_variate_steadies_the_estimate() -> None:
    """A loss that is the same everywhere is known exactly, however the weights fell."""
    found, _ = under_shift(0, 1.0)
    flat = replace(found, validation_probability=np.full_like(found.validation_probability, 0.5))
    assert said(flat, "dev") == pytest.approx(-math.log(2))
    assert abs(said(flat, "iwcv") + math.log(2)) > 1e-3


# --- rankings


def judged(spoiled: list[Array], seed: int) -> tuple[list[dict[str, float | None]], list[float]]:
    """Scores of one head on a target that candidates left spoiled by each of these maps, and accuracies there.

    The held-out source is the same for all, so that source validation is blind to every difference.
    """
    rng = np.random.default_rng(seed)
    y_s, y_v, y_t = (rng.integers(0, 2, 300) for _ in range(3))
    x_s, x_v, x_t = (np.outer(2 * y - 1, [2.0, 0.0]) + rng.normal(size=(300, 2)) for y in (y_s, y_v, y_t))
    head = LogisticRegression().fit(x_s, y_s)
    table, accuracy = [], []
    for matrix in spoiled:
        p_t = head.predict_proba(x_t @ matrix)
        table.append(scores(Evidence(x_s, x_v, head.predict_proba(x_v), y_v.astype(float), x_t @ matrix, p_t, 2)))
        accuracy.append(float((p_t.argmax(axis=1) == y_t).mean()))
    assert len({row["source-validation"] for row in table}) == 1
    return table, accuracy


def turned(degrees: float) -> Array:
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[cosine, sine], [-sine, cosine]])


def leaking(share: float) -> Array:
    """The second feature, which means nothing, leaks into the first."""
    return np.array([[1, 0], [share, 1]])


@pytest.mark.parametrize(
    ("names", "spoiled"),
    [
        (("entropy", "information-maximisation", "bnm"), [turned(d) for d in (100, 80, 60, 40, 20, 0)]),
        (("reverse-validation",), [leaking(share) for share in (4, 3, 2, 1, 0)]),
    ],
    ids=["turned", "leaking"],
)
def test_better_candidates_rank_higher(names: tuple[str, ...], spoiled: list[Array]) -> None:
    seeds = [judged(spoiled, seed) for seed in range(3)]
    for name in names:
        agreement = [spearmanr([row[name] for row in table], accuracy).statistic for table, accuracy in seeds]
        regret = [max(accuracy) - accuracy[choose(table, name)] for table, accuracy in seeds]
        assert np.mean(agreement) > 0.6, name
        assert np.mean(regret) < 0.08, name  # of a candidate at random 0.15 and more


def test_reverse_validation_cannot_see_a_target_turned_away_from_the_head() -> None:
    """The head cuts it in two all the same, and the cut is what the reverse classifier learns."""
    (straight, across), accuracy = judged([turned(0), turned(90)], seed=0)
    assert accuracy[0] - accuracy[1] > 0.3
    assert across["reverse-validation"] == pytest.approx(straight["reverse-validation"], abs=0.05)


# --- what cannot be judged


def test_reading_says_which_fields_matter() -> None:
    """A validator that does not read the target does not change with it; one that needs no held-out source neither."""
    one, other = evidence(0), evidence(1)
    of_target = {field.name: getattr(other, field.name) for field in fields(Evidence) if "target" in field.name}
    of_held_out = {field.name: getattr(other, field.name) for field in fields(Evidence) if "validation" in field.name}
    plain, moved, held = scores(one), scores(replace(one, **of_target)), scores(replace(one, **of_held_out))
    assert {name for name in VALIDATORS if plain[name] != moved[name]} == READS_TARGET
    assert {name for name in VALIDATORS if plain[name] != held[name]} == NEEDS_VALIDATION
    assert set(VALIDATORS) - READS_TARGET == {"source-validation"}
    assert set(VALIDATORS) - NEEDS_VALIDATION == ON_PREDICTIONS
    assert not any("target" in field.name and "label" in field.name for field in fields(Evidence))


def test_nobody_held_out() -> None:
    found = evidence()
    empty = replace(
        found,
        validation_features=np.zeros((0, 3)),
        validation_probability=np.zeros((0, 3)),
        validation_label=np.zeros(0),
    )
    table = scores(empty)
    assert {name for name in VALIDATORS if table[name] is None} == NEEDS_VALIDATION


def test_one_held_out_window_or_one_target_window() -> None:
    found = evidence()
    lone = replace(
        found,
        validation_features=found.validation_features[:1],
        validation_probability=found.validation_probability[:1],
        validation_label=found.validation_label[:1],
    )
    assert None not in scores(lone).values()
    assert scores(lone)["dev"] == scores(lone)["iwcv"]
    one = replace(found, target_features=found.target_features[:1], target_probability=found.target_probability[:1])
    assert {name for name, score in scores(one).items() if score is None} == {"snd"}


@pytest.mark.parametrize("p", [[1.0, 0.0, 0.0], [0.6, 0.4, 0.0]], ids=["certain", "unsure"])
def test_a_candidate_that_names_one_class_is_at_chance_in_reverse(p: list[float]) -> None:
    collapsed = replace(evidence(), target_probability=np.tile(p, (80, 1)))
    assert None not in scores(collapsed).values()
    assert said(collapsed, "reverse-validation") == pytest.approx(-2 / 3)


def test_a_class_that_no_pseudo_label_names_is_missed_in_reverse() -> None:
    found = evidence()
    p = found.target_probability.copy()
    p[:, 1] = 0
    two = replace(found, target_probability=p / p.sum(axis=1, keepdims=True))
    only = found.validation_label == 1
    alone = replace(
        two,
        validation_features=two.validation_features[only],
        validation_probability=two.validation_probability[only],
        validation_label=two.validation_label[only],
    )
    assert said(alone, "reverse-validation") == -1
    assert said(two, "reverse-validation") < said(found, "reverse-validation")


@pytest.mark.parametrize("field", [field.name for field in fields(Evidence) if field.name != "classes"])
def test_what_is_not_finite_has_no_score(field: str) -> None:
    found = evidence()
    broken = getattr(found, field).copy()
    broken[0] = np.nan
    table = scores(replace(found, **{field: broken}))
    silent = {name for name, score in table.items() if score is None}
    expected = {
        "train_features": {"iwcv", "dev"},
        "validation_features": NEEDS_VALIDATION - {"source-validation"},
        "validation_probability": NEEDS_VALIDATION - {"reverse-validation"},
        "validation_label": NEEDS_VALIDATION,
        "target_features": {"reverse-validation", "iwcv", "dev"},
        "target_probability": ON_PREDICTIONS | {"reverse-validation"},
    }
    assert silent == expected[field]


def test_a_feature_that_never_varies_is_no_obstacle() -> None:
    found = evidence()
    flat = {name: getattr(found, name) * 0 + 1 for name in ("train_features", "validation_features", "target_features")}
    table = scores(replace(found, **flat))
    assert table["iwcv"] == pytest.approx(table["source-validation"])
    assert table["dev"] == pytest.approx(table["iwcv"])


def test_long_recordings_are_thinned_evenly() -> None:
    """Every window many times over is that window once."""
    found = evidence(rows=ROWS // 2)
    many = replace(
        found,
        target_features=np.repeat(found.target_features, 10, axis=0),
        target_probability=np.repeat(found.target_probability, 10, axis=0),
    )
    once, thinned = scores(found), scores(many)
    assert thinned["reverse-validation"] == pytest.approx(once["reverse-validation"], abs=0.02)
    assert thinned["iwcv"] == pytest.approx(once["iwcv"], rel=0.05)
    assert thinned["snd"] == pytest.approx(said(found, "snd") + math.log(2), abs=0.05)  # each has a twin, at most


# --- choosing


def test_the_best_is_chosen_and_the_first_of_equals() -> None:
    rows: list[dict[str, float | None]] = [
        {"dev": None},
        {"dev": -2.0},
        {"dev": -0.5},
        {"dev": -0.5},
        {"dev": math.nan},
    ]
    assert choose(rows, "dev") == 2
    assert choose([{"dev": None}, {"dev": -1e9}], "dev") == 1


@pytest.mark.parametrize(
    ("by", "rows", "message"),
    [
        (
            "dev",
            [{"dev": None}, {"dev": None}],
            r"no score by dev for any of 2 candidates(.|\n)*hold source people out",
        ),
        ("snd", [], r"no score by snd for any of 0 candidates(.|\n)*choose another"),
        ("target-accuracy", [{"dev": 1.0}], r"target-accuracy(.|\n)*source-validation, reverse-validation"),
    ],
)
def test_no_choice_is_told_in_words(by: str, rows: list[dict[str, float | None]], message: str) -> None:
    with pytest.raises(UserError, match=message):
        choose(rows, by)
