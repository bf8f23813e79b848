"""Pretraining through the command: encoders with their cards, taken up by other experiments, refused where they know
somebody who is tested."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from experiments.check import check
from experiments.load import load
from experiments.plan import make
from experiments.run import main

pytestmark = pytest.mark.filterwarnings("ignore")
Config = dict[str, Any]


def config(folder: Path, name: str, **more: Any) -> Config:
    """Three people in DEAP's layout, raw EEG; `seed` invents others."""
    people = {"root": str(folder / "corpora"), "subjects": 3, "trials": 4, "seconds": 4.0, "seed": more.pop("seed", 0)}
    return {
        "name": name,
        "data": {
            "corpus": {"class_path": "datamodules.standin.StandInDeap", "init_args": people},
            "streams": {"eeg": {}},
            "target": {"class_path": "datamodules.targets.Threshold", "init_args": {"rating": "valence", "above": 5}},
            "window": {"seconds": 1},
            "cache": str(folder / "cache"),
        },
        "protocol": "datamodules.protocols.LeaveOneSubjectOut",
        "normalisation": "subject",
        "model": {
            "encoders": {"eeg": {"class_path": "affect.encoders.SpatialFirstEEGNet", "init_args": {"virtual": 4}}}
        },
        "trainer": {"max_epochs": 1},
        "launcher": {"local": {"workers": 1}},
        "wandb": {"mode": "disabled"},
        "output": str(folder / "runs"),
        **more,
    }


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """A config and overrides through the door → exit code, and all it said."""

    def knock(tree: Config, *overrides: str) -> tuple[int, str]:
        (path := tmp_path / f"{tree['name']}.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
        code = main([f"--config={path}", *overrides])
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    return knock


def pretrained(run: Callable[..., tuple[int, str]], folder: Path, name: str, **more: Any) -> Path:
    """The folder of a pretraining experiment that was run."""
    code, said = run(config(folder, name, **{"pretraining": {}, **more}))
    assert code == 0, said
    return next(path for path in (folder / "runs").glob(f"{name}-*") if str(path) in said)


def runs_of(experiment: Path) -> dict[str, Path]:
    names = json.loads((experiment / "runs.json").read_text())
    return {label: experiment.parent / "runs" / name for label, name in names.items()}


EVERYONE = "datamodules.protocols.Everyone"


def test_an_encoder_is_left_behind_with_its_card_and_taken_up(run: Any, tmp_path: Path) -> None:
    experiment = pretrained(run, tmp_path, "others", protocol=EVERYONE, seed=9)
    (folder,) = runs_of(experiment).values()
    card = json.loads((folder / "eeg.json").read_text())
    assert card["people"] == ["deap/s01", "deap/s02", "deap/s03"]
    assert card["encoder"]["class_path"] == "affect.encoders.SpatialFirstEEGNet"
    assert card["normalisation"] == "subject"
    assert card["shape"]["rate"] == 128
    assert card["metric"]["train/label_loss"] > 0
    assert not (folder / "predictions.parquet").exists()
    # People of the same names were invented anew; to the refusal below they are the same.
    card["people"] = ["elsewhere/p1"]
    (folder / "eeg.json").write_text(json.dumps(card))
    methods = {
        mode: {"transfer": {"eeg": {"weights": str(experiment), "mode": f"affect.transfer.{mode}"}}}
        for mode in ("FineTune", "LinearProbe", "Frozen", "GradualUnfreezing")
    }
    code, said = run(config(tmp_path, "taken", methods=methods))
    assert code == 0, said
    (summary,) = (tmp_path / "runs").glob("taken-*/summary.json")
    found = json.loads(summary.read_text())
    assert set(found["weights"]) == set(methods)
    assert found["weights"]["LinearProbe"] == {"eeg": {"people_met": 1, "published": False}}
    given = load_file(folder / "eeg.safetensors")
    for label, own in runs_of(summary.parent).items():
        if "LinearProbe" in label or "Frozen" in label:
            learned = load_file(own / "weights.safetensors")
            for name, tensor in given.items():
                assert torch.equal(learned[f"network.encoders.eeg.encoder.{name}"], tensor)


def test_an_encoder_that_met_a_tested_person_is_refused(run: Any, tmp_path: Path) -> None:
    experiment = pretrained(run, tmp_path, "same", protocol=EVERYONE)
    methods = {"frozen": {"transfer": {"eeg": {"weights": str(experiment), "mode": "affect.transfer.Frozen"}}}}
    code, said = run(config(tmp_path, "leaky", methods=methods))
    assert code == 2
    assert "error: methods.frozen.transfer.eeg.weights" in said
    assert "trained on deap/s01, tested in fold s01" in said
    assert "never met the people it is tested on" in said
    assert not list((tmp_path / "runs").glob("leaky-*"))


@pytest.mark.parametrize("objective", ["Contrastive", "MaskedReconstruction"])
def test_each_fold_takes_the_encoder_of_its_own_fold(run: Any, tmp_path: Path, objective: str) -> None:
    """Pretrained without labels, with the same protocol: nobody who is tested was met."""
    data = config(tmp_path, "x")["data"] | {"target": []}
    objective = f"affect.pretraining.{objective}"
    experiment = pretrained(run, tmp_path, "own", data=data, pretraining={"objective": objective}, seeds=[0, 1])
    methods = {"probe": {"transfer": {"eeg": {"weights": str(experiment), "mode": "affect.transfer.LinearProbe"}}}}
    tree = config(tmp_path, "probed", methods=methods, seeds=[1])
    code, said = run(tree)
    assert code == 0, said
    plan = make(check(load(tmp_path / "probed.yaml")))
    chosen = [(r.fold.name, r.weights["eeg"]) for r in plan.runs if r.method == "probe"]
    assert len({w.digest for _, w in chosen}) == 3
    for fold, weights in chosen:
        assert weights.card is not None
        assert f"deap/{fold}" not in weights.card.people
        assert len(weights.card.people) == 2
        assert weights.card.objective == objective
        assert weights.file == runs_of(experiment)[f"{fold} · pretraining · subject · seed 1"] / "eeg.safetensors"


def test_whoever_shaped_the_weights_it_began_with_is_on_the_card(run: Any, tmp_path: Path) -> None:
    first = pretrained(run, tmp_path, "first", protocol=EVERYONE)
    (folder,) = runs_of(first).values()
    card = json.loads((folder / "eeg.json").read_text())
    (folder / "eeg.json").write_text(json.dumps(card | {"people": ["elsewhere/p1"]}))
    model = config(tmp_path, "x")["model"] | {"transfer": {"eeg": {"weights": str(folder)}}}
    second = pretrained(run, tmp_path, "second", protocol=EVERYONE, model=model)
    (folder,) = runs_of(second).values()
    people = json.loads((folder / "eeg.json").read_text())["people"]
    assert people == ["deap/s01", "deap/s02", "deap/s03", "elsewhere/p1"]


class _Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("sprung"),)


