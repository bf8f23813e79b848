"""A person who is the target of two pairs is scored twice, not once over both."""

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml

from affect.evaluation.metrics import score
from experiments.run import main

CONFIG = """
name: pairs
data:
  corpus: {class_path: datamodules.standin.StandInUciHar, init_args: {subjects: 3, trials: 4}}
  streams: {motion: {features: affect.preprocessing.Functionals}}
  target: {class_path: datamodules.targets.Classes, init_args: {rating: activity, classes: [walking, standing, laying]}}
  window: {seconds: 2.56}
protocol:
  class_path: datamodules.protocols.SubjectPairs
  init_args: {pairs: [[1, 2], [3, 2]], train: train, test: test}
normalisation: subject
model: {encoders: {motion: affect.encoders.BandMLP}}
methods:
  dann: {alignment: {class_path: affect.alignment.DANN, init_args: {weight: 0.1}}}
trainer: {max_epochs: 2, batch_size: 8}
launcher: {local: {workers: 1}}
wandb: {mode: disabled}
"""


@pytest.mark.filterwarnings("ignore")
def test_the_pair_is_the_unit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = yaml.safe_load(CONFIG) | {"output": str(tmp_path / "runs")}
    config["data"]["cache"] = str(tmp_path / "cache")
    config["data"]["corpus"]["init_args"]["root"] = str(tmp_path / "standin")
    (path := tmp_path / "pairs.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    assert main([f"--config={path}"]) == 0, capsys.readouterr().err
    (written,) = (tmp_path / "runs").glob("pairs-*/summary.json")
    summary = json.loads(written.read_text(encoding="utf-8"))
    assert summary["unit"] == "fold"
    assert "mean over folds" in (written.parent / "table.txt").read_text(encoding="utf-8")
    folders = json.loads((written.parent / "runs.json").read_text(encoding="utf-8"))
    block = summary["targets"]["activity"]
    for method, setting in {"source-only": "transductive-stats", "dann": "transductive"}.items():
        row = block["methods"][f"{method}/subject"]
        assert row["setting"] == setting
        told = row["window"]["macro_f1"]
        assert told["people"] == 2
        for pair in ("1→2", "3→2"):
            folder = tmp_path / "runs/runs" / folders[f"{pair} · {method} · subject · seed 0"]
            predictions = pd.read_parquet(folder / "predictions.parquet")
            assert set(predictions["subject"]) == {"2"}  # whose windows they are is kept
            own = score(predictions, "activity", block["classes"], "window")["subjects"]["2"]
            assert told["subjects"][pair] == pytest.approx(own["macro_f1"])
    assert set(block["trivial"]["majority"]["window"]["accuracy"]["subjects"]) == {"1→2", "3→2"}
