"""`--audit` finds a planted leak of each kind by the check that is meant for it, and nothing in what is shipped."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from affect.alignment import Alignment
from affect.alignment.base import AlignmentInput
from datamodules.corpora.deap import Deap
from datamodules.protocols import Fold, LeaveOneSubjectOut
from datamodules.standin import python2_pickle
from datamodules.targets import Threshold
from datamodules.windows import WindowSet, WindowTable

if TYPE_CHECKING:
    from experiments.audit.verdict import Verdict
    from experiments.plan import Plan
    from tests.experiments.conftest import Answer, Place

pytestmark = pytest.mark.filterwarnings("ignore")
CONFIGS = Path(__file__).parents[2] / "experiments" / "configs"
CLEAN = {
    "people": "pass",
    "trials": "pass",
    "recordings": "pass",
    "stimuli": "exempt",
    "pretraining": "exempt",
    "canary": "pass",
    "labels": "pass",
}


def planned(place: Place, *overrides: str) -> Plan:
    from experiments.check import check
    from experiments.load import load
    from experiments.plan import make

    _, *own = place.arguments("--trainer.max_epochs=1", *overrides)
    return make(check(load(place.config, own)))


def audited(place: Place, *overrides: str) -> dict[str, Verdict]:
    """Check → verdict."""
    from experiments.audit import audit

    return {verdict.check: verdict for verdict in audit(planned(place, *overrides))}


def leaks(verdicts: Mapping[str, Verdict]) -> set[str]:
    return {name for name, verdict in verdicts.items() if verdict.verdict == "LEAK"}


ALONE = "--methods={}"  # source-only


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


class ReadsRatings(LeaveOneSubjectOut):
    """One source trial less for people who rate high: a fold that depends on the target's labels."""

    def split(self, trials: pd.DataFrame) -> list[Fold]:
        rating = trials["rating.valence"].to_numpy()
        folds = super().split(trials)
        return [replace(f, source_train=f.source_train[int(rating[f.target_test].mean() > 8) :]) for f in folds]


HEARD: list[float] = [0.0]


class Overheard(Threshold):
    """Tells of the first person's labels behind the back of everybody who hides them."""

    def labels(self, windows: WindowSet) -> Any:
        found = super().labels(windows)
        HEARD[0] = float(np.nanmean(found[windows.subject[windows.table.trial] == 0]))
        return found


class Eavesdropper(Alignment):
    """Reads them."""

    def forward(self, batch: AlignmentInput) -> tuple[Tensor, dict[str, Tensor]]:
        return self.weight * (1 + HEARD[0]) * batch.features.square().mean(), {}


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


def test_a_recording_that_was_saved_anew_is_found_by_the_canary(spoilt: Place) -> None:
    """Other numbers, so that no fingerprint is the same."""
    noise = np.random.default_rng(0)
    saved_anew = rewritten(spoilt, lambda data: data * 1.001 + 1e-3 * noise.normal(size=data.shape))
    assert leaks(audited(saved_anew, ALONE)) == {"canary"}


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


def test_labels_through_a_side_channel_are_found(place: Place) -> None:
    methods = f"--methods={{spy: {{alignment: {__name__}.Eavesdropper}}}}"
    verdicts = audited(place, methods, f"--data.target.class_path={__name__}.Overheard")
    assert leaks(verdicts) == {"labels"}
    (line,) = verdicts["labels"].found
    assert line.startswith("s01 · spy · source · seed 0: ")
    assert "weights.safetensors" in line
    assert "predictions.parquet" in line


def test_labels_that_a_data_module_hands_out_are_found(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of the target taken for rows of the source."""
    from datamodules.module import FoldData

    hide = FoldData.__init__

    def show(self: FoldData, windows: Any, labels: Any, *args: Any, **more: Any) -> None:
        hide(self, windows, labels, *args, **more)
        self._label, self._source = torch.from_numpy(labels), torch.ones_like(self._source)
        self._weight = torch.ones_like(self._weight)

    monkeypatch.setattr(FoldData, "__init__", show)
    verdicts = audited(place)
    assert leaks(verdicts) == {"labels"}
    assert [line.split(" · ")[1] for line in verdicts["labels"].found] == ["dann"]


def test_settings_chosen_by_labels_are_found(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is learned is the same; the score that chooses among settings is not."""
    from experiments import evidence

    monkeypatch.setattr(evidence, "of_network", lambda plan, network, data: {
        "entropy": float(np.nanmean(plan.labels[data.target_test]))})  # fmt: skip
    verdicts = audited(place, ALONE)
    assert leaks(verdicts) == {"labels"}
    assert verdicts["labels"].found == ["s01 · source-only · source · seed 0: metrics.json differ"]


def test_the_oracle_is_exempt_and_says_so(place: Place) -> None:
    search = "--search={budget: 3, sampler: grid, space: {trainer.learning_rate: [0.01, 0.02, 0.03]}}"
    verdicts = audited(place, ALONE, search, "--selection=oracle")
    assert leaks(verdicts) == set()
    assert verdicts["labels"].said.startswith("2 runs: ")
    assert "exempt: the oracle chooses" in verdicts["labels"].said


def test_folds_that_read_ratings_are_found(place: Place) -> None:
    verdicts = audited(place, ALONE, f"--protocol={__name__}.ReadsRatings")
    assert leaks(verdicts) == {"labels"}
    assert "its folds change with ratings" in verdicts["labels"].found[0]


def test_calibration_labels_are_not_hidden(place: Place) -> None:
    verdicts = audited(place, ALONE, "--protocol.calibration=1")
    assert leaks(verdicts) == set()
    assert "1 calibration trials apart" in verdicts["labels"].said


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
        assert [name for name, verdict in expected.items() if verdict == "pass" and verdicts[name] != "pass"] == []
        assert verdicts["people"] == expected["people"]
        assert found["leak_gap"] is None or {"windows", "people"} <= set(found["leak_gap"]["splits"])
