"""Law 1: whatever the labels of the target are, every weight and every prediction is the same."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from datamodules.corpora.deap import Deap
from datamodules.standin import python2_pickle

if TYPE_CHECKING:
    from experiments.plan import Plan
    from tests.experiments.conftest import Place

VALIDATED = ("--selection=source-validation", "--protocol.validation=0.34")
SEVERAL = (
    "--data.target=[{class_path: datamodules.targets.Median, init_args: {rating: valence}},"
    " {class_path: datamodules.targets.Value, init_args: {rating: arousal}}]",
)


def plan_of(place: Place, *overrides: str) -> Plan:
    from experiments.check import check
    from experiments.load import load
    from experiments.plan import make

    _, *own = place.arguments(*overrides)
    return make(check(load(place.config, own)))


def with_labels(place: Place, change: Callable[[np.ndarray], np.ndarray], name: str) -> Place:
    """The same people, s01 with other labels."""
    root = place.folder / name
    (root / "data_preprocessed_python").mkdir(parents=True)
    for path in place.root.rglob("*.*"):
        target = root / path.relative_to(place.root)
        if path.name != "s01.dat":
            os.link(path, target)
            continue
        data, labels = (stored.numpy() for stored in Deap(str(place.root))._read(path))
        with target.open("wb") as file:
            python2_pickle.dump(file, {"labels": change(labels), "data": data}, protocol=2)
        assert target.stat().st_size == path.stat().st_size
    return replace(place, root=root)


def all_high_or_missing(labels: np.ndarray) -> np.ndarray:
    return np.concatenate([np.full((1, 4), np.nan), np.full((len(labels) - 1, 4), 8.0)])


@pytest.mark.parametrize("targets", [(), SEVERAL], ids=["one", "several"])
@pytest.mark.parametrize("selection", [(), VALIDATED], ids=["last", "source-validation"])
def test_target_labels_change_no_weight(place: Place, selection: tuple[str, ...], targets: tuple[str, ...]) -> None:
    from safetensors.numpy import load_file

    from experiments.execute import execute

    overrides = ("--normalisation=[source, subject]", *selection, *targets)
    shuffled = with_labels(place, lambda labels: np.roll(labels, 1, axis=0), "shuffled")
    other = with_labels(place, all_high_or_missing, "other")
    plans = [plan_of(where, *overrides) for where in (place, shuffled, other)]
    of_target = [[run for run in plan.runs if run.fold.name == "s01"] for plan in plans]
    assert [(run.method, run.normalisation) for run in of_target[0]] == [
        (method, normalisation) for normalisation in ("source", "subject") for method in ("source-only", "dann")
    ]
    for original, *changed in zip(*of_target, strict=True):
        execute(plans[0], original)
        expected = pd.read_parquet(original.folder / "predictions.parquet")
        for plan, run in zip(plans[1:], changed, strict=True):
            execute(plan, run)
            weights = [(r.folder / "weights.safetensors").read_bytes() for r in (original, run)]
            assert weights[0] == weights[1], run.label
            found = pd.read_parquet(run.folder / "predictions.parquet")
            same = expected[expected["window"].isin(found["window"])].reset_index(drop=True)
            assert len(found) >= 6
            labels = [column for column in found if column.startswith("label_")]
            assert all((found[column] != same[column]).any() for column in labels)
            predicted, before = (frame.drop(columns=labels) for frame in (found, same))
            pd.testing.assert_frame_equal(predicted, before, check_exact=True)

    # The same labels matter where s01 is a source: the comparison above can fail.
    one, two = (next(run for run in plan.runs if run.fold.name == "s02") for plan in plans[:2])
    execute(plans[0], one)
    execute(plans[1], two)
    learned = [load_file(run.folder / "weights.safetensors") for run in (one, two)]
    assert learned[0].keys() == learned[1].keys()
    assert any((learned[0][name] != learned[1][name]).any() for name in learned[0])
