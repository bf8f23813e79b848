"""A search: as many settings for every method, chosen without target labels, and what a choice cost."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from affect.errors import UserError
from affect.evaluation.selection import VALIDATORS
from experiments.check import check
from experiments.load import load
from experiments.plan import make
from experiments.search import candidates

if TYPE_CHECKING:
    from tests.experiments.conftest import Place

SEARCH = (
    "--data.corpus.subjects=[s01, s02, s03]",
    "--selection=dev",
    "--protocol.validation=0.34",
    "--search.budget=2",
    "--search.space={trainer.learning_rate: {low: 1.0e-4, high: 1.0e-2, log: true}}",
    "--methods.dann.search={alignment.weight: [0.1, 0.5, 1.0]}",
)


def experiment_of(place: Place, *overrides: str) -> Any:
    _, *own = place.arguments(*overrides)
    return load(place.config, own)


def test_every_method_gets_as_many_settings_and_the_same_draws_each_time(place: Place) -> None:
    experiment = experiment_of(place, *SEARCH, "--search.budget=5")
    found = candidates(experiment)
    assert found == candidates(experiment)
    assert {name: len(several) for name, several in found.items()} == {"source-only": 5, "dann": 5}
    for candidate in found["dann"]:
        rate, weight = candidate.drawn["trainer.learning_rate"], candidate.drawn["methods.dann.alignment.weight"]
        assert candidate.experiment.trainer.learning_rate == rate
        assert candidate.experiment.methods["dann"].alignment.init_args["weight"] == weight
        assert 1e-4 <= rate <= 1e-2
    shared = [[candidate.drawn["trainer.learning_rate"] for candidate in several] for several in found.values()]
    assert shared[0] == shared[1]  # every method is tried with the same ones
    many = candidates(experiment_of(place, *SEARCH, "--search.budget=400"))["source-only"]
    below = np.mean([candidate.drawn["trainer.learning_rate"] < 1e-3 for candidate in many])
    assert abs(below - 0.5) < 0.1  # even in the logarithm


@pytest.mark.parametrize(
    ("overrides", "where", "found"),
    [
        (("--search.sampler=grid", "--search.space={trainer.learning_rate: [1.0e-3, 1.0e-2]}"), "search.budget", "6"),
        (("--search.space={trainer.learning_rate: [1.0e-3]}",), "search.budget", "1 different settings of source-only"),
        (("--search.space={trainer.learning_rat: [1, 2]}",), "trainer.learning_rat", "no such key"),
        (("--search.space={data.window.seconds: [1, 2]}",), "search.space.data.window.seconds", "a key that all runs"),
        (("--search.space={trainer.learning_rate: [1.0e-3, -1]}",), "trainer.learning_rate", "-1"),
        (("--methods.dann.search={alignment.wight: [1, 2]}",), "alignment.wight", "no such argument"),
        (("--selection=last",), "selection", "'last'"),
        (("--protocol.validation=0",), "selection", "'dev' without held-out"),
        (("--search=null",), "methods.dann.search", "without a search"),
    ],
)
def test_what_cannot_be_searched_is_refused(place: Place, overrides: tuple[str, ...], where: str, found: str) -> None:
    with pytest.raises(UserError) as error:
        check(experiment_of(place, *SEARCH, *overrides))
    assert where in error.value.where
    assert found in error.value.found


def test_a_plan_keeps_the_experiment_that_was_asked_for(place: Place) -> None:
    """What lies beside the results, and what workers make their plan of, is no candidate's."""
    experiment = check(experiment_of(place, *SEARCH))
    assert make(experiment).experiment == experiment


def test_a_search_ends_in_one_table_with_the_regret_of_every_validator(place: Place, door: Any) -> None:
    answer = door(place.arguments(*SEARCH))
    assert answer.code == 0, answer.err
    (folder,) = place.output.glob("small-*")
    summary = json.loads((folder / "summary.json").read_text())
    runs = 3 * 2 * 2  # people, methods, settings
    assert len(list((place.output / "runs").iterdir())) == runs
    assert summary["search"]["candidates"] == 2
    assert {row: sum(times.values()) for row, times in summary["search"]["chosen"].items()} == {
        "source-only/source": 3,
        "dann/source": 3,
    }
    block = summary["targets"]["valence"]
    assert {row["setting"] for row in block["methods"].values()} == {"transductive"}  # DEV looks at target windows
    for row, told in block["selection"].items():
        assert set(told) == {"oracle", "mean of all", *VALIDATORS}
        assert told["oracle"]["regret"] == 0
        best = told["oracle"]["balanced_accuracy"]
        for found in told.values():
            assert found["regret"] >= 0
            assert found["balanced_accuracy"] == pytest.approx(best - found["regret"])
        scored = block["methods"][row]["window"]["balanced_accuracy"]["mean"]
        assert scored == pytest.approx(told["dev"]["balanced_accuracy"])  # one person a fold
    assert "regret" in answer.out
    assert "2 settings tried with every method" in answer.out

    # Another choice among the same runs, and called what it is.
    again = door(place.arguments(*SEARCH, "--selection=oracle"))
    assert len(list((place.output / "runs").iterdir())) == runs
    assert "selection: oracle" in again.out
    assert "After Holm" in answer.out
    assert "After Holm" not in again.out  # what was chosen by the labels is not tested
    other = next(path for path in place.output.glob("small-*") if path != folder)
    rows = json.loads((other / "summary.json").read_text())["targets"]["valence"]
    assert {row["setting"] for row in rows["methods"].values()} == {"oracle"}
    for row, told in rows["selection"].items():
        assert rows["methods"][row]["window"]["balanced_accuracy"]["mean"] == pytest.approx(
            told["oracle"]["balanced_accuracy"]
        )
