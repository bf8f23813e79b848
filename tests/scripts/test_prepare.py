"""scripts/prepare.py: whatever ends it, the same command goes on; and what it says."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.scripts.conftest import Answer, Start

INTERRUPTED = "\ninterrupted: people who are finished are kept; the same command goes on from here\n"
PERSON = 4 * 7 * 128 * 32 * 4  # bytes of EEG
both = pytest.mark.parametrize("pool", [False, True], ids=["alone", "pool"])


def wait_for(what: Callable[[], object], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.005)


def members(group: int) -> dict[int, str]:
    """Processes of a process group that still live → their command."""
    columns = "pgid=,pid=,stat=,args="
    listed = subprocess.run(["ps", "-A", "-ww", "-o", columns], capture_output=True, text=True, check=True).stdout
    rows = [line.split(maxsplit=3) for line in listed.splitlines()]
    return {int(row[1]): row[3] for row in rows if row[0] == str(group) and not row[2].startswith("Z")}


def made(cache: Path) -> dict[str, bytes]:
    """Everything a preparation leaves, folders too, but for the memo of fingerprints and a file that was in the
    making."""
    return {
        str(path.relative_to(cache)): b"" if path.is_dir() else path.read_bytes()
        for path in sorted(cache.rglob("*"))
        if path.name not in (".lock", "fingerprints.json") and path.suffix != ".tmp"
    }


def done(cache: Path) -> dict[str, int]:
    """People who are finished → when."""
    entries = sorted(cache.glob("*/trials-*/people/*.json"))
    return {path.stem.rpartition("-")[0]: path.stat().st_mtime_ns for path in entries}


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def arguments(config: Path, people: Path, cache: Path) -> list[str]:
    return [f"--config={config}", f"--data.corpus.root={people}", f"--data.cache={cache}"]


@pytest.fixture(scope="session")
def whole(config: Path, people: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What a preparation leaves that nothing disturbs."""
    from scripts.prepare import main

    cache = tmp_path_factory.mktemp("whole") / "cache"
    arguments = [f"--config={config}", f"--data.corpus.root={people}", f"--data.cache={cache}"]
    assert main([*arguments, "--compute.workers=1"]) == 0
    return made(cache)


def at_work(cache: Path, pool: bool) -> Callable[[], bool]:
    """Whether someone is half written: by two workers at once, or by the process alone."""

    def half() -> bool:
        if pool:
            return len([*cache.glob("*/eeg-*/parts/*.bin")]) > 1
        return len(done(cache)) > 1

    return half


# ---- ended


@pytest.mark.parametrize(("pool", "every"), [(False, 1), (True, 5)], ids=["alone", "pool"])
def test_killed_again_and_again(
    arguments: list[str], cache: Path, whole: dict[str, bytes], start: Start, pool: bool, every: int
) -> None:
    """The n-th time before it puts its n-th file in place."""
    for life in range(1, 30):
        command = start(arguments, pool, die=1 + every * (life - 1))
        answer = command.answer()
        wait_for(lambda: not members(command.pid), 5.0)  # noqa: B023
        if answer.code != -signal.SIGKILL:
            break
    assert answer.code == 0, answer.err
    assert answer.err == ""
    assert life > 3
    assert made(cache) == whole


@both
@pytest.mark.parametrize("how", ["kill", "interrupt", "terminate"])
def test_ended_while_people_are_half_read(
    arguments: list[str], cache: Path, whole: dict[str, bytes], start: Start, how: str, pool: bool
) -> None:
    command = start(arguments, pool, variables={"PAUSE": "0.15"})
    wait_for(at_work(cache, pool))
    if how == "interrupt":
        os.killpg(command.pid, signal.SIGINT)
    else:
        os.kill(command.pid, signal.SIGKILL if how == "kill" else signal.SIGTERM)
    answer = command.answer()
    wait_for(lambda: not members(command.pid), 5.0)
    if how == "kill":
        assert answer.code == -signal.SIGKILL
    else:
        assert (answer.code, answer.err) == (130, INTERRUPTED)
    finished = done(cache)
    assert 0 < len(finished) < 6
    again = start(arguments).answer()
    assert (again.code, again.err) == (0, "")
    assert finished.items() <= done(cache).items()
    assert made(cache) == whole


def test_ctrl_c_while_workers_start(arguments: list[str], cache: Path, whole: dict[str, bytes], start: Start) -> None:
    answer = start(arguments, pool=True, variables={"PRESS": "1", "PAUSE": "0.1"}).answer()
    assert (answer.code, answer.err) == (130, INTERRUPTED)
    assert start(arguments).answer().code == 0
    assert made(cache) == whole


def test_a_worker_is_killed(arguments: list[str], cache: Path, whole: dict[str, bytes], start: Start) -> None:
    """As Linux does when memory runs out."""
    command = start(arguments, pool=True, variables={"PAUSE": "0.15"})
    wait_for(at_work(cache, pool=True))
    *_, worker = sorted(pid for pid, args in members(command.pid).items() if "forkserver" in args)
    os.kill(worker, signal.SIGKILL)
    answer = command.answer()
    answer.refused("compute.workers", "killed", "memory", "--compute.workers=1")
    wait_for(lambda: not members(command.pid), 5.0)
    assert start(arguments).answer().code == 0
    assert made(cache) == whole


@both
def test_files_may_not_grow(
    arguments: list[str], cache: Path, whole: dict[str, bytes], start: Start, pool: bool
) -> None:
    """What a full disk, a quota and a limit have in common."""
    answer = start(arguments, pool, limit=2 * PERSON + 1000).answer()
    answer.refused(str(cache), "File too large", "room", "--data.cache")
    finished = done(cache)
    assert [*finished] == ["s01", "s02"]
    assert start(arguments, pool).answer().code == 0
    assert finished.items() <= done(cache).items()
    assert made(cache) == whole


@both
def test_two_at_once_read_everybody_once(
    arguments: list[str], cache: Path, whole: dict[str, bytes], start: Start, tmp_path: Path, pool: bool
) -> None:
    log = tmp_path / "log"
    commands = [start(arguments, pool, variables={"LOG": str(log), "PAUSE": "0.02"}) for _ in range(2)]
    answers: list[Answer] = [command.answer() for command in commands]
    assert [(answer.code, answer.err) for answer in answers] == [(0, "")] * 2
    read = log.read_text().splitlines()
    assert len(read) == len(set(read)) == 24
    assert made(cache) == whole