def _bad_weights(kind: str, folder: Path, path: Path) -> str:
    """Spoil what the folder of a finished run left, and say what to name."""
    good, card = folder / "eeg.safetensors", json.loads((folder / "eeg.json").read_text())
    if kind == "pickle":
        (path := path / "w.pth").write_bytes(pickle.dumps({"w": _Trap()}))
        return str(path)
    if kind == "damaged":
        good.write_bytes(good.read_bytes()[:100])
    elif kind == "no people":
        (folder / "eeg.json").write_text(json.dumps({**card, "people": []}))
    elif kind == "no card":
        (folder / "eeg.json").unlink()
        return str(good)
    elif kind == "shape":
        state = load_file(good)
        name = next(iter(state))
        save_file({**state, name: state[name][:1].contiguous(), "unknown": torch.zeros(1)}, good)
    elif kind == "other class":
        (folder / "eeg.json").write_text(json.dumps({**card, "encoder": {"class_path": "affect.encoders.BandMLP"}}))
    elif kind == "other channels":
        (folder / "eeg.json").write_text(json.dumps({**card, "shape": {**card["shape"], "channels": ["Cz"]}}))
    elif kind == "not there":
        return str(path / "nowhere.safetensors")
    elif kind == "unfinished":
        (folder / "done").unlink()
    elif kind == "unknown name":
        return "resnet18"
    return str(folder)


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("pickle", "more than tensors"),
        ("damaged", "no safetensors"),
        ("no people", "no people"),
        ("no card", "without its card"),
        ("shape", "1 unknown: unknown; 1 of another shape: layers"),
        ("other class", "of affect.encoders.BandMLP, for affect.encoders.SpatialFirstEEGNet"),
        ("other channels", "with channels ['Cz'], for a stream with"),
        ("not there", "no such file or folder"),
        ("unfinished", "not finished"),
        ("unknown name", "none are published"),
    ],
)
def test_weights_that_will_not_do_are_told_before_anything_is_trained(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    experiment = pretrained(run, tmp_path, "others", protocol=EVERYONE)
    (folder,) = runs_of(experiment).values()
    card = json.loads((folder / "eeg.json").read_text())
    (folder / "eeg.json").write_text(json.dumps(card | {"people": ["elsewhere/p1"]}))
    named = _bad_weights(kind, folder, tmp_path)
    code, said = run(config(tmp_path, "bad", methods={"m": {"transfer": {"eeg": {"weights": named}}}}))
    assert code == 2, said
    assert told in said
    assert "Traceback" not in said
    assert not (tmp_path / "sprung").exists()
    assert not list((tmp_path / "runs").glob("bad-*"))


def test_the_one_experiment_of_a_name_needs_no_hash(run: Any, tmp_path: Path) -> None:
    pretrained(run, tmp_path, "own", pretraining={"objective": "affect.pretraining.Contrastive"})
    methods = {"m": {"transfer": {"eeg": {"weights": str(tmp_path / "runs/own")}}}}
    assert run(config(tmp_path, "taken", methods=methods))[0] == 0
    pretrained(run, tmp_path, "own", pretraining={"objective": "affect.pretraining.Contrastive"}, seeds=[5])
    code, said = run(config(tmp_path, "taken", methods=methods))
    assert code == 2
    assert "2 experiments of this name" in said


@pytest.mark.parametrize(
    ("more", "where"),
    [
        ({"methods": {"dann": {"alignment": "affect.alignment.DANN"}}}, "methods"),
        ({"pretraining": {"objective": "affect.pretraining.CrossStream"}}, "needs two or more"),
        ({"pretraining": {"objective": "affect.pretraining.Contrastive", "augmentations": {"ecg": []}}}, "ecg"),
        ({"pretraining": {"objekt": 1}}, "objective"),
        ({"pretraining": {"augmentations": {"eeg": ["affect.augmentation.Noise"]}}}, "without an objective"),
    ],
)
def test_settings_of_pretraining_that_cannot_be(run: Any, tmp_path: Path, more: Config, where: str) -> None:
    code, said = run(config(tmp_path, "bad", **{"pretraining": {}, **more}))
    assert code == 2
    assert where in said
    assert "Traceback" not in said


def test_who_gave_a_few_labels_is_on_the_card(run: Any, tmp_path: Path) -> None:
    protocol = {"class_path": "datamodules.protocols.LeaveOneSubjectOut", "init_args": {"calibration": 1}}
    experiment = pretrained(run, tmp_path, "few", protocol=protocol)
    for folder in runs_of(experiment).values():
        assert json.loads((folder / "eeg.json").read_text())["people"] == ["deap/s01", "deap/s02", "deap/s03"]


def test_an_encoder_that_would_not_learn_as_a_whole_is_not_pretrained(run: Any, tmp_path: Path) -> None:
    override = "--model.transfer.eeg.mode=affect.transfer.LinearProbe"
    code, said = run(config(tmp_path, "bad", pretraining={}), override)
    assert code == 2
    assert "an encoder that learns as a whole" in said


def test_a_model_that_is_not_there_is_told_with_the_nearest(run: Any, tmp_path: Path) -> None:
    override = "--model.encoders.eeg={class_path: affect.encoders.Braindecode, init_args: {model: EEGNett}}"
    code, said = run(config(tmp_path, "bad"), override)
    assert code == 2
    assert "EEGNet" in said.replace("EEGNett", "")
