"""Who makes the runs changes no result: workers here, jobs of SLURM, tasks of Ray, whatever happens to them."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from affect.batch import StreamShape
from affect.encoders import BandMLP

if TYPE_CHECKING:
    from tests.experiments.conftest import Answer, Door, Place, Start

LONG = ("--trainer.max_epochs=300", "--data.corpus.subjects=[s01, s02]")
"""Two people left out once × two methods, each long enough for something to happen to it."""


def wait_for(what: Callable[[], object], seconds: float = 300.0) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.05)


def ended(command: subprocess.Popen[str], seconds: float) -> Answer:
    from conftest import Answer

    out, err = command.communicate(timeout=seconds)
    return Answer(command.returncode, out, err)


# ---- the config


@pytest.mark.parametrize(
    ("overrides", "where", "found", "do"),
    [
        (["--launcher.ray.cpus=1"], "launcher", "local and ray", "--launcher='{ray: {}}'"),
        (["--launcher={ray: {}}"], "launcher.ray", "no package ray", "uv sync --extra ray"),
        (["--launcher={slurm: {}}"], "launcher.slurm", "no package submitit", "uv sync --extra slurm"),
        (["--launcher={pbs: {}}"], "launcher.pbs", "no such key", "--help"),
        (["--compute.precision=16-mixed"], "compute.precision", "'16-mixed' on a CPU", "bf16-mixed"),
        (["--compute.devices=0"], "compute.devices", "0", "Of each run"),
        (["--compute.precision=8-true"], "compute.precision", "8-true", "as Lightning names it"),
    ],
)
def test_what_cannot_be_launched_is_refused(
    place: Place,
    door: Door,
    monkeypatch: pytest.MonkeyPatch,
    overrides: list[str],
    where: str,
    found: str,
    do: str,
) -> None:
    there = util.find_spec
    monkeypatch.setattr(util, "find_spec", lambda name: None if name in ("ray", "submitit") else there(name))
    for module in ("ray", "slurm"):
        monkeypatch.delitem(sys.modules, f"experiments.launchers.{module}", raising=False)
    door(place.arguments(*overrides)).refused(where, found, "", do)
    assert not place.output.exists()


def test_a_machine_without_slurm_is_told_so(place: Place, door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit")
    monkeypatch.setattr(shutil, "which", lambda program: None)
    answer = door(place.arguments("--launcher={slurm: {}}"))
    answer.refused("launcher.slurm", "no sbatch", "may submit", "--launcher.slurm.executor=local")


def test_what_changes_numbers_is_in_the_name_of_a_run(place: Place) -> None:
    from experiments.check import check
    from experiments.load import load
    from experiments.plan import make

    def names(*overrides: str) -> set[str]:
        _, *own = place.arguments(*overrides)
        return {run.folder.name for run in make(check(load(place.config, own))).runs}

    own = names()
    assert names("--launcher={ray: {gpus: 0.25}}") == names("--launcher={slurm: {jobs: 7}}") == own
    assert names("--launcher.local.workers=2", "--wandb.mode=offline") == own
    assert not names("--compute.precision=bf16-mixed") & own
    assert not names("--compute.compile=inductor") & own


def test_precision_and_compilation_reach_the_network(place: Place, door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    backends, mixed = [], set()
    forward = BandMLP.forward

    def spied(self: BandMLP, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            mixed.add(torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None)
        return forward(self, x)

    monkeypatch.setattr(BandMLP, "forward", spied)
    monkeypatch.setattr(BandMLP, "compile", lambda self, backend: backends.append(backend))
    shortly = (*LONG, "--trainer.max_epochs=1")
    answer = door(place.arguments(*shortly, "--compute.precision=bf16-mixed", "--compute.compile=aot_eager"))
    assert answer.code == 0, answer.err
    assert mixed == {torch.bfloat16}
    assert backends == ["aot_eager"] * (place.runs // 2)


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "off"), [("aot_eager", 1e-5), ("inductor", 2e-2)])
def test_a_compiled_network_learns_as_the_other_does(place: Place, door: Door, backend: str, off: float) -> None:
    """Where a gradient is nothing but rounding, Adam still makes whole steps of it."""
    from safetensors.torch import load_file

    found = []
    shortly = (
        *LONG,
        "--trainer.max_epochs=3",
        "--model.encoders.eeg.dropout=0",
        "--model.encoders.eeg.input_dropout=0",
    )  # compiled, it is drawn otherwise
    for compiled in ("null", backend):
        output = place.folder / compiled
        answer = door(place.arguments(*shortly, f"--output={output}", f"--compute.compile={compiled}"))
        assert answer.code == 0, answer.err
        plans = json.loads(next(output.glob("small-*/runs.json")).read_text())
        found.append(
            {name: load_file(output / "runs" / folder / "weights.safetensors") for name, folder in plans.items()}
        )
    eager, compiled_ = found
    for name, weights in eager.items():
        for key, tensor in weights.items():
            assert tensor.allclose(compiled_[name][key], atol=off), (name, key)


# ---- several devices


def test_devices_that_are_not_here_are_refused(place: Place, door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    asked = ("--compute.accelerator=gpu", "--compute.devices=2")
    door(place.arguments(*asked)).refused("compute.devices", "2", "at most 1", "fewer")
    slurm = "--launcher={slurm: {gpus: 1, executor: local}}"
    door(place.arguments(*asked, slurm)).refused("launcher.slurm.gpus", "1 for 2 devices", "each device", "as many")


@pytest.mark.parametrize("method", ["source-only", pytest.param("dann", marks=pytest.mark.slow)])
def test_two_processes_of_a_run_descend_as_one(place: Place, method: str) -> None:
    """The mean gradient of two halves is that of the whole, where no layer looks at other windows of its batch."""
    import torch

    from experiments.check import check
    from experiments.fit import fit
    from experiments.learn import learner_and_data
    from experiments.load import load
    from experiments.plan import make

    found = []
    shortly = ("--trainer.max_epochs=3", "--data.corpus.subjects=[s01, s02]", "--trainer.batch_size=6")
    still = [f"--model.encoders.eeg.{name}=0" for name in ("dropout", "input_dropout")]
    for devices in (1, 2):
        _, *own = place.arguments(*shortly, *still, f"--compute.devices={devices}")
        plan = make(check(load(place.config, own)))
        run = next(run for run in plan.runs if run.method == method)
        learner, data = learner_and_data(plan, run)
        epochs: list[int] = []
        fit(plan, run, learner, data, learner_and_data, None, lambda label, epoch, told=epochs: told.append(epoch))
        assert epochs == [1, 2, 3]
        assert not torch.distributed.is_initialized()
        found.append((run.folder.name, learner.state_dict()))
    (name, one), (other, two) = found
    assert name != other
    assert any(not tensor.equal(two[key]) for key, tensor in one.items()), "nothing was shared out"
    if method == "source-only":
        for key, tensor in one.items():
            assert tensor.allclose(two[key], atol=1e-4), key


class Other(BandMLP):
    """Breaks where it is not the first process that makes it."""

    def __init__(self, shape: StreamShape, how: Literal["raises", "dies"]) -> None:
        super().__init__(shape)
        if multiprocessing.parent_process() is not None:
            if how == "dies":
                os._exit(9)
            raise RuntimeError("this one is another")


@pytest.mark.slow
@pytest.mark.parametrize(("how", "told"), [("raises", "this one is another"), ("dies", "ended with exit code 9")])
def test_a_process_of_a_run_that_never_comes_is_not_waited_for(place: Place, door: Door, how: str, told: str) -> None:
    encoder = f"--model.encoders.eeg={{class_path: {__name__}.Other, init_args: {{how: {how}}}}}"
    answer = door(place.arguments("--data.corpus.subjects=[s01, s02]", "--compute.devices=2", encoder))
    assert answer.code == 1
    assert told in answer.err
    assert not place.done()


@pytest.mark.slow
def test_what_stops_one_process_of_a_run_is_told_and_stops_all(place: Place, door: Door) -> None:
    shortly = ("--trainer.max_epochs=3", "--data.corpus.subjects=[s01, s02]", "--compute.devices=2")
    answer = door(place.arguments(*shortly, "--methods.dann.alignment.weight=1e39"))
    assert answer.code == 1
    assert answer.err.count("a finite loss") == 2
    assert len(place.done()) == 2


# ---- SLURM


@pytest.fixture
def no_paths_of_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)


@pytest.mark.usefixtures("no_paths_of_tests")
def test_jobs_make_what_workers_make(place: Place, finished: Place, door: Door) -> None:
    """By submitit's local executor; what a job cannot do is told, the rest is done, and done for others, too."""
    pytest.importorskip("submitit")
    answer = door(
        place.arguments("--launcher={slurm: {executor: local, jobs: 1}}", "--methods.dann.alignment.weight=1e39")
    )
    assert answer.code == 1
    assert answer.err.count("a finite loss") == place.runs // 2
    made = {run.parent.name for run in place.done()}
    assert len(made) == place.runs // 2
    assert [*place.output.glob("small-*/slurm/*log.out")]
    stamps = {path: path.stat().st_mtime_ns for path in place.done()}
    answer = door(place.arguments())
    assert f"{place.runs} runs, {place.runs // 2} done" in answer.out
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    assert place.summary() == finished.summary()
    assert place.results() == finished.results()


