"""Targets: where classes begin, what a missing rating is, whose ratings a label depends on, what a window is given."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from affect.errors import UserError
from datamodules.corpora import Deap, Ravdess
from datamodules.corpora.base import Corpus
from datamodules.protocols import LeaveOneSubjectOut
from datamodules.targets import Classes, Continuous, Median, Quadrants, Target, Tertiles, Threshold, TrialTarget, Value
from datamodules.windows import WindowTable

quick = settings(max_examples=60, deadline=None)
NAN = float("nan")
TRIALS = pd.DataFrame(
    {
        "subject": ["a", "a", "a", "b", "b", "b"],
        "stimulus": ["x", "y", "z", "x", "y", "z"],
        "rating.valence": [1.0, 5.0, 5.01, 9.0, NAN, 4.99],
        "rating.arousal": [7.0, 7.0, 2.0, 5.0, 6.0, NAN],
        "rating.emotion": ["happy", "sad", "angry", "sad", None, "happy"],
    }
)


def given_(target: TrialTarget, trials: pd.DataFrame = TRIALS) -> list[float]:
    """Labels of trials, −1 where unknown."""
    return np.nan_to_num(target.of_trials(trials), nan=-1).tolist()


def test_threshold_is_strictly_above_and_missing_is_unknown() -> None:
    assert given_(Threshold("valence", 5)) == [0, 0, 1, 1, -1, 0]
    assert Threshold("valence", 5).keeps(TRIALS).all()


def test_classes_keep_their_order_and_leave_other_classes_out_of_every_part() -> None:
    target = Classes("emotion", ["sad", "happy"])
    assert given_(target) == [1, 0, -1, 0, -1, 1]
    kept = np.flatnonzero(target.keeps(TRIALS))
    assert kept.tolist() == [0, 1, 3, 4, 5]  # the unrated one may still be looked at, unlabelled
    for fold in LeaveOneSubjectOut().split(TRIALS):
        only = fold.only(kept)
        assert sorted([*only.source_train, *only.target_test]) == kept.tolist()
        assert set(only.target_unlabelled) == set(only.target_test)


def test_quadrants_are_two_thresholds_at_once() -> None:
    target = Quadrants(above_valence=5, above_arousal=6)
    expected = {(0, 0): "LALV", (0, 1): "LAHV", (1, 0): "HALV", (1, 1): "HAHV"}
    arousal, valence = given_(Threshold("arousal", 6)), given_(Threshold("valence", 5))
    for label, high in zip(given_(target), zip(arousal, valence, strict=True), strict=True):
        assert (expected[high] == target.classes[int(label)]) if min(high) >= 0 else label == -1


def test_a_value_is_the_rating_itself() -> None:
    np.testing.assert_array_equal(Value("valence").of_trials(TRIALS), TRIALS["rating.valence"])
    assert not Value("valence").classes


def test_fixed_tertiles_put_a_value_on_a_cut_below_it() -> None:
    assert given_(Tertiles("valence", (4.99, 5.01))) == [0, 1, 1, 2, -1, 0]
    outer = Tertiles("valence", (4.99, 5.01), middle="unlabelled")
    assert given_(outer) == [0, -1, -1, 1, -1, 0]
    assert outer.classes == ("low", "high")
    assert outer.keeps(TRIALS).all()  # nobody would know which they are


def test_a_rating_that_nobody_gave_is_unknown() -> None:
    trials = TRIALS.drop(columns=["rating.valence", "rating.emotion"])
    assert given_(Threshold("valence", 5), trials) == given_(Classes("emotion", ["sad", "happy"]), trials) == [-1] * 6


# ---- borders of each person's own


@st.composite
def rated(draw: st.DrawFn) -> pd.DataFrame:
    """Some people's ratings on a coarse or fine scale, ties and gaps among them, in mixed order."""
    steps = draw(st.sampled_from([4, 8, 800]))
    values = st.one_of(st.integers(0, steps).map(lambda n: 1 + 8 * n / steps), st.just(NAN))
    rows = draw(st.lists(st.tuples(st.sampled_from("abc"), values), min_size=1, max_size=40))
    return pd.DataFrame(rows, columns=["subject", "rating.valence"])


