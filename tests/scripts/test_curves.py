"""The two scripts that draw curves: of missing streams, and of few labels."""

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml

from experiments.run import main as run
from scripts.learning_curve import main as learning_curve
from scripts.missing_streams import main as missing_streams

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Four people in DEAP's layout, two streams."""
    people = {"root": str(tmp_path / "corpora"), "subjects": 4, "trials": 4, "seconds": 4.0}
    tree = {
        "name": "small",
        "data": {
            "corpus": {"class_path": "datamodules.standin.StandInDeap", "init_args": people},
            "streams": {
                "eeg": {"features": "affect.preprocessing.DifferentialEntropy"},
                "eda": {"features": "affect.preprocessing.Functionals"},
            },
            "target": {"class_path": "datamodules.targets.Threshold", "init_args": {"rating": "arousal", "above": 5}},
            "window": {"seconds": 2},
            "cache": str(tmp_path / "cache"),
        },
        "protocol": "datamodules.protocols.LeaveOneSubjectOut",
        "normalisation": "subject",
        "model": {"encoders": dict.fromkeys(["eeg", "eda"], "affect.encoders.BandMLP"), "stream_dropout": 0.3},
        "methods": {"ridge": {"classical": "affect.classical.Ridge"}},
        "trainer": {"max_epochs": 1},
        "launcher": {"local": {"workers": 1}},
        "wandb": {"mode": "disabled"},
        "output": str(tmp_path / "runs"),
    }
    (path := tmp_path / "small.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
    return path


def test_missing_streams_are_drawn_from_the_summary(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([f"--config={config}", "--missing_streams=true"]) == 0
    (folder,) = (tmp_path / "runs").glob("small-*")
    assert missing_streams([str(folder), f"--out={tmp_path / 'figures'}"]) == 0
    drawn = {path.name for path in (tmp_path / "figures").iterdir()}
    assert drawn == {f"missing-arousal-source-only-subject.{kind}" for kind in ("png", "svg")}
    assert missing_streams([str(tmp_path)]) == 2
    summary = json.loads((folder / "summary.json").read_text())
    summary["targets"]["arousal"]["missing_streams"] = {}
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    capsys.readouterr()
    assert missing_streams([str(tmp_path)]) == 2
    assert "--missing_streams=true" in capsys.readouterr().err


@pytest.mark.parametrize("key", ["protocol.source_people", "protocol.calibration"])
def test_a_learning_curve(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str) -> None:
    assert learning_curve([f"--config={config}", f"--over={key}=1,2"]) == 0
    printed = capsys.readouterr().out
    name = f"small-{key.rpartition('.')[2]}"
    table = pd.read_csv(tmp_path / "runs" / f"{name}.csv")
    assert list(table["method"]) == ["source-only", "source-only", "ridge", "ridge"]
    assert list(table.iloc[:, 1]) == [1, 2, 1, 2]
    assert table["people"].eq(4).all()
    assert (table["low"] <= table["mean"]).all()
    assert (tmp_path / "runs" / f"{name}.png").exists()
    assert f"{table['mean'][0]:.3f}" in printed
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs/runs").glob("*/done")}
    assert learning_curve([f"--config={config}", f"--over={key}=1,2"]) == 0
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "runs/runs").glob("*/done")}


@pytest.mark.parametrize("over", ["protocol.source_people", "protocol.source_people=2", "protocol.source_people=a,b"])
def test_what_is_no_curve(config: Path, capsys: pytest.CaptureFixture[str], over: str) -> None:
    assert learning_curve([f"--config={config}", f"--over={over}"]) == 2
    assert "--over" in capsys.readouterr().err
