"""How long do summary and page of a large experiment take? 32 people × 3 seeds × 3 methods, left out one by one.

uv run python scripts/bench/page.py [--people 32] [--seeds 3] [--out page.html]

The people are invented and nobody is trained: every run folder is filled with random predictions and curves.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import pandas as pd
import yaml

from affect.evaluation.metrics import LEVELS, columns_of, score
from datamodules.standin.deap import write_deap
from experiments.check import check
from experiments.load import check as as_experiment
from experiments.plan import Plan, Run, make
from experiments.predict import table
from experiments.report import ExperimentFolder, whole, write_page
from experiments.summary import summarise

CONFIG = {
    "name": "page",
    "data": {
        "streams": {"eeg": {"features": "affect.preprocessing.DifferentialEntropy"}},
        "target": {"class_path": "datamodules.targets.Threshold", "init_args": {"rating": "valence", "above": 5}},
        "window": {"seconds": 0.5},
    },
    "protocol": "datamodules.protocols.LeaveOneSubjectOut",
    "model": {"encoders": {"eeg": "affect.encoders.BandMLP"}},
    "methods": {"dann": {"alignment": "affect.alignment.DANN"}, "coral": {"alignment": "affect.alignment.DeepCORAL"}},
}
EPOCHS = 30


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=32)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="keep the page here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        plan = _plan(Path(place), arguments.people, arguments.seeds)
        for run in plan.runs:
            _leave(plan, run)
        windows = len(plan.windows.table)
        print(f"{len(plan.runs)} runs, {windows} windows")
        began, used = time.perf_counter(), time.process_time()
        summarise(plan)
        summed = time.perf_counter()
        folder = ExperimentFolder(plan.folder)
        shown = list(whole(folder))
        page = write_page(folder, shown, arguments.out)
        for one in shown:
            one.save(plan.folder / "figures")
        drawn = time.perf_counter()
        size = page.stat().st_size / 1e6
        print(f"summary {summed - began:.1f} s, page of {len(shown)} figures {drawn - summed:.1f} s, {size:.1f} MB")
        print(f"{time.process_time() - used:.1f} s of one core in all")
    return 0


def _plan(place: Path, people: int, seeds: int) -> Plan:
    """Of invented people, prepared."""
    write_deap(place / "people", subjects=people, trials=8, seconds=10.0)
    corpus = {"class_path": "datamodules.corpora.Deap", "init_args": {"root": str(place / "people")}}
    own = {"seeds": list(range(seeds)), "output": str(place / "runs"), "wandb": {"mode": "disabled"}}
    data = {**CONFIG["data"], "corpus": corpus, "cache": str(place / "cache")}  # type: ignore[dict-item]
    return make(check(as_experiment({**CONFIG, **own, "data": data}, Path("page.yaml"))))


def _leave(plan: Plan, run: Run) -> None:
    """What a run would, had it learned a little."""
    (target,) = plan.targets
    draw = np.random.default_rng(int(run.folder.name[:8], 16))
    rows = plan.windows.table.of_trials(run.fold.target_test)
    logit = draw.normal(size=len(rows)) + 1.2 * (plan.labels[rows, 0] - 0.5)
    high = (1 / (1 + np.exp(-logit))).astype(np.float32)
    names = columns_of(target.name, target.classes)
    predictions = table(plan, run.folder, rows, dict(zip(names, (1 - high, high), strict=True)))
    run.folder.mkdir(parents=True)
    predictions.to_parquet(run.folder / "predictions.parquet")
    curve = {f"train/{name}": draw.uniform(size=EPOCHS) for name in ("label_loss", f"accuracy_{target.name}", "lambda")}
    pd.DataFrame({"epoch": range(EPOCHS), **curve}).to_csv(run.folder / "curves.csv", index=False)
    metrics = {
        "source": {target.name: dict.fromkeys(target.classes, 1 / len(target.classes))},
        "targets": {target.name: {level: score(predictions, target.name, target.classes, level) for level in LEVELS}},
    }
    config = {"run": run.spec, "experiment": run.experiment.model_dump(mode="json"), "provenance": {"affect": "bench"}}
    for name, content in {
        "metrics.json": json.dumps(metrics),
        "config.yaml": yaml.safe_dump(config),
        "cost.json": json.dumps({"seconds": 1.0, "accelerator": "cpu"}),
        "done": "",
    }.items():
        (run.folder / name).write_text(content, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
