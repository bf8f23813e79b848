"""A sweep is the same with W&B's agent and without: the same commands, the same runs, nothing made twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from test_every_config import tiny

from affect.errors import UserError
from experiments.load import load
from experiments.sweep import load_sweep

if TYPE_CHECKING:
    from conftest import Door, Place, Start

REPOSITORY = Path(__file__).parents[2]
SWEEPS = sorted((REPOSITORY / "experiments/sweeps").glob("*.yaml"))
SWEEP = {
    "name": "little",
    "program": "experiments/run.py",
    "method": "grid",
    "metric": {"name": "selection/dann/reverse-validation", "goal": "maximize"},
    "parameters": {
        "methods.dann.alignment.weight": {"values": [0.1, 1e-05]},
        "trainer.learning_rate": {"value": 0.01},
    },
    "command": ["${env}", "${interpreter}", "${program}", "--config", "CONFIG", "${args}"],
}
SHORT = ("--data.corpus.subjects=[s01, s02, s03]", "--protocol.validation=0.34", "--trainer.max_epochs=1")


def sweep_of(place: Place, overrides: tuple[str, ...] = SHORT, **changes: Any) -> Path:
    """A sweep of the small experiment; a dotted change goes below a key, None takes one out."""
    tree = json.loads(json.dumps({**SWEEP, **changes}))
    own = [str(place.config), *place.arguments(*overrides)[1:]]
    tree["command"] = [part for c in tree["command"] for part in (own if c == "CONFIG" else [c])]
    path = place.folder / "sweep.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in tree.items() if value is not None}))
    return path


def agents_command(sweep: Path, drawn: dict[str, Any]) -> list[str]:
    """What W&B's agent runs for a trial, built by W&B's own functions as in `Agent._command_run`."""
    from wandb.sdk.launch.sweeps import utils

    config = utils.load_sweep_config(str(sweep))
    assert config is not None
    given = utils.create_sweep_command_args({"args": {key: {"value": value} for key, value in drawn.items()}})
    given |= {"interpreter": ["python"], "program": [config["program"]], "env": ["/usr/bin/env"]}
    parts = (str(part) for part in utils.create_sweep_command(config["command"]))
    return [word for part in parts for word in (given[part[2:-1]] if part.startswith("${") else [part])]


def search(sweep: Path, *arguments: str) -> int:
    from scripts.sweep import main

    return main([str(sweep), *arguments])


def runs(output: Path) -> dict[str, int]:
    """Folders of finished runs → when each was finished."""
    return {path.parent.name: path.stat().st_mtime_ns for path in output.glob("runs/*/done")}


@pytest.mark.parametrize(
    ("changes", "where", "found"),
    [
        ({"metric": {"name": "test/balanced_accuracy_valence", "goal": "maximize"}}, "metric.name", "test/balanced"),
        ({"metric": {"name": "selection/oracle", "goal": "maximize"}}, "metric.name", "selection/oracle"),
        ({"metric": {"name": "selection/dan/dev", "goal": "maximize"}}, "metric.name", "no method 'dan'"),
        ({"metric": {"name": "selection/dev", "goal": "minimize"}}, "metric.goal", "minimize"),
        ({"parameters": {"trainer.learning_rat": {"value": 1}}}, "parameters.trainer.learning_rat", "no such key"),
        ({"parameters": {"lr": {"values": [1, 2]}}}, "parameters.lr", "a key that is none"),
        ({"parameters": {"seeds": {"values": [[1], [2]]}}}, "parameters.seeds", "changes what trials are judged on"),
        ({"parameters": {"methods.dan.streams": {"value": ["eeg"]}}}, "parameters.methods.dan.streams", "no method"),
        ({"parameters": {"methods.dann.alignment.wight": {"value": 1}}}, "alignment.wight", "no such argument"),
        ({"parameters": {"trainer.max_epochs": {"values": [1, -1]}}}, "parameters.trainer.max_epochs", "-1"),
        ({"parameters": {"trainer.max_epochs": {"min": 1, "max": 3}}}, "parameters.trainer.max_epochs", "a range"),
        ({"parameters": {"trainer.max_epochs": {"min": 3, "max": 1}}}, "parameters.trainer.max_epochs", "3"),
        ({"command": ["${program}", "--config", "CONFIG"]}, "command", "--config"),
        ({"early_terminat": {}}, "early_terminat", "{}"),
    ],
)
def test_what_is_no_sweep_is_refused_before_anything_runs(
    place: Place, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], where: str, found: str
) -> None:
    assert search(sweep_of(place, **changes)) == 2
    told = capsys.readouterr().err.split("\n")
    assert where in told[0]
    assert found in told[1]
    assert not place.output.exists()


def test_a_score_of_people_that_nobody_holds_out_is_refused(place: Place) -> None:
    with pytest.raises(UserError, match="without held-out source people"):
        load_sweep(sweep_of(place, ()))


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_every_sweep_fits_its_experiment_and_the_agents_form(path: Path, tmp_path: Path) -> None:
    """Its parameters are keys, its objective reads no target label, and the agent's command is a config's."""
    text = path.read_text()
    assert f"wandb sweep experiments/sweeps/{path.name}" in text
    config = yaml.safe_load(text)["command"][3].partition("=")[2]
    checked = load_sweep(path, tiny(load(REPOSITORY / config), tmp_path))
    assert checked.sweep.name == path.stem
    drawn = checked.drawn(0)
    command = agents_command(path, drawn)
    assert command[:4] == ["/usr/bin/env", "python", "experiments/run.py", f"--config={config}"]
    assert load(Path(config), command[4:]) == load(
        Path(config), [*checked.overrides[: len(command) - 4 - len(drawn)], *command[-len(drawn) :]]
    )


def test_every_method_of_search_is_shipped() -> None:
    shipped = [yaml.safe_load(path.read_text()) for path in SWEEPS]
    assert {sweep["method"] for sweep in shipped} == {"grid", "random", "bayes"}
    assert any(sweep.get("early_terminate", {}).get("type") == "hyperband" for sweep in shipped)


def test_the_agents_commands_and_ours_make_the_same_runs(
    place: Place, door: Door, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trial interrupted on the way is gone on with, under the same values."""
    from experiments import trials

    sweep = sweep_of(place)
    make = trials._make

    def interrupted(checked: Any, study: Any, trial: Any, *more: Any) -> list[str]:
        if trial.number == 1:
            raise KeyboardInterrupt
        return make(checked, study, trial, *more)

    with monkeypatch.context() as patched:
        patched.setattr(trials, "_make", interrupted)
        assert search(sweep) == 130
    first = runs(place.output)
    assert len(first) == 6  # 3 people × 2 methods
    assert search(sweep) == 0
    out = capfd.readouterr().out
    assert "2 trials, 1 done" in out
    assert "unlabelled windows of the target: transductive" in out
    ours = runs(place.output)
    assert len(ours) == 9  # λ of DANN is nothing to source-only: its runs are shared
    assert ours.items() >= first.items()

    (written,) = place.output.glob("sweeps/little-*/ranking.json")
    ranking = json.loads(written.read_text())["trials"]
    assert [row["score"] for row in ranking] == sorted((row["score"] for row in ranking), reverse=True)
    assert {row["parameters"]["methods.dann.alignment.weight"] for row in ranking} == {"0.1", "1e-05"}
    assert written.with_suffix(".png").stat().st_size > 5000

    theirs = place.folder / "agent"
    for weight in (0.1, 1e-05):
        command = agents_command(sweep, {"methods.dann.alignment.weight": weight, "trainer.learning_rate": 0.01})
        answer = door([*command[3:], f"--output={theirs}"])
        assert answer.code == 0, answer.err
    assert runs(theirs).keys() == ours.keys()
    for row in ranking:
        told, own = (output / row["experiment"] / "summary.json" for output in (theirs, place.output))
        assert told.read_bytes() == own.read_bytes()

    assert search(sweep) == 0  # nothing is left to do
    assert runs(place.output) == ours


