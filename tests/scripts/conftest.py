"""scripts/prepare.py in processes of its own, forked from one that has imported everything already."""

import json
import os
import re
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]
CONFIG = """
name: small
data:
  corpus: {class_path: datamodules.corpora.Deap, init_args: {root: nowhere}}
  streams:
    eeg: {features: affect.preprocessing.DifferentialEntropy}
  target: {class_path: datamodules.targets.Threshold, init_args: {rating: valence, above: 5}}
  window: {seconds: 2}
protocol: datamodules.protocols.LeaveOneSubjectOut
model:
  encoders: {eeg: affect.encoders.BandMLP}
"""
MESSAGE = re.compile(
    r"error: (?P<where>[^\n]+)\n"
    r"  found:    (?P<found>.+?)\n"
    r"  expected: (?P<expected>[^\n]+)\n"
    r"  do:       (?P<do>[^\n]+)\n",
    re.DOTALL,
)
SITE = """
import sys
if any("forkserver" in argument for argument in sys.orig_argv):
    import slowed
"""
"""A sitecustomize: the process that workers are forked from is slowed too."""

SLOWED = """
import os, signal, sys, time
from datamodules import preparation

def inspect(recorded, stream, where):
    if "LOG" in os.environ:
        with open(os.environ["LOG"], "a") as log:
            log.write(f"{stream} of {where}\\n")
    time.sleep(float(os.environ.get("PAUSE", 0)))
    return whole(recorded, stream, where)

whole, preparation.inspect = preparation.inspect, inspect

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "experiments.config" and "PRESS" in os.environ:
            sys.meta_path.remove(self)
            os.killpg(os.getpgrp(), signal.SIGINT)

if any("forkserver" in argument for argument in sys.orig_argv):
    sys.meta_path.insert(0, Finder())
"""
"""Every trial is noted in LOG and takes PAUSE more seconds; PRESS: Ctrl-C, while workers import."""

FORKING = """
import gc, json, os, resource, runpy, signal, sys
import slowed
import affect.alignment, affect.encoders, affect.fusion, experiments.check, experiments.session, scipy.fft
import scripts.prepare
from datamodules import workers

gc.collect()
gc.freeze()  # what is forked need not look at it, which would copy it

def die_before(count):
    def replace(source, target, **how):
        nonlocal count
        count -= 1
        if not count:
            os.kill(os.getpid(), signal.SIGKILL)
        whole(source, target, **how)
    whole, os.replace = os.replace, replace

for line in sys.stdin:
    order = json.loads(line)
    if "wait" in order:
        answer = os.waitstatus_to_exitcode(os.waitpid(order["wait"], 0)[1])
    elif not (answer := os.fork()):
        os.setsid()
        for number, path in enumerate((os.devnull, order["out"], order["err"])):
            os.dup2(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), number)
        os.environ.update(order["variables"])
        workers._WORTH = workers._LONG = order["worth"]
        if order["limit"]:
            resource.setrlimit(resource.RLIMIT_FSIZE, (order["limit"], resource.RLIM_INFINITY))
        if order["die"]:
            die_before(order["die"])
        sys.argv = ["scripts/prepare.py", *order["arguments"]]
        runpy.run_path(sys.argv[0], run_name="__main__")
    print(answer, flush=True)
"""


@dataclass(frozen=True)
class Answer:
    """What a command leaves: its exit code and what it wrote."""

    code: int
    out: str
    err: str

    def refused(self, where: str, found: str, expected: str, do: str) -> None:
        """Assert that all it says on stderr is one message, whose four parts hold these texts."""
        message = MESSAGE.fullmatch(self.err)
        assert message, self.err
        assert self.code == 2
        for part, text in {"where": where, "found": found, "expected": expected, "do": do}.items():
            assert text in message[part], f"{text!r} is not in {part!r} of\n{self.err}"


class Forking:
    """The process that is forked, and all it has forked."""

    def __init__(self, folder: Path) -> None:
        for name, text in {"sitecustomize": SITE, "slowed": SLOWED, "forking": FORKING}.items():
            (folder / f"{name}.py").write_text(text)
        path = os.pathsep.join([str(folder), str(REPOSITORY)])
        self.folder, self.started = folder, list[int]()
        self.process = subprocess.Popen(
            [sys.executable, str(folder / "forking.py")],
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, **order: Any) -> int:
        assert self.process.stdin
        assert self.process.stdout
        print(json.dumps(order), file=self.process.stdin, flush=True)
        return int(self.process.stdout.readline())

    def end(self) -> None:
        for group in self.started:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        self.process.kill()
        self.process.communicate()


@dataclass(frozen=True)
class Command:
    """A preparation that is running; `pid` is its process group's number too."""

    forking: Forking
    pid: int
    out: Path
    err: Path

    def answer(self) -> Answer:
        """Wait for it to end by itself."""
        code = self.forking.ask(wait=self.pid)
        return Answer(code, self.out.read_text(encoding="utf-8"), self.err.read_text(encoding="utf-8"))


Start = Callable[..., Command]
Door = Callable[[list[str]], Answer]


@pytest.fixture(scope="session")
def forking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forking]:
    process = Forking(tmp_path_factory.mktemp("forking"))
    yield process
    process.end()


@pytest.fixture
def start(forking: Forking) -> Start:
    """Start the real script: with `pool`, workers share the people from the second on; `die` before the file of this
    number is put in its place; let no file grow beyond `limit` bytes; `variables` of SLOWED.
    """

    def launch(
        arguments: list[str], pool: bool = False, die: int = 0, limit: int = 0, variables: dict[str, str] | None = None
    ) -> Command:
        number = len(forking.started)
        out, err = (forking.folder / f"{number}.{kind}" for kind in ("out", "err"))
        pid = forking.ask(
            arguments=[*arguments, f"--launcher.local.workers={3 if pool else 1}"],
            worth=0.0 if pool else 1e9,
            die=die,
            limit=limit,
            variables=variables or {},
            out=str(out),
            err=str(err),
        )
        forking.started.append(pid)
        return Command(forking, pid, out, err)

    return launch


@pytest.fixture
def door(capfd: pytest.CaptureFixture[str]) -> Door:
    """The script's own `main` in this process."""
    from scripts.prepare import main

    def knock(arguments: list[str]) -> Answer:
        capfd.readouterr()
        code: Any
        try:
            code = main(arguments)
        except SystemExit as error:
            code = error.code
        except Exception:
            traceback.print_exc()
            code = 1
        return Answer(code, *capfd.readouterr())

    return knock


@pytest.fixture(scope="session")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "small.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six people with four trials of 4 s, never to be changed."""
    from datamodules.standin.deap import write_deap

    root = tmp_path_factory.mktemp("people")
    write_deap(root, subjects=6, trials=4, seconds=4.0)
    return root
