"""How sure methods are, from end to end: what runs leave, what the summary makes of it, and what is not invented."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from affect.evaluation.reliability import brier
from affect.evaluation.temperature import fit_temperature, scaled

if TYPE_CHECKING:
    from tests.experiments.conftest import Door, Place

TARGETS = (
    "--data.target=[{class_path: datamodules.targets.Threshold, init_args: {rating: valence, above: 5}}, "
    "{class_path: datamodules.targets.Value, init_args: {rating: arousal}}]"
)
METHODS = "--methods={forest: {classical: {class_path: affect.classical.RandomForest, init_args: {trees: 5}}}}"
HALVES = "--protocol={class_path: datamodules.protocols.SubjectGroups, init_args: {groups: 2, validation: 0.5}}"
P = ["p_valence_low", "p_valence_high"]


def of(place: Place, label: str) -> Path:
    """The folder of a run."""
    (names,) = place.output.glob("small-*/runs.json")
    return place.output / "runs" / json.loads(names.read_text())[label]


def test_the_summary_is_made_of_what_runs_leave(place: Place, door: Door) -> None:
    """Networks and classical models, several seeds and targets; a value has no such block."""
    answer = door(place.arguments(TARGETS, METHODS, HALVES, "--seeds=[0, 1]"))
    assert (answer.code, answer.err) == (0, "")
    summary = json.loads(place.summary())["targets"]
    assert summary["arousal"]["uncertainty"] == {}
    rows = summary["valence"]["uncertainty"]["methods"]
    assert list(rows) == ["source-only/source", "forest/source"]
    for name, row in rows.items():
        method = name.partition("/")[0]
        temperatures, scores = [], []
        for seed in (0, 1):
            for fold in ("group01", "group02"):
                folder = of(place, f"{fold} · {method} · source · seed {seed}")
                held_out = pd.read_parquet(folder / "validation.parquet")
                temperatures.append(fit_temperature(held_out[P].to_numpy(), held_out["label_valence"].to_numpy(int)))
                tested = pd.read_parquet(folder / "predictions.parquet")
                after = scaled(tested[P].to_numpy(), temperatures[-1])
                assert not {*held_out["subject"]} & {*tested["subject"]}
                for person, rows in tested.reset_index().groupby("subject").groups.items():
                    own = tested["label_valence"].to_numpy(int)[rows]
                    scores.append((person, brier(after[rows], own)))
        assert row["not_fitted"] is None
        assert row["temperature"]["median"] == pytest.approx(np.median(temperatures))
        for person, value in row["window"]["brier_scaled"]["subjects"].items():
            assert value == pytest.approx(np.mean([score for who, score in scores if who == person]))
        assert row["below"] == sum(c < 0.9 for c in row["window"]["coverage"]["subjects"].values())
        assert "promised to people like the held-out source: 90 %" in row["shortfall"]
        assert set(row["trial"]) == set(row["window"])
        assert row["trial"]["set_size"]["mean"] == 2  # one person's 4 held-out trials: nothing can be promised
        assert sum(one["share"] for one in row["reliability"]["after"]) == pytest.approx(1)
        assert row["risk_coverage"]["risk"][-1] == pytest.approx(
            1 - np.mean(list(summary["valence"]["methods"][name]["window"]["accuracy"]["subjects"].values()))
        )
        (line,) = (line for line in answer.out.splitlines() if line.startswith(name) and "→" in line and "of 4" in line)
        assert f"{row['window']['coverage']['mean']:.3f}" in line


def test_where_nobody_is_held_out_nothing_is_fitted(finished: Place) -> None:
    row = json.loads(finished.summary())["targets"]["valence"]["uncertainty"]["methods"]["source-only/source"]
    assert row["not_fitted"] == "no labelled source windows held out: set protocol.validation"
    assert (row["temperature"], row["shortfall"], row["reliability"]["after"]) == (None, None, None)
    assert set(row["window"]) == {"ece", "brier", "aurc"}
    assert not list(finished.output.glob("runs/*/validation.parquet"))
    assert "temperature" not in finished.table()


@pytest.mark.slow
@pytest.mark.real
def test_held_out_people_of_eegmat_are_not_all_covered_as_promised(tmp_path: Path, capsys: Any) -> None:
    """The table of docs/uncertainty.md, about 90 % on average and far less for some."""
    from experiments.run import main

    root = Path(os.environ.get("AFFECT_DATA", "data")) / "eegmat"
    arguments = ["--protocol.validation=0.2", "--methods={}", "--seeds=[0]", "--wandb.mode=disabled"]
    arguments += [f"--data.corpus.root={root}", f"--data.cache={tmp_path}/cache", f"--output={tmp_path}/runs"]
    assert main(["--config=experiments/configs/eegmat.yaml", "--launcher.local.workers=1", *arguments]) == 0
    (path,) = tmp_path.glob("runs/eegmat-*/summary.json")
    rows = json.loads(path.read_text())["targets"]["task"]["uncertainty"]["methods"]
    for row in rows.values():
        coverage = row["window"]["coverage"]
        assert 0.8 < coverage["mean"] < 0.97
        assert min(coverage["subjects"].values()) < 0.6
        assert "the lowest at" in row["shortfall"]
