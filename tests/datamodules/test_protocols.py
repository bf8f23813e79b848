"""Protocols: whatever the table of trials, nobody stands on both sides and everybody is tested once."""

from collections import Counter
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from affect.errors import UserError
from datamodules.protocols import Fold, LeaveOneSubjectOut, Protocol, SubjectGroups, SubjectPairs, WithinSubject

PARTS = ("source_train", "source_val", "target_unlabelled", "target_test")
quick = settings(max_examples=50, deadline=None)


@st.composite
def tables(draw: st.DrawFn, people: int = 1, trials: int = 1) -> pd.DataFrame:
    """Trials of `people` … 12 people with `trials` … 10 each, of a few stimuli, in any order."""
    names = draw(st.permutations([f"s{n}" for n in range(1, 13)]))[: draw(st.integers(people, 12))]
    counts = draw(st.lists(st.integers(trials, 10), min_size=len(names), max_size=len(names)))
    rows = [(name, trial) for name, count in zip(names, counts, strict=True) for trial in range(count)]
    generator = np.random.default_rng(draw(st.integers(0, 2**16)))
    if draw(st.booleans()):  # else a person's trials stand together, as a corpus gives them
        rows = [rows[i] for i in generator.permutation(len(rows))]
    stimuli = generator.integers(0, draw(st.integers(1, 6)), len(rows))
    return pd.DataFrame(
        {
            "subject": [name for name, _ in rows],
            "stimulus": [f"video{n}" for n in stimuli],
            "rating.valence": generator.uniform(1, 9, len(rows)),
        }
    )


validations = st.sampled_from([0.0, 0.01, 0.2, 0.5, 0.99])
seeds = st.integers(0, 5)


@st.composite
def crossings(draw: st.DrawFn) -> tuple[pd.DataFrame, SubjectGroups]:
    """A table and a cross-subject protocol that fits it."""
    table = draw(tables(people=2))
    parts = draw(st.sampled_from([0, *range(2, table["stimulus"].nunique() + 1)]))
    common = {"validation": draw(validations), "new_stimuli": parts, "seed": draw(seeds)}
    if draw(st.booleans()):
        return table, LeaveOneSubjectOut(**common)
    return table, SubjectGroups(draw(st.integers(2, table["subject"].nunique())), **common)


@st.composite
def withins(draw: st.DrawFn) -> tuple[pd.DataFrame, WithinSubject]:
    """A table and a within-subject protocol that fits it."""
    table = draw(tables(trials=2))
    fewest = int(table["subject"].value_counts().min())
    return table, WithinSubject(draw(st.integers(2, fewest)), draw(validations), draw(seeds))


def rows_of(folds: list[Fold]) -> list[Any]:
    return [[f.name, *(getattr(f, part).tolist() for part in PARTS)] for f in folds]


def values(table: pd.DataFrame, column: str, rows: Any) -> set[str]:
    return set(table[column].to_numpy()[rows])


def test_these_are_all_parts_of_a_fold() -> None:
    assert {f.name for f in fields(Fold)} == {"name", *PARTS, "target_calibration", "calibration", "unit"}


@quick
@given(crossings())
def test_no_person_on_both_sides(case: tuple[pd.DataFrame, SubjectGroups]) -> None:
    table, protocol = case
    for fold in protocol.split(table):
        train, val, unlabelled, test = (values(table, "subject", getattr(fold, part)) for part in PARTS)
        assert not (train | val) & (unlabelled | test)
        assert not train & val
        assert test
        if protocol.validation == 0:
            assert not val


@quick
@given(crossings())
def test_no_stimulus_on_both_sides_where_new_ones_are_asked_for(case: tuple[pd.DataFrame, SubjectGroups]) -> None:
    table, protocol = case
    assume(protocol.new_stimuli)
    for fold in protocol.split(table):
        train, val, unlabelled, test = (values(table, "stimulus", getattr(fold, part)) for part in PARTS)
        assert not (train | val) & (unlabelled | test)


@quick
@given(withins())
def test_no_trial_on_both_sides_within_a_person(case: tuple[pd.DataFrame, WithinSubject]) -> None:
    table, protocol = case
    for fold in protocol.split(table):
        train, val, unlabelled, test = (set(getattr(fold, part).tolist()) for part in PARTS)
        assert not (train | val) & (unlabelled | test)
        assert not train & val
        assert train
        assert test
        assert len(values(table, "subject", [*train, *val, *unlabelled, *test])) == 1


