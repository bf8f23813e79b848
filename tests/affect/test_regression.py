"""Metrics of values: by hand, against scipy, and their trivial predictor."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import pearsonr

from affect.evaluation.metrics import REGRESSION, of_values, score
from affect.evaluation.trivial import trivial, trivial_of

Array = NDArray[np.float64]
quick = settings(max_examples=60, deadline=None)


def test_metrics_of_a_person_by_hand() -> None:
    """Means 2 and 3, variances 2/3 and 2/3, covariance 1/3: CCC = (2/3) / (4/3 + 1) = 2/7."""
    found = of_values(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 3.0]))
    assert found["ccc"] == pytest.approx(2 / 7)
    assert found["pearson"] == pytest.approx(1 / 2)
    assert found["rmse"] == pytest.approx(np.sqrt((1 + 4 + 0) / 3))
    assert found["mae"] == pytest.approx((1 + 2 + 0) / 3)


@st.composite
def people(draw: st.DrawFn) -> tuple[Array, Array]:
    """(n,) labels that vary and (n,) predictions, related or not, of any level and spread."""
    n = draw(st.integers(2, 40))
    generator = np.random.default_rng(draw(st.integers(0, 2**16)))
    label = generator.uniform(1, 9, n)
    noise, slope = draw(st.sampled_from([0.0, 0.3, 3.0])), draw(st.sampled_from([-2.0, 0.5, 1.0]))
    return label, draw(st.floats(-5, 5)) + slope * label + noise * generator.standard_normal(n)


@quick
@given(people())
def test_metrics_are_their_definitions(person: tuple[Array, Array]) -> None:
    """r of scipy; concordance from it as Lin writes it: C_b · r, moments over n."""
    label, predicted = person
    found = of_values(label, predicted)
    assert tuple(found) == REGRESSION
    r = pearsonr(label, predicted).statistic
    assert found["pearson"] == pytest.approx(r, abs=1e-9)
    v = np.sqrt(label.var() / predicted.var())
    u = (label.mean() - predicted.mean()) / np.sqrt(label.std() * predicted.std())
    assert found["ccc"] == pytest.approx(r * 2 / (v + 1 / v + u**2), abs=1e-9)
    assert abs(found["ccc"] or 0) <= abs(r) + 1e-9
    assert found["rmse"] == pytest.approx(np.sqrt(np.mean((label - predicted) ** 2)))
    assert found["mae"] == pytest.approx(np.abs(label - predicted).mean())


@quick
@given(people(), st.floats(0.1, 10), st.floats(-100, 100))
def test_another_unit_changes_errors_and_nothing_else(person: tuple[Array, Array], unit: float, zero: float) -> None:
    label, predicted = person
    one, two = of_values(label, predicted), of_values(zero + unit * label, zero + unit * predicted)
    for metric in ("ccc", "pearson"):
        assert two[metric] == pytest.approx(one[metric], abs=1e-6)
    for metric in ("rmse", "mae"):
        assert two[metric] == pytest.approx(unit * (one[metric] or 0), rel=1e-6, abs=1e-9)


def test_only_the_labels_themselves_agree_fully() -> None:
    label = np.array([1.0, 4.0, 2.0, 8.0])
    assert of_values(label, label) == {"ccc": pytest.approx(1), "pearson": pytest.approx(1), "rmse": 0, "mae": 0}
    shifted = of_values(label, label + 3)
    assert shifted["pearson"] == pytest.approx(1)
    assert (shifted["ccc"] or 0) < 0.75


@pytest.mark.parametrize("level", [5.0, 0.0, 0.1 + 0.2, 1e6 / 3])
def test_a_constant_prediction_agrees_with_nothing(level: float) -> None:
    """Its concordance is 0 and it has no r, though sums of it are rounded."""
    predicted = np.array([np.mean([level] * n) for n in range(1, 8)])
    found = of_values(np.arange(1.0, 8.0), predicted)
    assert (found["ccc"], found["pearson"]) == (0.0, None)
    assert found["rmse"] is not None


@pytest.mark.parametrize("label", [[3.0], [3.0, 3.0, 3.0], [0.0, 0.0]])
def test_a_person_of_one_value_has_errors_only(label: list[float]) -> None:
    found = of_values(np.array(label), np.arange(len(label)) + 2.0)
    assert (found["ccc"], found["pearson"]) == (None, None)
    assert found["mae"] is not None


def windows() -> pd.DataFrame:
    """Two people's windows; in each trial the predictions scatter around the label, of person b shifted."""
    generator = np.random.default_rng(0)
    trial = np.repeat(np.arange(20), 30)
    label = generator.uniform(1, 9, 20)[trial]
    subject = np.where(trial < 10, "a", "b")
    predicted = label + 2 * generator.standard_normal(len(trial)) + 2 * (subject == "b")
    frame = {"subject": subject, "trial": trial, "label_v": label, "predicted_v": predicted}
    return pd.DataFrame(frame).assign(window=np.arange(len(trial)))


def test_people_are_scored_alone_and_trials_by_the_mean_of_their_windows() -> None:
    frame = windows()
    by_window, by_trial = (score(frame, "v", [], level) for level in ("window", "trial"))
    for person, part in frame.groupby("subject"):
        expected = of_values(part["label_v"].to_numpy(), part["predicted_v"].to_numpy())
        assert by_window["subjects"][person] == pytest.approx(expected)
        pooled = part.groupby("trial").mean(numeric_only=True)
        expected = of_values(pooled["label_v"].to_numpy(), pooled["predicted_v"].to_numpy())
        assert by_trial["subjects"][person] == pytest.approx(expected)
        assert by_trial["subjects"][person]["rmse"] < by_window["subjects"][person]["rmse"]
    assert by_window["mean"]["ccc"] == pytest.approx(np.mean([m["ccc"] for m in by_window["subjects"].values()]))
    assert by_trial["subjects"]["b"]["ccc"] < by_trial["subjects"]["a"]["ccc"]  # what a shift costs


def test_labels_that_move_within_a_trial_are_averaged_with_it() -> None:
    frame = windows()
    moving = frame.assign(label_v=frame["label_v"] + np.tile([-0.5, 0.5], len(frame) // 2))
    one, two = (score(f, "v", [], "trial")["subjects"]["a"] for f in (frame, moving))
    assert one == pytest.approx(two)


def test_the_trivial_predictor_names_the_sources_mean() -> None:
    frame = windows()
    assert trivial_of([]) == ("source-mean",)
    guessed = trivial("source-mean", frame, "v", [], {"mean": 4.2, "sd": 2.0})
    assert set(guessed["predicted_v"]) == {4.2}
    pd.testing.assert_frame_equal(guessed.drop(columns="predicted_v"), frame.drop(columns="predicted_v"))
    for level in ("window", "trial"):
        found = score(guessed, "v", [], level)["mean"]  # type: ignore[arg-type]
        assert (found["ccc"], found["pearson"]) == (0.0, None)
