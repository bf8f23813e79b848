"""A tiny experiment on people in DEAP's layout, and two ways through the door: in this process or in one of its own."""

import os
import re
import shutil
import signal
import subprocess
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

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
methods:
  source-only: {}
  dann: {alignment: {class_path: affect.alignment.DANN, init_args: {weight: 0.1}}}
trainer: {max_epochs: 2, batch_size: 16, checkpoint_every: 1}
launcher: {local: {workers: 1}}
wandb: {mode: disabled}
"""
MESSAGE = re.compile(
    r"error: (?P<where>[^\n]+)\n"
    r"  found:    (?P<found>.+?)\n"
    r"  expected: (?P<expected>[^\n]+)\n"
    r"  do:       (?P<do>[^\n]+)\n",
    re.DOTALL,
)


@dataclass(frozen=True)
class Answer:
    """What a command leaves: its exit code and what it wrote."""

    code: int
    out: str
    err: str

    def refused(self, where: str, found: str, expected: str, do: str) -> None:
        """Assert that all it says is one message, whose four parts hold these texts."""
        message = MESSAGE.fullmatch(self.err)
        assert message, self.err
        assert "Traceback" not in self.err
        assert self.code == 2
        for part, text in {"where": where, "found": found, "expected": expected, "do": do}.items():
            assert text in message[part], f"{text!r} is not in {part!r} of\n{self.err}"


@dataclass(frozen=True)
class Place:
    """Where an experiment reads and writes, and the command that makes it."""

    config: Path
    root: Path
    folder: Path
    runs: ClassVar[int] = 8
    """4 people left out once × 2 methods."""

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    @property
    def output(self) -> Path:
        return self.folder / "runs"

    def arguments(self, *more: str) -> list[str]:
        own = {"config": self.config, "data.corpus.root": self.root, "data.cache": self.cache, "output": self.output}
        return [*(f"--{key}={value}" for key, value in own.items()), *more]

    def done(self) -> list[Path]:
        """Markers of the finished runs."""
        return sorted(self.output.glob("runs/*/done"))

    def prepared(self) -> dict[str, int]:
        """People in the cache → when each was committed."""
        entries = sorted(self.cache.glob("*/trials-*/people/*.json"))
        return {path.stem.rpartition("-")[0]: path.stat().st_mtime_ns for path in entries}

    def summary(self) -> bytes:
        (path,) = self.output.glob("small-*/summary.json")
        return path.read_bytes()

    def table(self) -> str:
        (path,) = self.output.glob("small-*/table.txt")
        return path.read_text(encoding="utf-8")

    def results(self) -> dict[str, bytes]:
        """What every run learned, predicted and scored, to the last byte."""
        names = ("weights.safetensors", "predictions.parquet", "metrics.json")
        paths = [path for path in sorted(self.output.glob("runs/*/*")) if path.name in names]
        return {str(path.relative_to(self.output)): path.read_bytes() for path in paths}


class Command(subprocess.Popen[str]):
    """The real command in a process group of its own."""

    def answer(self) -> Answer:
        """Wait for it to end by itself."""
        out, err = self.communicate(timeout=120)
        return Answer(self.returncode, out, err)


Door = Callable[[list[str]], Answer]
Start = Callable[..., Command]


@pytest.fixture(scope="session")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "small.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four people with four trials of 4 s, never to be changed."""
    from datamodules.standin.deap import write_deap

    root = tmp_path_factory.mktemp("people")
    write_deap(root, subjects=4, trials=4, seconds=4.0)
    shutil.rmtree(root / "metadata_csv")  # labels are changed below, and it would contradict them
    return root


@pytest.fixture
def place(config: Path, people: Path, tmp_path: Path) -> Place:
    """A place of one's own to work on the shared people."""
    return Place(config, people, tmp_path)


@pytest.fixture
def spoilt(config: Path, people: Path, tmp_path: Path) -> Place:
    """The same people as links that may be replaced; never open one of these files for writing, unlink it first."""
    return Place(config, shutil.copytree(people, tmp_path / "people", copy_function=os.link), tmp_path)


@pytest.fixture(scope="session")
def finished(config: Path, people: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The experiment made once without interruption, in this process."""
    from experiments.run import main

    place = Place(config, people, tmp_path_factory.mktemp("finished"))
    assert main(place.arguments()) == 0
    return place


@pytest.fixture
def door(capfd: pytest.CaptureFixture[str]) -> Door:
    """Go through the door's own `main` in this process, which has paid for importing torch already."""
    from experiments.run import main

    def knock(arguments: list[str]) -> Answer:
        capfd.readouterr()
        code: Any
        with warnings.catch_warnings(record=True) as warned:
            for category in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
                warnings.simplefilter("ignore", category)  # as the interpreter does
            try:
                code = main(arguments)
            except SystemExit as error:
                code = error.code
            except Exception:
                traceback.print_exc()
                code = 1
        out, err = capfd.readouterr()
        for w in warned:
            err += warnings.formatwarning(w.message, w.category, w.filename, w.lineno)
        return Answer(code, out, err)

    return knock


@pytest.fixture(scope="session")
def environment(pytestconfig: pytest.Config) -> dict[str, str]:
    """Of the processes started here: they keep compiled modules, which halves the time torch takes to import."""
    variables = dict(os.environ)
    if sys.dont_write_bytecode:
        variables.pop("PYTHONDONTWRITEBYTECODE", None)
        variables["PYTHONPYCACHEPREFIX"] = str(pytestconfig.cache.mkdir("bytecode"))
    return variables


@pytest.fixture
def start(environment: dict[str, str]) -> Iterator[Start]:
    """Start the real command, or another script of Python's, in a process group of its own."""
    started: list[Command] = []

    def launch(
        arguments: list[str],
        script: Path | str = "experiments/run.py",
        variables: dict[str, str] | None = None,
        **how: Any,
    ) -> Command:
        process = Command(
            [sys.executable, str(script), *arguments],
            cwd=REPOSITORY,
            env={**environment, **(variables or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            **how,
        )
        started.append(process)
        return process

    yield launch
    for process in started:
        with suppress(ProcessLookupError):  # its workers share the group
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
