"""Runs as SLURM jobs (submitit): an array whose tasks each make runs until none is left."""

import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import util
from pathlib import Path
from typing import Any

from affect.errors import UserError
from experiments.config import Slurm
from experiments.launchers.base import Crew, Launcher, Report, Worker, watch
from experiments.plan import Plan

ROOT = Path(__file__).resolve().parents[2]


class OnSlurm(Launcher):
    """One array of jobs; this process waits for it, and cancels it at Ctrl-C.

    A job that is preempted, runs out of time or is requeued begins again, and goes on from the checkpoint of its run.
    All machines see the project, the cache and the output under the same paths.
    """

    def __init__(self, settings: Slurm) -> None:
        self.settings = settings

    def prepare(self) -> None:
        if util.find_spec("submitit") is None:
            raise UserError("launcher.slurm", "no package submitit", "the extra of SLURM", "uv sync --extra slurm")
        if self.settings.executor == "slurm" and shutil.which("sbatch") is None:
            raise UserError(
                "launcher.slurm",
                "no sbatch on this machine",
                "a machine that may submit jobs",
                "log in to one, or set --launcher.slurm.executor=local",
            )

    def launch(self, plan: Plan, report: Report) -> list[str]:
        attempt = uuid.uuid4().hex
        worker = _Job(plan.experiment, plan.folder, attempt, str(Path.cwd()), waits=False)
        crews: list[_Array] = []

        def gather(most: int) -> Crew:
            crews.append(_Array(self.settings, worker, min(self.settings.jobs, most), plan.folder / "slurm"))
            return crews[-1]

        try:
            return watch(plan, attempt, gather, report)
        finally:
            for crew in crews:
                crew.cancel()  # at Ctrl-C; and jobs that never began, when there is nothing left to do


class _Job(Worker):
    """What submitit begins again after a preemption or a timeout: the same, as the folders hold all there is."""

    def checkpoint(self) -> Any:
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


class _Array(Crew):
    """The jobs of one submission."""

    def __init__(self, settings: Slurm, worker: _Job, count: int, logs: Path) -> None:
        import submitit

        executor = submitit.AutoExecutor(logs, cluster=settings.executor, slurm_max_num_timeout=settings.timeouts)
        given = {
            "slurm_job_name": worker.experiment.name,
            "timeout_min": settings.minutes,
            "cpus_per_task": settings.cpus,
            "gpus_per_node": settings.gpus or None,
            "mem_gb": settings.memory_gb,
            "slurm_partition": settings.partition,
            "slurm_account": settings.account,
            "slurm_setup": settings.setup or None,
            "slurm_additional_parameters": {"requeue": True, **settings.more},
        }
        executor.update_parameters(**{key: value for key, value in given.items() if value is not None})
        self.settings = settings
        try:
            with _project_on_path():
                self.jobs: list[Any] = executor.map_array(_work, [worker] * count)
        except (RuntimeError, OSError) as error:
            raise UserError("launcher.slurm", str(error), "jobs that SLURM accepts", "see launcher.slurm.*") from None

    def at_work(self) -> bool:
        without = [job for job in self.jobs if not job.paths.result_pickle.exists()]
        if self.settings.executor == "local":
            return any(not job.done() for job in without)
        return bool(without) and bool({job.job_id for job in without} & self._queued())

    def _queued(self) -> set[str]:
        """Jobs that SLURM knows as waiting or running; asked of squeue, for sacct needs a data base."""
        command = ["squeue", "--noheader", "--array", "--format=%i", f"--jobs={self._array()}"]
        answer = subprocess.run(command, capture_output=True, text=True)
        if answer.returncode and "Invalid job id" not in answer.stderr:
            return {job.job_id for job in self.jobs}  # the controller is busy, or restarts
        return set(answer.stdout.split())

    def errors(self) -> list[str]:
        found = [error for job in self.jobs if job.paths.result_pickle.exists() and (error := job.exception())]
        return [str(error) for error in found] or [
            f"the jobs ended before they made a run; see {self.jobs[0].paths.folder}"
        ]

    def cancel(self) -> None:
        if self.settings.executor == "local":
            for job in self.jobs:
                job.cancel()
        else:
            subprocess.run(["scancel", self._array()], capture_output=True)

    def _array(self) -> str:
        return str(self.jobs[0].job_id).partition("_")[0]


def _work(worker: _Job) -> list[str]:
    return worker()


@contextmanager
def _project_on_path() -> Iterator[None]:
    """Jobs inherit this process's variables, and import the project."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *([before] if before else [])])
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
