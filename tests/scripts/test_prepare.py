"""scripts/prepare.py: whatever ends it, the same command goes on; and what it says."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from datamodules.standin import python2_pickle

if TYPE_CHECKING:
    from tests.scripts.conftest import Answer, Door, Start

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
    assert main([*arguments, "--launcher.local.workers=1"]) == 0
    return made(cache)


def half_read(cache: Path, log: Path, pool: bool) -> bool:
    """Whether someone's trials are being read: by two workers at once, or by the process alone."""
    trials = len(log.read_text().splitlines()) if log.exists() else 0
    return len([*cache.glob("*/eeg-*/parts/*.bin")]) > 1 if pool else trials % 4 == 2 and trials > 8


# ---- ended


@pytest.mark.parametrize(("pool", "deaths"), [(False, (1, 2, 3, 7)), (True, (5, 9))], ids=["alone", "pool"])
def test_killed_again_and_again(
    arguments: list[str], cache: Path, whole: dict[str, bytes], start: Start, pool: bool, deaths: tuple[int, ...]
) -> None:
    """Each time before another file is in its place; of everybody there are three, and one of all."""
    for death in deaths:
        command = start(arguments, pool, die=death)
        assert command.answer().code == -signal.SIGKILL
        wait_for(lambda: not members(command.pid), 5.0)  # noqa: B023
    answer = start(arguments, pool).answer()
    assert (answer.code, answer.err) == (0, "")
    assert made(cache) == whole


@both
@pytest.mark.parametrize("how", ["kill", "interrupt", "terminate"])
def test_ended_while_people_are_half_read(
    arguments: list[str], cache: Path, whole: dict[str, bytes], start: Start, tmp_path: Path, how: str, pool: bool
) -> None:
    log = tmp_path / "log"
    command = start(arguments, pool, variables={"LOG": str(log), "PAUSE": "0.1"})
    wait_for(lambda: half_read(cache, log, pool))
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


def test_a_worker_is_killed(
    arguments: list[str], cache: Path, whole: dict[str, bytes], start: Start, tmp_path: Path
) -> None:
    """As Linux does when memory runs out."""
    command = start(arguments, pool=True, variables={"PAUSE": "0.1"})
    wait_for(lambda: half_read(cache, tmp_path / "log", pool=True))
    *_, worker = sorted(pid for pid, args in members(command.pid).items() if "forkserver" in args)
    os.kill(worker, signal.SIGKILL)
    answer = command.answer()
    answer.refused("launcher.local.workers", "killed", "memory", "--launcher.local.workers=1")
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
    assert start(arguments).answer().code == 0
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


# ---- what it says


def spoil(people: Path, folder: Path) -> Path:
    """A copy of the people, whose s02 has NaNs in a trial and a dead channel and a clipped one in others, and whose
    s04 cannot be read."""
    root = folder / "spoilt"
    shutil.copytree(people, root, copy_function=os.link)
    path = root / "data_preprocessed_python/s02.dat"
    arrays = {k: v.copy() for k, v in pickle.loads(path.read_bytes(), encoding="latin1").items()}
    arrays["data"][0, 3, 5:8] = np.nan
    arrays["data"][1, 7] = 2.5
    arrays["data"][2, 0] = np.minimum(arrays["data"][2, 0], np.quantile(arrays["data"][2, 0], 0.9))
    path.unlink()
    with path.open("wb") as file:
        python2_pickle.dump(file, arrays, protocol=2)
    other = root / "data_preprocessed_python/s04.dat"
    half = other.read_bytes()[:1000]
    other.unlink()
    other.write_bytes(half)
    return root


def test_what_is_wrong_is_told(arguments: list[str], people: Path, tmp_path: Path, door: Door) -> None:
    root, report = spoil(people, tmp_path), tmp_path / "report.csv"
    own = [*arguments, f"--data.corpus.root={root}", "--data.bad_trials=drop", f"--report={report}"]
    for again in (False, True):  # it is told as well when nothing has to be read any more
        answer = door(own)
        assert (answer.code, answer.err) == (0, ""), again
        lines = [" ".join(line.split()) for line in answer.out.splitlines()]
        assert "5 people, 18 trials" in lines
        assert "s02 eeg 2 3 T7 Fp1" in lines
        assert any(line.startswith("s04 – 1 0 – –") for line in lines)
        assert "3 trials left out:" in lines
        assert "data_preprocessed_python/s02.dat, video 1: 3 NaN or infinite samples in eeg channels ['F7']" in lines
        assert "data_preprocessed_python/s02.dat, video 2: constant (dead) eeg channels ['T7']" in lines
        assert any(line.startswith("data_preprocessed_python/s04.dat: 1,000 bytes") for line in lines)
        table = pd.read_csv(report)
        assert list(table.columns) == ["subject", "stream", "where", "missing", "dead", "clipped", "problem"]
        assert table["subject"].tolist() == ["s02", "s02", "s02", "s04"]
        assert table["where"].str.rpartition(", ")[2].tolist()[:3] == ["video 1", "video 2", "video 3"]
        assert table["missing"].tolist()[0] == 3
        assert "T7" in table["dead"][1]
        assert "Fp1" in table["clipped"][2]
        assert table["problem"].isna().tolist() == [False, False, True, False]