def test_an_agent_finds_the_objective_and_no_target_score(
    place: Place, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run of W&B that the agent waits for: means over finished runs in the plan's order, and the summary."""
    import wandb

    class Told:
        def __init__(self) -> None:
            self.history: list[dict[str, float]] = []
            self.summary: dict[str, float] = {}
            self.log, self.ended = self.history.append, False

        def finish(self) -> None:
            self.ended = True

    told = Told()

    def init(**how: Any) -> Told:
        assert os.environ["WANDB_RUN_ID"] == "trial"  # it is the agent's own run
        return told

    monkeypatch.setattr(wandb, "init", init)
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep")
    monkeypatch.setenv("WANDB_RUN_ID", "trial")
    from experiments import execute, tracking_summary

    monkeypatch.setattr(execute, "tracked", lambda plan, run: nullcontext())
    monkeypatch.setattr(tracking_summary, "track_summary", lambda plan: None)
    answer = door(place.arguments(*SHORT, "--wandb.mode=offline"))
    assert answer.code == 0, answer.err
    assert "WANDB_SWEEP_ID" not in os.environ  # the runs of folds are none of the sweep's
    assert told.ended
    folders = json.loads(next(place.output.glob("small-*/runs.json")).read_text())
    scores = [
        json.loads((place.output / "runs" / folder / "metrics.json").read_text())["selection"]["source-validation"]
        for label, folder in folders.items()
        if "dann" in label
    ]
    name = "selection/dann/source-validation"
    assert [row[name] for row in told.history if name in row] == pytest.approx(
        [sum(scores[:n]) / n for n in range(1, len(scores) + 1)]
    )
    assert told.summary[name] == pytest.approx(sum(scores) / 3)
    assert all(key.startswith("selection/") for row in (*told.history, told.summary) for key in row)


@pytest.mark.slow
def test_twelve_trials_of_the_quickstart_killed_and_resumed(start: Start, tmp_path: Path) -> None:
    """By our script, killed in the middle, and by the agent's exact command lines: the same folders to the byte."""
    sweep = REPOSITORY / "experiments/sweeps/quickstart_grid.yaml"
    small = ["--data.corpus.subjects=4", "--data.corpus.trials=6", "--trainer.max_epochs=2", "--wandb.mode=disabled"]
    small += [f"--data.corpus.root={tmp_path / 'corpus'}", f"--data.cache={tmp_path / 'cache'}"]
    tree = yaml.safe_load(sweep.read_text())
    tree["command"][-1:-1] = [*small, f"--output={tmp_path / 'runs'}"]
    own = tmp_path / "sweep.yaml"
    own.write_text(yaml.safe_dump(tree))
    command = start([str(own)], script="scripts/sweep.py")
    end = time.monotonic() + 600
    while len(runs(tmp_path / "runs")) < 30:
        assert command.poll() is None, command.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)
    os.killpg(command.pid, signal.SIGKILL)
    command.wait()
    before = runs(tmp_path / "runs")
    answer = start([str(own)], script="scripts/sweep.py")
    _, err = answer.communicate(timeout=900)
    assert answer.returncode == 0, err
    after = runs(tmp_path / "runs")
    assert after.items() >= before.items()
    assert len(after) == (12 + 3) * 4  # source-only once for each width
    (ranking,) = (tmp_path / "runs").glob("sweeps/*/ranking.json")
    rows = json.loads(ranking.read_text())["trials"]
    assert len(rows) == 12
    tree["command"][-2] = f"--output={tmp_path / 'agent'}"
    own.write_text(yaml.safe_dump(tree))
    variables = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for row in rows:
        drawn = {key: yaml.safe_load(value) for key, value in row["parameters"].items()}
        subprocess.run(agents_command(own, drawn), cwd=REPOSITORY, env=variables, check=True, capture_output=True)
        told, ours = (tmp_path / folder / row["experiment"] / "summary.json" for folder in ("agent", "runs"))
        assert told.read_bytes() == ours.read_bytes()
    assert runs(tmp_path / "agent").keys() == after.keys()
    for run in after:
        told, ours = (
            {path.name: path.read_bytes() for path in (tmp_path / folder / "runs" / run).iterdir()}
            for folder in ("agent", "runs")
        )
        assert told.keys() == ours.keys()
        differ = {name for name in ours if told[name] != ours[name]}
        assert differ <= {"cost.json", "config.yaml"}  # seconds; the output, workers and trial it was made for first