@quick
@given(rated())
def test_a_median_splits_each_persons_trials_nearly_evenly(trials: pd.DataFrame) -> None:
    label = Median("valence").of_trials(trials)
    np.testing.assert_array_equal(np.isnan(label), trials["rating.valence"].isna())
    for _, part in trials.assign(label=label).dropna().groupby("subject"):
        value, high = part["rating.valence"].to_numpy(), part["label"].to_numpy() == 1
        np.testing.assert_array_equal(high, value > np.median(value))  # ties at the median are low
        assert high.sum() <= len(value) // 2
        if len(set(value)) == len(value):
            assert high.sum() == len(value) // 2


@quick
@given(rated())
def test_own_tertiles_hold_a_third_of_each_persons_trials(trials: pd.DataFrame) -> None:
    label = Tertiles("valence").of_trials(trials)
    outer = Tertiles("valence", middle="unlabelled").of_trials(trials)
    np.testing.assert_array_equal(outer, np.where(label == 1, NAN, label / 2))
    for _, part in trials.assign(label=label).dropna().groupby("subject"):
        value = part["rating.valence"]
        assert part["label"].iloc[value.argsort()].is_monotonic_increasing
        if value.is_unique:
            sizes = np.bincount(part["label"].astype(int), minlength=3)
            assert sizes.max() - sizes.min() <= 1


@quick
@given(rated(), st.sampled_from([Median("valence"), Tertiles("valence")]))
def test_own_borders_depend_on_ranks_alone(trials: pd.DataFrame, target: TrialTarget) -> None:
    """Whatever a person makes of the scale, if only in the same order."""
    ranks = trials.groupby("subject")["rating.valence"].rank(method="dense")
    one, two = (target.of_trials(trials.assign(**{"rating.valence": v})) for v in (trials["rating.valence"], ranks**3))
    np.testing.assert_array_equal(one, two)


@quick
@given(rated(), rated(), st.sampled_from([Median("valence"), Tertiles("valence")]))
def test_own_borders_are_not_moved_by_others(own: pd.DataFrame, others: pd.DataFrame, target: TrialTarget) -> None:
    mixed = pd.concat([own.assign(subject="me"), others])
    np.testing.assert_array_equal(target.of_trials(mixed)[: len(own)], target.of_trials(own.assign(subject="me")))
    assert target.personal


def test_only_labels_by_own_borders_are_personal() -> None:
    assert not Tertiles("valence", (3, 6)).personal
    assert not Threshold("valence", 5).personal


# ---- labels of windows


def windows_of(
    trial: Sequence[int],
    start: Sequence[float],
    length: float,
    annotation: list[NDArray[np.float32]] | None = None,
    rate: float = 1.0,
) -> Any:
    """What a target asks of a WindowSet; the channels of the annotation are arousal and valence."""
    table = WindowTable(
        np.array(trial), np.zeros(len(trial), int), np.array(start), np.full(len(trial), length), length
    )
    signals = annotation or []
    stream = SimpleNamespace(
        channels=("arousal", "valence"),
        rate=rate,
        length=np.array([signal.shape[1] for signal in signals]),
        signal=signals.__getitem__,
    )
    trials = TRIALS.iloc[: len(signals)] if signals else TRIALS
    return SimpleNamespace(trials=trials, table=table, cache=SimpleNamespace(streams={"annotation": stream}))


def test_windows_share_the_label_of_their_trial() -> None:
    windows = windows_of([0, 2, 2, 4], [0, 0, 1, 0], 1.0)
    labels = Threshold("valence", 5).labels(windows)
    assert labels.dtype == np.float32
    np.testing.assert_array_equal(labels, [0, 1, 1, NAN])


def test_an_annotation_is_averaged_over_each_window_by_time() -> None:
    """Segments of 20 s: a window in one has its value, one across two has both in their shares."""
    given = np.array([[0, 0, 0], [2, 4, 9]], dtype=np.float32)
    windows = windows_of([0] * 5, [0, 16, 18, 15, 40], 5.0, [given], rate=1 / 20)
    expected = [2, (4 * 2 + 1 * 4) / 5, (2 * 2 + 3 * 4) / 5, 2, 9]
    np.testing.assert_allclose(Continuous("valence").labels(windows), expected, rtol=1e-6)
    np.testing.assert_array_equal(Continuous("valence", above=3).labels(windows), [0, 0, 1, 0, 1])
    assert Continuous("valence", above=3).classes == ("low", "high")
    later = Continuous("valence", lag=5).labels(windows)
    np.testing.assert_allclose(later[:2], [2, 4], rtol=1e-6)


