"""What figures are drawn from: numbers computed here, checked against others'; and that each can be drawn."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from affect.reporting.figures import (
    confusion,
    critical_difference,
    embedding,
    paired,
    reliability,
    risk_coverage,
    saliency,
    split,
    topomap,
    training,
    valence_arousal,
)
from affect.reporting.style import WIDTH, encoded

rng = np.random.default_rng(0)
ELECTRODES = ("Fz", "Cz", "Pz", "T7", "T8", "Fp1", "Fp2", "C3", "C4", "O1", "O2")


def _predictions(people: int = 6, windows: int = 40) -> pd.DataFrame:
    n = people * windows
    label = rng.integers(0, 3, n)
    logits = rng.normal(size=(n, 3)) + 1.5 * np.eye(3)[label]
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    columns = {f"p_mood_{name}": p[:, i] for i, name in enumerate("abc")}
    return pd.DataFrame(
        {"subject": np.repeat([f"s{i}" for i in range(people)], windows), "label_mood": label} | columns
    )


NEMENYI = (1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164)
"""q at .05 for 2 … 10 methods, Table 5 (a) of Demšar (2006)."""


def _ladder(methods: int, people: int) -> dict[str, dict[str, float]]:
    """Every person ranks the methods alike."""
    return {chr(97 + i): {str(person): -float(i) for person in range(people)} for i in range(methods)}


@pytest.mark.parametrize("methods", [3, 4, 10])
def test_critical_differences_are_the_published_ones(methods: int) -> None:
    found = critical_difference.ranks(_ladder(methods, 14))
    assert found
    expected = NEMENYI[methods - 2] * (methods * (methods + 1) / (6 * 14)) ** 0.5
    assert found["difference"] == pytest.approx(expected, rel=1e-3)
    assert list(found["mean"].values()) == list(range(1, methods + 1))
    assert found["p"] < 1e-5


def test_a_bar_joins_the_longest_runs_within_the_difference() -> None:
    few, many = critical_difference.ranks(_ladder(4, 6)), critical_difference.ranks(_ladder(4, 40))
    assert few
    assert many
    assert few["cliques"] == [("a", "b"), ("b", "c"), ("c", "d")]  # 1.91
    assert many["cliques"] == []  # 0.74
    errors = critical_difference.ranks(_ladder(4, 6), lower_is_better=True)
    assert errors
    assert list(errors["mean"]) == ["d", "c", "b", "a"]
    assert critical_difference.ranks(_ladder(2, 6)) is None


def test_confusions_are_of_each_person_and_empty_where_they_lack_the_class() -> None:
    table = pd.DataFrame(
        {
            "subject": ["one"] * 3 + ["two"] * 2,
            "label_mood": [0, 0, 1, 0, np.nan],
            "p_mood_a": [0.9, 0.2, 0.1, 0.2, 1],
            "p_mood_b": [0.1, 0.8, 0.9, 0.8, 0],
        }
    )
    found = confusion.confusion(table, "mood", ["a", "b"])
    np.testing.assert_array_equal(found[0], [[0.5, 0.5], [0, 1]])
    np.testing.assert_array_equal(found[1], [[0, 1], [np.nan, np.nan]])


def test_risk_falls_when_confidence_knows_and_not_when_it_does_not() -> None:
    confidence, subject = rng.uniform(0.5, 1, 4000), np.repeat(["a", "b"], 2000)
    knows = {"confidence": confidence, "correct": rng.uniform(size=4000) < confidence, "subject": subject}
    told = risk_coverage.risk(knows)  # type: ignore[arg-type]
    assert told[-1] == pytest.approx(0.25, abs=0.03)
    assert told[0] < 0.06
    blind = {**knows, "correct": rng.uniform(size=4000) < 0.75}
    assert np.abs(risk_coverage.risk(blind) - 0.25).max() < 0.1  # type: ignore[arg-type]


def _draw_every() -> dict[str, Any]:
    table, people = _predictions(), [f"s{i}" for i in range(6)]
    score = {person: float(rng.uniform()) for person in people}
    plane = pd.DataFrame(rng.uniform(1, 9, (50, 2)), columns=["valence", "arousal"])
    told = reliability.confidence(table, "mood", "abc")
    shares = np.nanmean(confusion.confusion(table, "mood", "abc"), axis=0)
    curve = pd.DataFrame({"epoch": range(5), "train/label_loss": 1.0, "train/accuracy_mood": 0.5, "train/lambda": 0.1})
    ranks = critical_difference.ranks({name: {p: float(rng.uniform()) for p in people} for name in "wxyz"})
    assert ranks
    values = rng.normal(size=len(ELECTRODES))
    picture = {"channels": ["r"], "columns": [], "seconds": 1.0, "title": "t", "note": "n"}
    return {
        "paired": paired.draw(
            {"title": "t", "metric": "m", "chance": None, "lower_is_better": True, "panels": {"a/b": (score, score)}}
        ),
        "confusion": confusion.draw(
            {"title": "t", "classes": "abc", "panels": {"a/b": shares}, "counts": [1, 2, 3], "people": [1, 1, 1]}
        ),
        "training": training.draw({"title": "t", "curves": {"a": curve, "b": curve}, "targets": ["mood"]}),
        "reliability": reliability.draw("t", 3, {"a/b": told}),
        "risk": risk_coverage.draw("t", {"a/b": told}),
        "ranks": critical_difference.draw("t", ranks),
        "plane": valence_arousal.draw(
            {"title": "t", "ratings": plane, "predicted": {"a/b": plane}, "centre": (5, 5), "limits": None, "unit": "u"}
        ),
        "split": split.draw(
            {"title": "t", "people": people, "folds": {"one": {"source_train": people, "target_test": people[:1]}}}
        ),
        "topomap": topomap.draw(
            {
                "title": "t", "channels": ELECTRODES, "rows": {"a": {"alpha": values}}, "signed": True, "unit": "z",
                "note": "n",
            }
        ),
        "embedding": embedding.draw(
            "t", "ab", {"a/b": {
                "place": rng.normal(size=(20, 2)), "label": np.arange(20) % 2, "person": np.arange(20) % 3,
                "target": np.arange(20) > 15, "probe": "p",
            }},
        ),
        "face": saliency.draw({**picture, "seen": np.zeros((8, 8, 3)), "attribution": np.ones((8, 8))}),
        "spectrogram": saliency.draw(
            {**picture, "channels": "abc", "seen": rng.normal(size=(3, 9)), "attribution": np.ones((3, 9))}
        ),
        "features": saliency.draw(
            {**picture, "channels": "abc", "columns": "de", "seen": None, "attribution": np.ones((3, 2))}
        ),
    }  # fmt: skip


def test_every_figure_is_drawn() -> None:
    for name, figure in _draw_every().items():
        assert encoded(figure, "svg").startswith(b"<?xml"), name
        assert figure.get_size_inches()[0] == WIDTH
