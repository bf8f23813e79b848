"""An experiment that is interrupted, killed or started twice ends as if nothing had happened."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from datamodules.quality import Quality, inspect

if TYPE_CHECKING:
    from affect.batch import Signal
    from experiments.plan import Plan, Run
    from tests.experiments.conftest import Answer, Door, Place, Start

INTERRUPTED = "\ninterrupted: finished runs are kept; the same command goes on from here\n"
VALIDATED = ("--selection=source-validation", "--protocol.validation=0.34")


def wait_for(what: Callable[[], object], seconds: float = 180.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.005)


def members(group: int) -> list[str]:
    """Processes of a process group that still live."""
    listed = subprocess.run(["ps", "-A", "-o", "pgid=,stat=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(maxsplit=2) for line in listed.splitlines()]
    return [row[2] for row in rows if row[0] == str(group) and not row[1].startswith("Z")]


def plan_of(place: Place, *overrides: str) -> Plan:
    from experiments.check import check
    from experiments.load import load
    from experiments.plan import make

    _, *own = place.arguments(*overrides)
    return make(check(load(place.config, own)))


# ---- kill -9

DIE_BEFORE = """
import os, signal
whole = os.replace
def replace(source, target, **how):
    global left
    left -= {name!r} in os.fspath(target)
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    whole(source, target, **how)
left, os.replace = {count}, replace
"""
"""A sitecustomize: kills the process just before it puts the count-th file with such a path in its place."""


def test_killed_three_times_the_results_are_the_same(
    place: Place, finished: Place, start: Start, door: Door, tmp_path: Path
) -> None:
    def killed_before(name: str, count: int) -> None:
        (tmp_path / "sitecustomize.py").write_text(DIE_BEFORE.format(name=name, count=count))
        answer = start(place.arguments(), variables={"PYTHONPATH": str(tmp_path)}).answer()
        assert (answer.code, answer.err) == (-signal.SIGKILL, "")

    # 1: in the preparation; the third person's samples are in the cache, their journal entry is not
    killed_before("/people/s03-", 1)
    prepared = place.prepared()
    assert [*prepared] == ["s01", "s02"]

    # 2: early, with two workers at work
    command = start(place.arguments("--launcher.local.workers=2"))
    wait_for(place.done)
    workers = members(command.pid)
    command.kill()
    assert command.wait() == -signal.SIGKILL
    assert len(workers) > 2
    wait_for(lambda: not members(command.pid), 5.0)
    early = len(place.done())
    assert 0 < early < place.runs
    assert prepared.items() <= place.prepared().items()

    # 3: late, before the last run is marked as done
    killed_before("/done", place.runs - early)
    late = place.done()
    assert len(late) == place.runs - 1
    stamps = [path.stat().st_mtime_ns for path in late]

    answer = door(place.arguments())
    assert f"{place.runs} runs, {len(late)} done" in answer.out
    assert [path.stat().st_mtime_ns for path in late] == stamps
    assert place.summary() == finished.summary()
    assert place.results() == finished.results()


DIE_AND_GO_ON = """
import os, signal, sys
sys.path.insert(0, os.getcwd())
import experiments.run, experiments.execute, experiments.launchers.local, experiments.session, experiments.summary

def dying(function):
    def call(*arguments, **how):
        global left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **how)
    return call

os.rename, os.replace = dying(os.rename), dying(os.replace)
for life in range(1, 100):
    left = life
    child = os.fork()
    if not child:
        code = experiments.run.main(sys.argv[1:])
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code != -signal.SIGKILL:
        break
