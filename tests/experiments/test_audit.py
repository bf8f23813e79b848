"""`--audit` finds a planted leak of each kind by the check that is meant for it, and nothing in what is shipped."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from audited import ALONE, audited, leaks, planned

from datamodules.corpora.deap import Deap
from datamodules.protocols import Fold, LeaveOneSubjectOut
from datamodules.standin import python2_pickle
from datamodules.windows import WindowTable

if TYPE_CHECKING:
    from experiments.plan import Plan
    from tests.experiments.conftest import Answer, Place

pytestmark = pytest.mark.filterwarnings("ignore")
CONFIGS = Path(__file__).parents[2] / "experiments" / "configs"
CLEAN = {
    "people": "pass",
    "trials": "pass",
    "recordings": "pass",
    "parts": "exempt",
    "stimuli": "exempt",
    "pretraining": "exempt",
    "canary": "pass",
    "labels": "pass",
    "inductive": "pass",
}


class PeopleOnBothSides(LeaveOneSubjectOut):
    """The first of the target's trials is learned from, the others are tested."""

    def split(self, trials: pd.DataFrame) -> list[Fold]:
        folds = []
        for f in super().split(trials):
            first, rest = f.target_test[:1], f.target_test[1:]
            train = np.union1d(f.source_train, first)
            folds.append(replace(f, source_train=train, target_unlabelled=rest, target_test=rest))
        return folds


class TrialsOnBothSides(LeaveOneSubjectOut):
    """All of the target's trials are learned from, and tested."""

    def split(self, trials: pd.DataFrame) -> list[Fold]:
        return [replace(f, source_train=np.union1d(f.source_train, f.target_test)) for f in super().split(trials)]


class StimuliOnBothSides(LeaveOneSubjectOut):
    """Source people learn from all their trials, whatever is tested."""

    def split(self, trials: pd.DataFrame) -> list[Fold]:
        subject = trials["subject"].to_numpy()
        return [
            replace(f, source_train=np.flatnonzero(np.isin(subject, subject[f.source_train])))
            for f in super().split(trials)
        ]


def test_tested_people_in_the_source_are_found(place: Place) -> None:
    verdicts = audited(place, ALONE, f"--protocol={__name__}.PeopleOnBothSides")
    assert leaks(verdicts) == {"people"}
    assert verdicts["people"].found[0] == "deap/s01 is source and target in fold s01"
    assert f"{__name__}.PeopleOnBothSides" in verdicts["people"].remedy


def test_tested_trials_in_training_are_found_by_names_and_by_the_canary(place: Place) -> None:
    verdicts = audited(place, ALONE, f"--protocol={__name__}.TrialsOnBothSides")
    assert leaks(verdicts) >= {"people", "trials", "canary"}
    assert "is in source_train and target_test of fold s01" in verdicts["trials"].found[0]
    assert "s01.dat" in verdicts["trials"].found[0]