@pytest.mark.slow
@pytest.mark.usefixtures("no_paths_of_tests")
def test_a_job_requeued_in_the_middle_ends_with_the_same_summary(
    place: Place, start: Start, door: Door, tmp_path: Path
) -> None:
    """On a real SLURM, where one runs here: `sinfo` answers."""
    if not shutil.which("sinfo") or subprocess.run(["sinfo"], capture_output=True).returncode:
        pytest.skip("no SLURM runs on this machine")
    slurm = "--launcher={slurm: {jobs: 1, minutes: 30}}"
    command = start(place.arguments(slurm, *LONG))
    wait_for(lambda: [*place.output.glob("runs/*/last.ckpt")])
    (checkpoint,) = place.output.glob("runs/*/last.ckpt")
    (pickled,) = place.output.glob("small-*/slurm/*_submitted.pkl")
    job = pickled.name.partition("_")[0]
    subprocess.run(["scontrol", "requeue", job], check=True)
    wait_for(lambda: "R" not in state(job))
    assert not (checkpoint.parent / "done").exists()
    subprocess.run(["scontrol", "update", f"JobId={job}", "StartTime=now"])  # or it waits two minutes
    answer = ended(command, 900)
    assert answer.code == 0, answer.err
    (log,) = place.output.glob("small-*/slurm/*log.out")
    assert log.read_text().count("Starting with") == 2
    elsewhere = tmp_path / "elsewhere"
    assert door(place.arguments(*LONG, f"--output={elsewhere}")).code == 0
    (expected,) = elsewhere.glob("small-*/summary.json")
    assert place.summary() == expected.read_bytes()