@quick
@given(st.one_of(crossings(), withins()))
def test_every_trial_is_tested_exactly_once(case: tuple[pd.DataFrame, Protocol]) -> None:
    table, protocol = case
    folds = protocol.split(table)
    tested = Counter(row for fold in folds for row in fold.target_test.tolist())
    assert tested == dict.fromkeys(range(len(table)), 1)
    assert len({fold.name for fold in folds}) == len(folds)


@quick
@given(st.one_of(crossings(), withins()))
def test_nothing_is_wasted_or_named_twice(case: tuple[pd.DataFrame, Protocol]) -> None:
    """Without new stimuli, a fold uses all trials it may; no part names a trial twice."""
    table, protocol = case
    for fold in protocol.split(table):
        for part in PARTS:
            rows = getattr(fold, part).tolist()
            assert rows == sorted(set(rows))
        if not getattr(protocol, "new_stimuli", 0):
            everybody = (
                len(table)
                if not isinstance(protocol, WithinSubject)
                else int((table["subject"] == subject_of(table, fold)).sum())
            )
            assert len(fold.source_train) + len(fold.source_val) + len(fold.target_test) == everybody


def subject_of(table: pd.DataFrame, fold: Fold) -> str:
    (person,) = values(table, "subject", fold.target_test)
    return person


@quick
@given(tables(people=3, trials=3), validations.filter(bool), seeds)
def test_there_is_somebody_to_validate_on(table: pd.DataFrame, validation: float, seed: int) -> None:
    for protocol in (LeaveOneSubjectOut(validation, 0, seed), WithinSubject(2, validation, seed)):
        sizes = [(len(fold.source_train), len(fold.source_val)) for fold in protocol.split(table)]
        if not isinstance(protocol, WithinSubject):
            assert all(train and val for train, val in sizes)
        else:  # a part of a person may leave a single trial to learn from: none can be spared
            assert all(train and (val or train == 1) for train, val in sizes)


@quick
@given(st.one_of(crossings(), withins()))
def test_the_same_seed_gives_the_same_folds(case: tuple[pd.DataFrame, Protocol]) -> None:
    table, protocol = case
    before = table.copy()
    assert rows_of(protocol.split(table)) == rows_of(protocol.split(table.copy()))
    pd.testing.assert_frame_equal(table, before)


def test_another_seed_gives_other_folds() -> None:
    table = pd.DataFrame({"subject": np.repeat([f"s{n}" for n in range(12)], 6), "stimulus": list("abcdef") * 12})
    protocols: list[Callable[[int], Protocol]] = [
        lambda seed: SubjectGroups(3, seed=seed),
        lambda seed: LeaveOneSubjectOut(0.3, seed=seed),
        lambda seed: LeaveOneSubjectOut(new_stimuli=2, seed=seed),
        lambda seed: WithinSubject(3, seed=seed),
    ]
    for make in protocols:
        assert rows_of(make(0).split(table)) != rows_of(make(1).split(table))


@quick
@given(st.one_of(crossings(), withins()), st.integers(0, 2**16))
def test_folds_do_not_look_at_ratings(case: tuple[pd.DataFrame, Protocol], seed: int) -> None:
    table, protocol = case
    other = table.assign(**{"rating.valence": np.random.default_rng(seed).uniform(1, 9, len(table))})
    assert rows_of(protocol.split(table)) == rows_of(protocol.split(other))
    assert rows_of(protocol.split(table)) == rows_of(protocol.split(table.drop(columns="rating.valence")))


@quick
@given(st.one_of(crossings(), withins()), st.integers(0, 2**16))
def test_who_is_tested_together_does_not_depend_on_the_order_of_rows(
    case: tuple[pd.DataFrame, Protocol], seed: int
) -> None:
    table, protocol = case
    shuffled = table.sample(frac=1, random_state=seed, ignore_index=True)

    def tested(trials: pd.DataFrame) -> set[frozenset[str]]:
        return {frozenset(values(trials, "subject", fold.target_test)) for fold in protocol.split(trials)}

    assume(not getattr(protocol, "new_stimuli", 0))
    assert tested(table) == tested(shuffled)


@quick
@given(crossings(), st.integers(0, 2**16))
def test_which_stimuli_are_new_does_not_depend_on_the_order_of_rows(
    case: tuple[pd.DataFrame, SubjectGroups], seed: int
) -> None:
    table, protocol = case
    assume(protocol.new_stimuli)
    shuffled = table.sample(frac=1, random_state=seed, ignore_index=True)

    def tested(trials: pd.DataFrame) -> Counter[frozenset[tuple[str, str]]]:
        pairs = list(zip(trials["subject"], trials["stimulus"], strict=True))
        return Counter(frozenset(pairs[row] for row in fold.target_test) for fold in protocol.split(trials))

    assert tested(table) == tested(shuffled)