def test_windows_of_one_trial_on_both_sides_are_found(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials are disjoint; the windows are one off."""

    def one_off(self: WindowTable, trials: np.ndarray) -> np.ndarray:
        return np.flatnonzero(np.isin(np.roll(self.trial, 1), trials))

    monkeypatch.setattr(WindowTable, "of_trials", one_off)
    verdicts = audited(place, ALONE)
    assert "trials" in leaks(verdicts)
    assert "people" not in leaks(verdicts)
    assert "are in training and testing of fold s01" in verdicts["trials"].found[0]


def rewritten(place: Place, change: Callable[[np.ndarray], np.ndarray]) -> Place:
    """s04 is s01's recordings, changed, with s04's own labels."""
    own, other = (place.root / "data_preprocessed_python" / f"s0{i}.dat" for i in (4, 1))
    reader = Deap(str(place.root))
    (_, labels), (data, _) = ([stored.numpy() for stored in reader._read(path)] for path in (own, other))
    own.unlink()
    with own.open("wb") as file:
        python2_pickle.dump(file, {"labels": labels, "data": change(data)}, protocol=2)
    return place


def test_a_recording_under_two_names_is_found_by_its_content_and_by_the_canary(spoilt: Place) -> None:
    verdicts = audited(rewritten(spoilt, lambda data: data), ALONE)
    assert leaks(verdicts) == {"recordings", "canary"}
    assert len(verdicts["recordings"].found) == 4
    assert "deap/s01" in verdicts["recordings"].found[0]
    assert "= deap/s04" in verdicts["recordings"].found[0]
    assert any("lies upon deap/s04" in line for line in verdicts["canary"].found)


@pytest.mark.parametrize(("noise", "found"), [(1e-3, {"recordings", "canary"}), (0.3, {"canary"})])
def test_a_recording_that_was_saved_anew_is_found_by_the_canary(spoilt: Place, noise: float, found: set[str]) -> None:
    """Other numbers, so that no fingerprint is the same; with more noise, no sketch either."""
    more = np.random.default_rng(0)
    saved_anew = rewritten(spoilt, lambda data: data * 1.001 + noise * more.normal(size=data.shape))
    assert leaks(audited(saved_anew, ALONE)) == found


@pytest.mark.parametrize("moved", [128, 32], ids=["1 s", "1/4 s"])
def test_a_recording_that_begins_elsewhere_is_found(spoilt: Place, moved: int) -> None:
    verdicts = audited(rewritten(spoilt, lambda data: 3 * np.roll(data, moved, axis=-1)), ALONE)
    assert leaks(verdicts) == {"recordings"}
    assert len(verdicts["recordings"].found) == 4
    assert "= deap/s04" in verdicts["recordings"].found[0]


def test_a_recording_with_another_gain_is_found_by_the_canary_too(spoilt: Place) -> None:
    verdicts = audited(rewritten(spoilt, lambda data: 2 * data + 5), ALONE)
    assert leaks(verdicts) == {"recordings", "canary"}
    assert any("lies upon deap/s04" in line for line in verdicts["canary"].found)


def test_sketches_tell_a_copy_from_recordings_that_are_only_alike() -> None:
    """Smooth and nearly periodic, all of one shape; two share their second half."""
    from experiments.audit.sketch import shared, sketch

    generator = np.random.default_rng(0)
    beat = np.cumsum(1 + 0.05 * generator.normal(size=(40, 2000)), axis=1) / 6
    noise = generator.normal(size=(40, 2000)).cumsum(axis=1)
    signals = 5 * np.sin(beat) + 0.02 * noise
    sketches = {i: sketch(signal[None].astype(np.float32)) for i, signal in enumerate(signals)}
    assert shared(sketches) == []
    part = (7 - 0.5 * signals[3, 1000:], 7 + 0.5 * signals[3, 1000:])
    turned, copied = (sketch(signal[None].astype(np.float32)) for signal in part)
    assert shared({**sketches, 40: copied}) == [(3, 40)]
    assert shared({**sketches, 40: turned}) == []  # upside down it is another recording to this check
    flat = {i: sketch(np.full((1, 2000), i, np.float32)) for i in range(2)}
    assert shared(flat) == []


def with_parts(plan: Plan) -> Plan:
    """As if each two trials of a person were halves of one file."""
    trials = plan.windows.trials
    number = trials.groupby("subject").cumcount()
    trials["where"] = [
        f"{s}-{n // 2}.edf, part {n % 2 + 1} of 2" for s, n in zip(trials["subject"], number, strict=True)
    ]
    return plan


@pytest.mark.parametrize(
    ("protocol", "verdict", "said"),
    [
        ("datamodules.protocols.LeaveOneSubjectOut", "pass", "8 recordings cut into trials"),
        ("{class_path: datamodules.protocols.LeaveOneSubjectOut, init_args: {calibration: 1}}", "exempt",
         "4 tested trials with other parts of their recordings in calibration"),
        ("{class_path: datamodules.protocols.WithinSubject, init_args: {parts: 4}}", "exempt",
         "16 tested trials with other parts of their recordings in training, as WithinSubject says"),
        (f"{__name__}.PeopleOnBothSides", "LEAK", "s01-0.edf, part 2 of 2) is in the source of fold s01"),
    ],
)  # fmt: skip
def test_parts_of_a_recording_on_both_sides_are_told(place: Place, protocol: str, verdict: str, said: str) -> None:
    from datamodules.protocols import Protocol
    from experiments.audit.recordings import parts
    from experiments.components import build

    plan = with_parts(planned(place, ALONE, f"--protocol={protocol}", "--data.target.above=5"))
    found = parts(plan, build(plan.experiment.protocol, Protocol, "protocol"))
    assert found.verdict == verdict
    assert said in str(found)


def test_stimuli_that_were_promised_to_be_new_are_found(place: Place) -> None:
    """As the protocol should be, and with the plant."""
    new = "--protocol.init_args={new_stimuli: 2}"
    clean = audited(place, ALONE, new)
    assert leaks(clean) == set()
    assert clean["stimuli"].verdict == "pass"
    verdicts = audited(place, ALONE, f"--protocol.class_path={__name__}.StimuliOnBothSides", new)
    assert leaks(verdicts) == {"stimuli"}
    assert "is trained on and tested in fold s01-stimuli01" in verdicts["stimuli"].found[0]


def test_weights_that_met_a_tested_person_are_found(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Although whoever should refuse them looks away."""
    from safetensors.torch import save_file

    from affect.encoders import BandMLP
    from affect.transfer import weights
    from affect.transfer.card import Card

    shape = planned(place).windows.shapes["eeg"]
    file = place.folder / "eeg.safetensors"
    save_file(BandMLP(shape).state_dict(), file)
    card = Card(
        "eeg",
        {"class_path": "affect.encoders.BandMLP"},
        {"channels": list(shape.channels), "rate": None},
        ["deap/s02", "nemo/7"],
        {},
        "source",
        "labels",
        {},
        "0",
    )
    file.with_suffix(".json").write_text(card.text())
    refusing = weights.find
    monkeypatch.setattr(weights, "find", lambda text, key, stream, seed, fold, tested, n: refusing(
        text, key, stream, seed, fold, [], n))  # fmt: skip
    verdicts = audited(place, ALONE, f"--model.transfer.eeg.weights={file}")
    assert leaks(verdicts) == {"pretraining"}
    assert verdicts["pretraining"].found == [f"deap/s02, tested in fold s02, is on the card of {file} (eeg)"]


def test_weights_that_features_are_made_with_are_told(place: Place) -> None:
    from experiments.audit.disjoint import pretraining_people
    from experiments.config import Component, Stream

    plan = planned(place, ALONE)
    features = Component(
        class_path="affect.preprocessing.TimmEmbedding", init_args={"backbone": "resnet18", "weights": "mine.pth"}
    )
    data = plan.experiment.data.model_copy(update={"streams": {"face": Stream(features=features)}})
    verdict = pretraining_people(replace(plan, experiment=plan.experiment.model_copy(update={"data": data})))
    assert verdict.verdict == "exempt"
    assert verdict.said.endswith("without a card: who it met is not known: face by TimmEmbedding from mine.pth")


def test_within_a_person_people_are_exempt(place: Place) -> None:
    verdicts = audited(place, ALONE, "--protocol={class_path: datamodules.protocols.WithinSubject, "
                       "init_args: {parts: 2}}", "--data.target.above=5")  # fmt: skip
    assert leaks(verdicts) == set()
    assert verdicts["people"].verdict == "exempt"


def test_what_the_command_says_and_leaves(place: Place, door: Callable[[list[str]], Answer]) -> None:
    clean = door(place.arguments("--audit"))
    assert clean.code == 0, clean.err
    assert place.done() == []
    (written,) = place.output.glob("small-*/audit.json")
    found = json.loads(written.read_text(encoding="utf-8"))
    assert {check["check"]: check["verdict"] for check in found["checks"]} == CLEAN
    assert found["leaks"] == []
    splits = found["leak_gap"]["splits"]
    assert list(splits) == ["windows", "trials", "people"]
    assert all(split["people"] == 4 and split["low"] <= split["mean"] <= split["high"] for split in splits.values())
    told = (f"{splits[name]['mean']:.2f}".removeprefix("0") for name in ("windows", "people"))
    assert f"would report {next(told)} here" in clean.out
    assert f"on people never seen it is {next(told)} (chance .50)" in clean.out
    for suffix in (".png", ".svg"):
        assert written.with_name(f"leak_gap{suffix}").stat().st_size > 1000
    leaky = door(place.arguments("--audit", ALONE, f"--protocol={__name__}.PeopleOnBothSides"))
    assert leaky.code == 1
    assert "people       LEAK" in leaky.out
    assert "do: correct" in leaky.out
    assert "LEAK: people → " in leaky.out


def audit_of(path: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    from test_every_config import tiny

    from experiments.load import load
    from experiments.run import main

    quickly = ["--trainer.max_epochs=1", "--seeds=[0]", "--wandb.mode=disabled", "--launcher.local.workers=1"]
    places = [f"--data.cache={folder / 'cache'}", f"--output={folder / 'runs'}"]
    code = main([f"--config={path}", *tiny(load(path), folder / "corpora"), *places, *quickly, "--audit"])
    printed = capsys.readouterr()
    assert code == 0, printed.out + printed.err
    (written,) = (folder / "runs").glob("*/audit.json")
    return json.loads(written.read_text(encoding="utf-8"))


FAST = ("quickstart",)
SEES_THE_TARGET = {
    "deap_multimodal",
    "eegmat_calibration",
    "eegmat_probe",
    "ravdess_from_nemo",
    "stress_predict_calibration",
    "uci_har",
}
"""Configs without an inductive row: own statistics, calibration, or a choice by the target's windows."""


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=() if path.stem in FAST else pytest.mark.slow)
        for path in sorted(CONFIGS.rglob("*.yaml"))
    ],
)
def test_nothing_leaks_in_what_is_shipped(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = audit_of(path, tmp_path, capsys)
    assert found["leaks"] == []
    verdicts = {check["check"]: check["verdict"] for check in found["checks"]}
    assert verdicts.keys() == CLEAN.keys()
    if path.parent == CONFIGS:  # in pretraining nobody is tested
        expected = CLEAN | ({"people": "exempt"} if path.stem == "deap_2012" else {})  # each person by themselves
        expected |= {"inductive": "exempt"} if path.stem in SEES_THE_TARGET else {}
        assert [name for name, verdict in expected.items() if verdict == "pass" and verdicts[name] != "pass"] == []
        assert verdicts["people"] == expected["people"]
        assert verdicts["inductive"] == expected["inductive"]
        assert found["leak_gap"] is None or {"windows", "people"} <= set(found["leak_gap"]["splits"])