def state(job: str) -> str:
    return subprocess.run(["squeue", "-h", "-o", "%t", "-j", job], capture_output=True, text=True).stdout


# ---- Ray


OPEN = {"RAY_AUTH_MODE": "disabled", "RAY_raylet_start_wait_time_s": "120"}
"""No token, on this machine alone; and time, as it may be busy."""


PORTS = ("dashboard-agent-grpc-port", "dashboard-agent-listen-port", "metrics-export-port", "runtime-env-agent-port")


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Cluster:
    """A head and a second node on this machine, a processor each."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment | OPEN
        self.folder = tempfile.mkdtemp(prefix="ray-")  # short: sockets are in it
        self.address = f"127.0.0.1:{free_port()}"
        self.nodes = [self._node("--head", f"--port={self.address.rpartition(':')[2]}", "--include-dashboard=false")]
        wait_for(self._answers, 120)
        self.nodes.append(self._node(f"--address={self.address}"))

    def _node(self, *arguments: str) -> subprocess.Popen[bytes]:
        program = Path(sys.executable).with_name("ray")
        ports = [f"--{what}={free_port()}" for what in PORTS]  # or a node dies when its agents are slow to choose
        more = [f"--temp-dir={self.folder}"] if "--head" in arguments else []
        return subprocess.Popen(
            [program, "start", *arguments, *more, *ports, "--num-cpus=1", "--block", "--disable-usage-stats"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=self.environment,
        )

    def _answers(self) -> bool:
        host, _, port = self.address.rpartition(":")
        with socket.socket() as probe:
            return probe.connect_ex((host, int(port))) == 0

    def processes(self, name: str) -> list[int]:
        """Of this cluster's sessions, by a text in their command."""
        listed = subprocess.run(["ps", "-A", "-o", "pid=,sess=,args="], capture_output=True, text=True, check=True)
        rows = [line.split(maxsplit=2) for line in listed.stdout.splitlines()]
        ours = {str(node.pid) for node in self.nodes}
        return [int(row[0]) for row in rows if row[1] in ours and name in row[2]]

    def stop(self, node: int) -> None:
        listed = subprocess.run(["ps", "-A", "-o", "pid=,sess="], capture_output=True, text=True, check=True)
        for pid, session in (line.split() for line in listed.stdout.splitlines()):
            if session == str(self.nodes[node].pid):
                try:
                    os.kill(int(pid), signal.SIGKILL)
                except ProcessLookupError:
                    continue
        self.nodes[node].wait()