def test_one_is_told_as_one(arguments: list[str], people: Path, tmp_path: Path, door: Door) -> None:
    root = spoil(people, tmp_path)
    own = [*arguments, f"--data.corpus.root={root}", "--data.bad_trials=drop", "--data.corpus.subjects=[s04, s05]"]
    assert "1 trial left out:\n" in door(own).out
    alone = [*arguments, "--data.corpus.subjects=[s06]"]
    assert "deap: 1 person, " in door([*alone, "--dry-run"]).out
    assert "1 person to prepare\n" in door([*alone, "--dry-run"]).out
    assert "\n1 person, 4 trials\n" in door(alone).out


def test_the_same_files_are_refused_by_default(arguments: list[str], people: Path, tmp_path: Path, door: Door) -> None:
    root = spoil(people, tmp_path)
    own = [*arguments, f"--data.corpus.root={root}", "--quiet"]
    door(own).refused("s04.dat", "1,000 bytes", "a whole pickle", "download the file again")
    (root / "data_preprocessed_python/s04.dat").unlink()
    answer = door([*own, "--data.corpus.subjects=[s01, s02, s03]"])
    answer.refused("s02.dat, video 1", "3 NaN or infinite", "finite", "--data.bad_trials=drop")
    assert "(and 1 more bad trial)" in answer.err


def test_a_dry_run_tells_before_and_after(arguments: list[str], cache: Path, door: Door) -> None:
    before = door([*arguments, "--dry-run"])
    assert before.code == 0
    assert "deap: 6 people, 8 files, 7 MB in " in before.out
    assert "6 people to prepare\n  eeg (from eeg): DifferentialEntropy\n" in before.out
    assert not done(cache)
    answer = door([*arguments, "--quiet"])
    assert answer.code == 0
    assert answer.out.startswith("24 trials in ")
    assert answer.out.endswith(f" on disk in {cache / 'deap'}\n")
    finished = made(cache)
    after = door([*arguments, "--dry-run"])
    assert after.out == before.out.replace("6 people to prepare", "all people are prepared already")
    whole = door(arguments)
    assert after.out in whole.out
    assert "quality: nothing missing, dead or clipped in any trial\n" in whole.out
    assert made(cache) == finished


@pytest.mark.parametrize(
    ("more", "where", "found", "do"),
    [
        (["--config=nowhere.yaml"], "nowhere.yaml", "", ""),
        (["--data.corpus.root=nowhere"], "nowhere", "no such folder", "--data.corpus.root"),
        (["--data.window.length=3"], "data.window.length", "", ""),
        (["--data.streams.eeg.steps=[affect.preprocessing.Nothing]"], "data.streams.eeg.steps.0", "Nothing", ""),
        (["--report=nowhere/report.csv"], "--report", "nowhere/report.csv", "folder"),
    ],
    ids=["config", "root", "key", "class", "report"],
)
def test_what_cannot_be_done_is_refused(
    arguments: list[str], door: Door, more: list[str], where: str, found: str, do: str
) -> None:
    door([*arguments, *more]).refused(where, found, "", do)


def test_a_folder_below_a_file_is_no_cache(arguments: list[str], tmp_path: Path, door: Door) -> None:
    (tmp_path / "file").touch()
    answer = door([*arguments, f"--data.cache={tmp_path / 'file' / 'cache'}"])
    answer.refused("cache", "not a folder", "may be written to", "--data.cache")


@pytest.fixture
def sealed(tmp_path: Path) -> Iterator[Callable[[Path], Path]]:
    """A copy of a folder that not even root may write to."""
    folder = tmp_path / "sealed"
    folder.mkdir()

    def seal(source: Path) -> Path:
        for command in (
            ["mount", "-t", "tmpfs", "tmpfs", str(folder)],
            ["cp", "-r", f"{source}/.", str(folder)],
            ["mount", "-o", "remount,ro", str(folder)],
        ):
            try:
                subprocess.run(command, check=True, capture_output=True, text=True)
            except (OSError, subprocess.CalledProcessError) as error:
                pytest.skip(f"no read-only disk: {getattr(error, 'stderr', '') or error}")
        return folder

    yield seal
    if folder.is_mount():
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_corpus_may_be_read_only(
    arguments: list[str], people: Path, door: Door, sealed: Callable[[Path], Path]
) -> None:
    answer = door([*arguments, f"--data.corpus.root={sealed(people)}"])
    assert (answer.code, answer.err) == (0, "")
    assert "6 people, 24 trials" in answer.out


def test_a_cache_may_not(arguments: list[str], tmp_path: Path, door: Door, sealed: Callable[[Path], Path]) -> None:
    (tmp_path / "empty").mkdir()
    own = [*arguments, f"--data.cache={sealed(tmp_path / 'empty')}"]
    assert "6 people to prepare" in door([*own, "--dry-run"]).out
    door(own).refused("sealed", "cannot be written to (Read-only file system)", "prepared data", "--data.cache")
