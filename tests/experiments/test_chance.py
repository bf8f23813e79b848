"""A stand-in without an effect leaves every method at chance: whatever is found there has leaked."""

import json
from pathlib import Path

import pytest
import yaml

from experiments.run import main

CONFIG = Path(__file__).parents[2] / "experiments" / "configs" / "quickstart.yaml"


@pytest.mark.parametrize("seeds", ["[0]", pytest.param("[0,1,2]", marks=pytest.mark.slow)])
def test_without_an_effect_every_interval_contains_chance(tmp_path: Path, seeds: str) -> None:
    """Both normalisations, source-only and DANN, on the quickstart's people without their effect."""
    people = yaml.safe_load(CONFIG.read_text())["data"]["corpus"]["init_args"]
    arguments = [
        f"--config={CONFIG}",
        f"--data.corpus.init_args={json.dumps({**people, 'root': str(tmp_path / 'standin'), 'strength': 0})}",
        f"--data.cache={tmp_path / 'cache'}",
        f"--output={tmp_path / 'runs'}",
        f"--seeds={seeds}",
        "--trainer.max_epochs=4",
        "--wandb.mode=disabled",
        "--launcher.local.workers=1",
    ]
    assert main(arguments) == 0
    (path,) = (tmp_path / "runs").glob("quickstart-*/summary.json")
    summary = json.loads(path.read_text())
    methods = summary["targets"]["valence"]["methods"]
    assert len(methods) == 4
    for name, row in methods.items():
        found = row["window"]["balanced_accuracy"]
        assert found["low"] <= 0.5 <= found["high"], f"{name}: {found['low']:.3f} to {found['high']:.3f}"