def test_folds_of_leave_one_subject_out_are_named_by_the_person() -> None:
    table = pd.DataFrame({"subject": ["s2", "s10", "s1", "s2"], "stimulus": ["a"] * 4})
    folds = LeaveOneSubjectOut().split(table)
    assert {fold.name: fold.target_test.tolist() for fold in folds} == {"s2": [0, 3], "s10": [1], "s1": [2]}


def test_groups_are_of_nearly_equal_size() -> None:
    table = pd.DataFrame({"subject": [f"s{n}" for n in range(11)], "stimulus": ["a"] * 11})
    sizes = [len(fold.target_test) for fold in SubjectGroups(4).split(table)]
    assert sorted(sizes) == [2, 3, 3, 3]


PEOPLE = ["s1", "s1", "s2", "s2", "s3", "s3"]
VISITS = pd.DataFrame({"subject": PEOPLE, "session": ["train", "test"] * 3, "stimulus": ["a"] * 6})


def test_a_pair_learns_from_the_one_and_tests_the_other() -> None:
    """Session by session where they are named; a person may be the target of two pairs, which stay two."""
    first, second = SubjectPairs([("s1", "s2"), ("s3", "s2")], "train", "test").split(VISITS)
    assert rows_of([first, second]) == [["s1→s2", [0], [1], [2], [3]], ["s3→s2", [4], [5], [2], [3]]]
    assert first.unit == second.unit == "fold"
    assert {fold.unit for fold in LeaveOneSubjectOut().split(VISITS)} == {"person"}
    (whole,) = SubjectPairs([("s1", "s2")]).split(VISITS)
    assert rows_of([whole]) == [["s1→s2", [0, 1], [], [2, 3], [2, 3]]]
    (held_out,) = SubjectPairs([("s1", "s2")], validation=0.5).split(VISITS)
    assert sorted([*held_out.source_train, *held_out.source_val]) == [0, 1]
    assert len(held_out.source_val) == 1


def test_people_of_a_pair_may_be_named_by_numbers() -> None:
    table = VISITS.assign(subject=[name.removeprefix("s") for name in PEOPLE])
    assert [fold.name for fold in SubjectPairs([(2, 1)]).split(table)] == ["2→1"]


TABLE = pd.DataFrame({"subject": ["s1", "s1", "s2"], "stimulus": ["a", "b", "a"]})


@pytest.mark.parametrize(
    ("key", "value", "act"),
    [
        ("protocol.validation", "1.0", lambda: LeaveOneSubjectOut(validation=1.0)),
        ("protocol.validation", "-0.1", lambda: SubjectGroups(2, validation=-0.1)),
        ("protocol.validation", "nan", lambda: WithinSubject(validation=float("nan"))),
        ("protocol.groups", "1", lambda: SubjectGroups(1)),
        ("protocol.groups", "3 for 2 people", lambda: SubjectGroups(3).split(TABLE)),
        ("protocol.new_stimuli", "1", lambda: SubjectGroups(2, new_stimuli=1)),
        ("protocol.new_stimuli", "-1", lambda: LeaveOneSubjectOut(new_stimuli=-1)),
        ("protocol.new_stimuli", "3 parts of 2 stimuli", lambda: LeaveOneSubjectOut(new_stimuli=3).split(TABLE)),
        ("protocol.parts", "1", lambda: WithinSubject(1)),
        ("protocol.parts", "2 parts of s2's 1 trials", lambda: WithinSubject(2).split(TABLE)),
        ("protocol.pairs", "no pair", lambda: SubjectPairs([])),
        ("protocol.pairs", "s1→s1", lambda: SubjectPairs([("s1", "s1")])),
        ("protocol.pairs", "1→2", lambda: SubjectPairs([(1, 2), ("1", "2")])),
        ("protocol.pairs", "s9", lambda: SubjectPairs([("s1", "s9")]).split(TABLE)),
        ("protocol.train", "None", lambda: SubjectPairs([(1, 2)], test="b")),
        (
            "protocol.test",
            "'c', a session in which s2",
            lambda: SubjectPairs([("s1", "s2")], "train", "c").split(VISITS),
        ),
        ("protocol.validation", "0.2", lambda: SubjectPairs([(1, 2)], "a", "b", validation=0.2)),
        ("protocol", "1 person", lambda: LeaveOneSubjectOut().split(TABLE[:2])),
    ],
)
def test_what_cannot_be_is_refused_by_name(key: str, value: str, act: Callable[[], object]) -> None:
    with pytest.raises(UserError) as caught:
        act()
    error = caught.value
    assert error.where == key
    assert value in error.found
    assert error.expected
    assert error.remedy
