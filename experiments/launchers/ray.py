"""Runs on a Ray cluster: one that is there, or one started on this machine for as long as the command lasts."""

import os
import socket
import sys
import threading
import time
import uuid
from importlib import util
from pathlib import Path
from typing import Any

from affect.errors import UserError
from experiments.config import Ray
from experiments.launchers.base import Crew, Launcher, Report, Worker, watch
from experiments.launchers.processes import Died, in_processes, warm_up
from experiments.plan import Plan, make

THREADS = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
ROOT = Path(__file__).resolve().parents[2]
GONE = 3.0
"""For so long the head may be silent, s."""
PATIENCE = 120.0
"""The same, at the start."""


class OnRay(Launcher):
    """Tasks of Ray that each make runs until none is left.

    All machines see the project, the cache and the output under the same paths. Ray is talked to by a process of its
    own, because it ends the process that talks to it where the head is lost.
    """

    def __init__(self, settings: Ray) -> None:
        self.settings = settings

    def prepare(self) -> None:
        if util.find_spec("ray") is None:
            raise UserError("launcher.ray", "no package ray", "the extra of that name", "uv sync --extra ray")
        warm_up()

    def launch(self, plan: Plan, report: Report) -> list[str]:
        if all(run.done for run in plan.runs):
            return []
        worker = Worker(plan.experiment, plan.folder, uuid.uuid4().hex, str(Path.cwd()), waits=False)
        try:
            return in_processes(_Driver(self.settings, worker), 1, report)
        except Died:
            raise _gone(self.settings) from None


class _Driver:
    """Talks to Ray, in a process of its own."""

    def __init__(self, settings: Ray, worker: Worker) -> None:
        self.settings, self.worker = settings, worker

    def __call__(self, report: Report) -> list[str]:
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # what went wrong is said once, by us
        import ray

        os.chdir(self.worker.directory)
        plan = make(self.worker.experiment)
        silence = threading.Timer(PATIENCE, os._exit, [1])
        silence.daemon = True
        silence.start()
        try:
            ray.init(
                address=self.settings.address,
                runtime_env={"env_vars": {**THREADS, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path[:1]])}},
                log_to_driver=False,
                logging_level="ERROR",
                **({"include_dashboard": False} if self.settings.address == "local" else {}),
            )
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise UserError(
                "launcher.ray.address",
                f"{self.settings.address!r}: {str(error).splitlines()[0]}",
                "a Ray cluster that answers",
                "start one (ray start --head), or set --launcher.ray.address=local",
            ) from None
        silence.cancel()
        head = str(ray.get_runtime_context().gcs_address)
        found = watch(plan, self.worker.attempt, lambda most: _Tasks(self.settings, self.worker, most, head), report)
        ray.shutdown()
        return found


class _Tasks(Crew):
    """As many tasks as there are runs: the cluster begins those it has room for, the rest find nothing left.

    A task whose worker or machine is lost is begun again by Ray, and goes on from the checkpoint of its run.
    """

    def __init__(self, settings: Ray, worker: Worker, most: int, head: str) -> None:
        import ray

        self.settings, self.head, self.heard = settings, head, time.monotonic()
        task: Any = ray.remote(num_cpus=settings.cpus, num_gpus=settings.gpus, max_retries=settings.retries)(_task)
        self.waiting: list[Any] = [task.remote(worker) for _ in range(most)]
        self.ended: list[Any] = []

    def at_work(self) -> bool:
        import ray

        self._head_answers()
        ended, self.waiting = ray.wait(self.waiting, num_returns=len(self.waiting), timeout=0)
        self.ended += ended
        return bool(self.waiting)

    def errors(self) -> list[str]:
        import ray

        found = []
        for task in self.ended:
            try:
                ray.get(task)
            except ray.exceptions.RayError as error:
                found.append(str(getattr(error, "cause", None) or error))
        return found

    def _head_answers(self) -> None:
        host, _, port = self.head.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=GONE).close()
            self.heard = time.monotonic()
        except OSError:
            if time.monotonic() - self.heard > GONE:
                raise _gone(self.settings) from None


def _task(worker: Worker) -> list[str]:
    return worker()


def _gone(settings: Ray) -> UserError:
    return UserError(
        "launcher.ray.address",
        f"{settings.address!r}: the head of the Ray cluster does not answer, or no more",
        "a head that lives as long as the command",
        "start it again, and give the same command: finished runs are kept, begun ones go on from their checkpoints",
    )
