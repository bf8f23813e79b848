"""Targets: where the threshold lies, what a missing rating is, and which trials a question is about."""

import numpy as np
import pandas as pd
import pytest

from affect.errors import UserError
from datamodules.corpora import Deap, Ravdess
from datamodules.protocols import LeaveOneSubjectOut
from datamodules.targets import Classes, Threshold

TRIALS = pd.DataFrame(
    {
        "subject": ["a", "a", "a", "b", "b", "b"],
        "stimulus": ["x", "y", "z", "x", "y", "z"],
        "rating.valence": [1.0, 5.0, 5.01, 9.0, np.nan, 4.99],
        "rating.emotion": ["happy", "sad", "angry", "sad", None, "happy"],
    }
)


def test_threshold_is_strictly_above_and_missing_is_unknown() -> None:
    assert Threshold("valence", 5).labels(TRIALS).tolist() == [0, 0, 1, 1, -1, 0]
    assert Threshold("valence", 5).keeps(TRIALS).all()


def test_classes_keep_their_order_and_leave_other_classes_out_of_every_part() -> None:
    target = Classes("emotion", ["sad", "happy"])
    assert target.labels(TRIALS).tolist() == [1, 0, -1, 0, -1, 1]
    kept = np.flatnonzero(target.keeps(TRIALS))
    assert kept.tolist() == [0, 1, 3, 4, 5]  # the unrated one may still be looked at, unlabelled
    for fold in LeaveOneSubjectOut().split(TRIALS):
        only = fold.only(kept)
        assert sorted([*only.source_train, *only.target_test]) == kept.tolist()
        assert set(only.target_unlabelled) == set(only.target_test)


@pytest.mark.parametrize(
    ("target", "corpus", "found"),
    [
        (Threshold("joy", 5), Deap, "joy"),
        (Threshold("valence", 9), Deap, "9"),
        (Threshold("emotion", 5), Ravdess, "threshold"),
        (Classes("emotion", ["happy"]), Ravdess, "happy"),
        (Classes("emotion", ["happy", "bored"]), Ravdess, "bored"),
        (Classes("emotion", ["happy", "happy"]), Ravdess, "happy"),
    ],
)
def test_a_target_the_corpus_cannot_give(target: Threshold | Classes, corpus: type[Deap], found: str) -> None:
    with pytest.raises(UserError) as caught:
        target.check(corpus)
    assert found in caught.value.found