def test_what_is_not_annotated_is_unknown() -> None:
    """Samples that are missing leave the mean to the others; a trial, or a window, without any has no label."""
    gap = np.array([[0] * 4, [1, NAN, 3, NAN]], dtype=np.float32)
    windows = windows_of([0, 0, 0, 1], [0, 1, 2.5, 0], 2.0, [gap, np.zeros((2, 0), np.float32)])
    np.testing.assert_array_equal(Continuous("valence").labels(windows), [1, 3, 3, NAN])
    past = windows_of([0, 0], [3, 4], 1.0, [gap])
    assert np.isnan(Continuous("valence").labels(past)).all()
    assert np.isnan(Continuous("valence", above=2).labels(past)).all()


@quick
@given(
    st.lists(st.integers(-8, 8), min_size=1, max_size=12),
    st.lists(st.tuples(st.integers(0, 40), st.integers(1, 40)), min_size=1, max_size=6),
)
def test_the_mean_is_that_of_a_fine_grid(samples: list[int], cuts: list[tuple[int, int]]) -> None:
    """Windows on a grid of a quarter of a sample, averaged there one by one."""
    data = np.array([np.zeros(len(samples)), samples], dtype=np.float32)
    grid = np.repeat(data[1], 4)
    for first, count in cuts:
        windows = windows_of([0], [first / 4], count / 4, [data])
        inside = grid[first : first + count]
        (found,) = Continuous("valence").labels(windows)
        assert np.isnan(found) if len(inside) == 0 else found == pytest.approx(inside.mean(), abs=1e-5)


def test_a_channel_that_is_not_annotated_is_refused() -> None:
    windows = windows_of([0], [0], 1.0, [np.zeros((2, 3), np.float32)])
    with pytest.raises(UserError, match="arousal"):
        Continuous("dominance").labels(windows)


# ---- what a corpus cannot give


class Annotated(Deap):
    streams: ClassVar = ("eeg", "annotation")


@pytest.mark.parametrize(
    ("target", "corpus", "where", "found"),
    [
        (Threshold("joy", 5), Deap, "data.target.rating", "joy"),
        (Threshold("valence", 9), Deap, "data.target.above", "9"),
        (Threshold("valence", NAN), Deap, "data.target.above", "nan"),
        (Threshold("emotion", 5), Ravdess, "data.target", "threshold"),
        (Median("emotion"), Ravdess, "data.target", "median"),
        (Value("emotion"), Ravdess, "data.target", "regression"),
        (Value("joy"), Deap, "data.target.rating", "joy"),
        (Tertiles("valence", (6, 3)), Deap, "data.target.cuts", "[6, 3]"),
        (Tertiles("valence", (3, 9)), Deap, "data.target.cuts", "9"),
        (Quadrants(5, 9), Deap, "data.target.above_arousal", "9"),
        (Quadrants(5, 5, arousal="joy"), Deap, "data.target.arousal", "joy"),
        (Continuous("valence"), Deap, "data.target", "continuous"),
        (Classes("emotion", ["happy"]), Ravdess, "data.target.classes", "happy"),
        (Classes("emotion", ["happy", "bored"]), Ravdess, "data.target.classes", "bored"),
        (Classes("emotion", ["happy", "happy"]), Ravdess, "data.target.classes", "happy"),
    ],
)
def test_a_target_the_corpus_cannot_give(
    target: Target, corpus: type[Corpus], where: str, found: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError) as caught:
        target.check(corpus(str(tmp_path)))
    assert caught.value.where == where
    assert found in caught.value.found


@pytest.mark.parametrize(
    "target",
    [
        Threshold("valence", 8.9),
        Median("valence"),
        Tertiles("valence"),
        Tertiles("valence", (3, 6)),
        Quadrants(5, 5),
        Value("valence"),
        Continuous("valence"),
    ],
)
def test_a_target_the_corpus_can_give(target: Target, tmp_path: Path) -> None:
    corpus = Annotated(str(tmp_path))
    target.check(corpus)
    assert target.bounds(corpus) == ((1.0, 9.0) if isinstance(target, Value) else None)
