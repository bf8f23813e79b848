"""Targets from end to end: several at once, values, annotations over time, and what is said before and after."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
import pytest

from affect.batch import Signal
from affect.errors import UserError
from datamodules.corpora.base import Trial
from datamodules.corpora.deap import Deap

if TYPE_CHECKING:
    from tests.experiments.conftest import Door, Place

THRESHOLD = "{class_path: datamodules.targets.Threshold, init_args: {rating: valence, above: 5}}"
VALUE = "{class_path: datamodules.targets.Value, init_args: {rating: %s}}"
MEDIAN = "{class_path: datamodules.targets.Median, init_args: {rating: arousal}}"


def summary(place: Place, door: Door, *overrides: str) -> dict[str, Any]:
    answer = door(place.arguments(*overrides))
    assert answer.code == 0, answer.err
    assert answer.err == ""
    found: dict[str, Any] = json.loads(place.summary())
    return found


# ---- several at once


def test_two_targets_are_two_blocks(place: Place, door: Door, tmp_path: Path) -> None:
    """What does not depend on the network is what each target alone gives."""
    both = summary(place, door, f"--data.target=[{THRESHOLD}, {VALUE % 'arousal'}]")
    assert list(both["targets"]) == ["valence", "arousal"]
    table = place.table()
    assert table.index("balanced accuracy") < table.index("majority") < table.index("CCC") < table.index("source-mean")
    for name, target in {"valence": THRESHOLD, "arousal": VALUE % "arousal"}.items():
        elsewhere = replace(place, folder=tmp_path / name)
        alone = summary(elsewhere, door, f"--data.target={target}", "--methods={}")["targets"][name]
        block = both["targets"][name]
        same = ("kind", "classes", "bounds", "windows", "trials", "priors", "chance", "trivial", "init_args")
        assert {key: block[key] for key in same} == {key: alone[key] for key in same}
        assert list(block["methods"]) == ["source-only/source", "dann/source"]
        assert block["methods"]["source-only/source"] != alone["methods"]["source-only/source"]  # they share a network


def test_predictions_hold_every_target(place: Place, door: Door) -> None:
    summary(place, door, f"--data.target=[{THRESHOLD}, {VALUE % 'arousal'}]", "--methods={}")
    found = pd.concat(pd.read_parquet(done.parent / "predictions.parquet") for done in place.done())
    facts = ["window", "trial", "start", "subject", "stimulus"]
    own = ["label_valence", "p_valence_low", "p_valence_high", "label_arousal", "predicted_arousal"]
    assert list(found) == [*facts, *own]
    np.testing.assert_allclose(found["p_valence_low"] + found["p_valence_high"], 1, atol=1e-6)
    rated = {s: [t.ratings for t in Deap(str(place.root)).trials(s, [])] for s in ("s01", "s02", "s03", "s04")}
    for row in found.itertuples():
        ratings = rated[row.subject][int(row.stimulus[-2:]) - 1]  # type: ignore[arg-type, index]
        assert row.label_valence == (ratings["valence"] > 5)
        assert row.label_arousal == pytest.approx(ratings["arousal"], rel=1e-6)


# ---- values


@pytest.mark.parametrize(("strength", "least", "most"), [(1, 0.2, 1.0), (0, -0.15, 0.15)])
def test_values_are_learned_where_there_is_something_to_learn(
    place: Place, door: Door, strength: int, least: float, most: float
) -> None:
    sizes = {"root": str(place.folder / "people"), "subjects": 6, "trials": 12, "seconds": 12, "strength": strength}
    corpus = {"class_path": "datamodules.standin.StandInDeap", "init_args": sizes}
    own = [f"--data.corpus={json.dumps(corpus)}", f"--data.target={VALUE % 'valence'}", "--normalisation=subject"]
    training = ["--trainer.max_epochs=15", "--trainer.batch_size=64", "--trainer.learning_rate=2e-3", "--methods={}"]
    arguments = [a for a in place.arguments(*own, *training) if not a.startswith("--data.corpus.root")]
    answer = door(arguments)
    assert answer.code == 0, answer.err
    block = json.loads(place.summary())["targets"]["valence"]
    found = block["methods"]["source-only/subject"]
    assert least < found["window"]["ccc"]["mean"] < most
    assert least < found["trial"]["ccc"]["mean"] < most
    mean = block["trivial"]["source-mean"]["window"]
    assert (found["window"]["rmse"]["mean"] < mean["rmse"]["mean"]) == (strength == 1)
    assert (mean["ccc"]["mean"], mean["pearson"]) == (0, None)


def test_values_that_do_not_differ_cannot_be_learned(place: Place, door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datamodules.targets.value.rated", lambda trials, rating: np.full(len(trials), 4.0))
    answer = door(place.arguments(f"--data.target={VALUE % 'valence'}"))
    answer.refused("fold s01", "4 in every training window", "differ", "take more people")


# ---- annotations over time


class Annotated(Deap):
    """DEAP's people who also said, every half second, how they felt: s01 … s04, n at second n; s02's first did not."""

    name = "annotated"
    streams: ClassVar[tuple[str, ...]] = (*Deap.streams, "annotation")

    def trials(self, subject: str, streams: Sequence[str]) -> Iterator[Trial | UserError]:
        for number, trial in enumerate(super().trials(subject, streams)):
            assert isinstance(trial, Trial)
            seconds = 7.0
            felt = np.stack([np.arange(seconds * 2) / 2, np.full(round(seconds * 2), number)]).astype(np.float32)
            annotation = Signal(felt + 0.001 * number, 2.0, ("valence", "arousal"), "1 to 9")
            here = {} if (subject, number) == ("s02", 0) else {"annotation": annotation}
            yield replace(trial, streams={**trial.streams, **{n: s for n, s in here.items() if n in streams}})


ANNOTATED = f"--data.corpus.class_path={__name__}.Annotated"
CONTINUOUS = "--data.target={class_path: datamodules.targets.Continuous, init_args: {rating: valence%s}}"


def test_an_annotation_is_a_label_for_each_window_and_no_input(place: Place, door: Door) -> None:
    found = summary(place, door, ANNOTATED, CONTINUOUS % "", "--methods={}")
    block = found["targets"]["valence"]
    assert (block["kind"], block["bounds"]) == ("regression", None)
    assert (block["trials"], block["windows"]) == (15, 30)  # one trial was not annotated
    for done in place.done():
        predictions = pd.read_parquet(done.parent / "predictions.parquet")
        for row in predictions.itertuples():  # windows of 2 s, samples of half a second at 0, 0.5 … s
            expected = row.start + 0.75 + 0.001 * (int(row.stimulus[-2:]) - 1)  # type: ignore[arg-type, operator, index]
            assert row.label_valence == pytest.approx(expected, abs=1e-5)


def test_an_annotation_above_a_threshold_makes_classes(place: Place, door: Door) -> None:
    block = summary(place, door, ANNOTATED, CONTINUOUS % ", above: 4.9", "--methods={}")["targets"]["valence"]
    assert (block["kind"], block["classes"]) == ("classes", ["low", "high"])
    assert block["priors"]["all"] == {"low": 0.5, "high": 0.5}  # the first and the second window of every trial


# ---- what is said before, and what is refused


def test_labels_are_shown_before_training(place: Place, door: Door) -> None:
    targets = f"--data.target=[{MEDIAN}, {VALUE % 'valence'}]"
    answer = door(place.arguments(targets, "--dry-run"))
    assert answer.code == 0, answer.err
    lines = answer.out.splitlines()
    assert lines[0].startswith("arousal: low 0.50, high 0.50; everybody's largest class holds 0.50")
    assert lines[1:5] == [f"  s0{n}  low 0.50, high 0.50" for n in range(1, 5)]
    assert lines[5].startswith("valence: mean ")
    assert [line.split()[0] for line in lines[6:10]] == ["s01", "s02", "s03", "s04"]
    assert not place.output.exists()
    started = door(place.arguments(targets, "--trainer.max_epochs=1", "--methods={}")).out.splitlines()
    assert started[:2] == [lines[0], lines[5]]
    assert started[2].startswith("4 runs")


def test_own_borders_need_people_who_are_left_out(place: Place, door: Door) -> None:
    """Within a person, a tested rating would move the border that training labels are made with."""
    within = ["--protocol={class_path: datamodules.protocols.WithinSubject, init_args: {parts: 2}}"]
    answer = door(place.arguments(f"--data.target={MEDIAN}", *within))
    answer.refused("data.target", "arousal by each person's own ratings; s01", "no tested rating", "leaves people out")


class Unprepared(Deap):
    """Some trials begin at once."""

    name = "unprepared"

    def trials(self, subject: str, streams: Sequence[str]) -> Iterator[Trial | UserError]:
        for number, trial in enumerate(super().trials(subject, streams)):
            assert isinstance(trial, Trial)
            yield replace(trial, onset=0.0 if (subject, number) == ("s03", 1) else 3.0)


@pytest.mark.parametrize("normalisation", ["baseline", "baseline+subject"])
def test_a_trial_without_a_baseline_is_named(place: Place, door: Door, normalisation: str) -> None:
    unprepared = f"--data.corpus.class_path={__name__}.Unprepared"
    answer = door(place.arguments(unprepared, f"--normalisation=[source, {normalisation}]"))
    found = f"'{normalisation}', and eeg of 1 of 16 trials has no baseline; first: "
    answer.refused("normalisation", found, "a baseline before every trial", "use source or subject")
    assert "s03.dat, video 2" in answer.err
    assert not place.output.exists()


def test_a_baseline_too_short_for_its_features_is_told(place: Place, door: Door) -> None:
    """A band with a frequency in 4 s and none in the 3 s before."""
    narrow = ["--data.streams.eeg.features.bands={narrow: [4.1, 4.3]}", "--data.window.seconds=4"]
    door(place.arguments(*narrow, "--normalisation=baseline")).refused(
        "normalisation", "eeg of 16 of 16 trials has no baseline long enough", "a baseline", "use source or subject"
    )


def test_the_person_after_the_baseline_is_a_setting_of_its_own(place: Place, door: Door) -> None:
    found = summary(place, door, "--normalisation=[baseline, baseline+subject]", "--methods={}")
    methods = found["targets"]["valence"]["methods"]
    settings = {row["normalisation"]: row["setting"] for row in methods.values()}
    assert settings == {"baseline": "inductive", "baseline+subject": "transductive-stats"}