@pytest.fixture
def cluster(environment: dict[str, str]) -> Iterator[Cluster]:
    pytest.importorskip("ray")
    made = Cluster(environment)
    yield made
    for node in reversed(range(len(made.nodes))):
        made.stop(node)
    shutil.rmtree(made.folder, ignore_errors=True)


@pytest.mark.slow
def test_ray_loses_a_worker_and_then_its_head(
    place: Place, start: Start, door: Door, cluster: Cluster, tmp_path: Path
) -> None:
    ray = "--launcher={ray: {address: '" + cluster.address + "'}}"
    command = start(place.arguments(ray, *LONG), variables=OPEN)
    wait_for(lambda: [*place.output.glob("runs/*/last.ckpt")])
    at_work = cluster.processes("ray::_task")
    assert at_work
    os.kill(at_work[0], signal.SIGKILL)
    answer = ended(command, 900)
    assert answer.code == 0, answer.err
    elsewhere = tmp_path / "elsewhere"
    assert door(place.arguments(*LONG, f"--output={elsewhere}")).code == 0
    (expected,) = elsewhere.glob("small-*/summary.json")
    assert place.summary() == expected.read_bytes()

    more = (*LONG, "--seeds=[0, 1]")
    command = start(place.arguments(ray, *more), variables=OPEN)
    wait_for(lambda: [*place.output.glob("runs/*/last.ckpt")])
    cluster.stop(0)
    answer = ended(command, 300)
    assert answer.code == 2
    assert "the head of the Ray cluster does not answer, or no more" in answer.err
    assert "give the same command" in answer.err
    assert "Traceback" not in answer.err
    cluster.stop(1)
    done = {path: path.stat().st_mtime_ns for path in place.done()}
    assert len(done) >= 4
    answer = door(place.arguments(*more))  # on no cluster at all
    assert answer.code == 0, answer.err
    assert {path: path.stat().st_mtime_ns for path in done} == done
    assert len(place.done()) == 8
    assert {json.loads(path.read_text())["seeds"] == [0, 1] for path in place.output.glob("small-*/summary.json")}