print("lives", life)
sys.exit(code)
"""
"""A driver: life n of the command is killed just before it puts its n-th file in place, until a life suffices."""


def test_killed_before_any_file_is_in_place(place: Place, finished: Place, start: Start, tmp_path: Path) -> None:
    driver = tmp_path / "driver.py"
    driver.write_text(DIE_AND_GO_ON)
    answer = start(place.arguments(), script=driver).answer()
    assert answer.code == 0, answer.err
    assert answer.err == ""
    assert int(answer.out.rpartition("lives ")[2]) > 10
    assert place.summary() == finished.summary()
    assert place.results() == finished.results()


# ---- a run that goes on from its checkpoint


class Interrupted(Exception):
    """Stands for anything that ends a run midway."""


def interrupt(plan: Plan, run: Run, epoch: int) -> None:
    """Execute a run, but end it after so many epochs, before the checkpoint of the last of them."""
    from experiments.execute import execute

    def report(label: str, epochs: int) -> None:
        if epochs == epoch:
            raise Interrupted

    with pytest.raises(Interrupted):
        execute(plan, run, report)
    assert (run.folder / "last.ckpt").exists()
    assert not run.done


def results(run: Run) -> list[bytes]:
    return [(run.folder / name).read_bytes() for name in ("weights.safetensors", "predictions.parquet", "metrics.json")]


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize(
    "overrides",
    [(), (*VALIDATED, "--trainer.learning_rate=0.1", "--trainer.schedule=constant")],
    ids=["last", "source-validation"],
)
@pytest.mark.parametrize("method", ["source-only", "dann"])
def test_a_resumed_run_is_the_uninterrupted_one(
    finished: Place, tmp_path: Path, method: str, overrides: tuple[str, ...], every: int
) -> None:
    from experiments.execute import execute

    epochs = 7
    own = (f"--trainer.max_epochs={epochs}", f"--trainer.checkpoint_every={every}", f"--output={tmp_path}")
    plan = plan_of(finished, *own, *overrides)
    run = next(run for run in plan.runs if run.method == method)
    execute(plan, run)
    for epoch in range(every + 1, epochs + 1):
        again = replace(run, folder=tmp_path / f"until-{epoch}")
        interrupt(plan, again, epoch)
        reported: list[int] = []
        execute(plan, again, lambda label, epochs: reported.append(epochs))  # noqa: B023
        assert reported == [*range((epoch - 1) // every * every + 1, epochs + 1)]  # it did not begin anew
        assert again.done
        assert results(again) == results(run), f"interrupted in epoch {epoch}"


def test_a_resumed_run_keeps_its_curves(finished: Place, tmp_path: Path) -> None:
    from experiments.execute import execute

    plan = plan_of(finished, "--trainer.max_epochs=4", f"--output={tmp_path}")
    run = plan.runs[1]
    execute(plan, run)
    again = replace(run, folder=tmp_path / "again")
    interrupt(plan, again, 3)
    execute(plan, again)
    expected, found = (pd.read_csv(folder / "curves.csv") for folder in (run.folder, again.folder))
    assert expected["train/label_loss"].count() == 4
    pd.testing.assert_frame_equal(found, expected)


@pytest.mark.parametrize("keep", [0, 1000], ids=["empty", "cut off"])
def test_half_a_checkpoint_is_none(finished: Place, tmp_path: Path, keep: int) -> None:
    from experiments.execute import execute

    plan = plan_of(finished, f"--output={tmp_path}")
    run = plan.runs[1]
    execute(plan, run)
    again = replace(run, folder=tmp_path / "again")
    interrupt(plan, again, 2)
    checkpoint = again.folder / "last.ckpt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:keep])
    execute(plan, again)
    assert again.done
    assert results(again) == results(run)


# ---- Ctrl-C


def test_ctrl_c_during_preparation(place: Place, finished: Place, door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    from datamodules import preparation

    def pressed(recorded: Signal, stream: str, where: str) -> Quality:
        if "s03.dat, video 2" in where:
            signal.raise_signal(signal.SIGINT)
        return inspect(recorded, stream, where)

    monkeypatch.setattr(preparation, "inspect", pressed)
    answer = door(place.arguments())
    assert (answer.code, answer.err) == (130, INTERRUPTED)
    prepared = place.prepared()
    assert [*prepared] == ["s01", "s02"]
    monkeypatch.undo()
    assert door(place.arguments()).code == 0
    assert prepared.items() <= place.prepared().items()
    assert place.summary() == finished.summary()


def test_ctrl_c_during_a_run_of_this_process(place: Place, door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    from experiments import session

    def pressed(bar: object, label: str, epochs: int) -> None:
        if "dann" in label and epochs == 2:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(session.Progress, "epoch", pressed)
    before = signal.getsignal(signal.SIGINT)
    try:
        answer = door(place.arguments())
    finally:
        signal.signal(signal.SIGINT, before)
    assert (answer.code, answer.err) == (130, INTERRUPTED)
    assert len(place.done()) == 1
    assert len([*place.output.glob("runs/*/last.ckpt")]) == 1  # what it goes on from


def test_ctrl_c_during_a_run_of_workers(place: Place, start: Start) -> None:
    command = start(place.arguments("--launcher.local.workers=2", "--trainer.max_epochs=100000"))
    wait_for(lambda: [*place.output.glob("runs/*/last.ckpt")])
    assert len(members(command.pid)) > 2
    os.killpg(command.pid, signal.SIGINT)
    answer = command.answer()
    assert answer.err == INTERRUPTED
    assert answer.code == 130
    assert [*place.output.glob("runs/*/last.ckpt")]
    wait_for(lambda: not members(command.pid), 5.0)


PRESS_IN_FORKSERVER = """
import os, signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "affect.learners.adaptive":
            sys.meta_path.remove(self)
            os.killpg(os.getpgrp(), signal.SIGINT)
if any("forkserver" in argument for argument in sys.orig_argv):
    sys.meta_path.insert(0, Finder())
"""
"""A sitecustomize: Ctrl-C is pressed while the process that workers are forked from imports what they need."""


def test_ctrl_c_while_workers_start(place: Place, start: Start, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(PRESS_IN_FORKSERVER)
    answer = start(place.arguments("--launcher.local.workers=2"), variables={"PYTHONPATH": str(tmp_path)}).answer()
    assert answer.err == INTERRUPTED
    assert answer.code == 130
    assert place.done() == []


# ---- two at once


def test_two_at_once_make_every_run_once(place: Place, finished: Place, start: Start) -> None:
    arguments = place.arguments("--wandb.mode=offline")
    commands = [start(arguments) for _ in range(2)]
    answers: list[Answer] = [command.answer() for command in commands]
    for answer in answers:
        assert (answer.code, answer.err) == (0, "")
        labels, runs, table = answer.out.split("\n", 2)
        assert labels.startswith("valence: ")
        assert f"{place.runs} runs" in runs
        assert table.startswith(finished.table())
    assert place.summary() == finished.summary()
    assert place.results() == finished.results()
    assert len(place.done()) == place.runs
    (folder,) = place.output.glob("small-*")
    for name in (*(done.parent.name for done in place.done()), folder.name):
        assert len([*folder.glob(f"wandb/offline-run-*-{name}")]) == 1  # one for each time it was begun
    assert not [*place.output.glob("runs/*/failed.txt")]
