"""Runs side by side on this machine, each in a process with one thread."""

import os
import uuid
from pathlib import Path

from experiments.config import Compute, Local
from experiments.launchers.base import Launcher, Report, Worker, work
from experiments.launchers.processes import Died, in_processes, warm_up
from experiments.plan import Plan


class OnThisMachine(Launcher):
    """Long-lived workers that import once; a single one is this process itself.

    Args:
        compute: a GPU is not shared, nor is a run that has several devices: these are made one at a time.
    """

    def __init__(self, settings: Local, compute: Compute) -> None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        alone = compute.accelerator != "cpu" or compute.devices > 1
        self.workers = 1 if alone else settings.workers or cores

    def prepare(self) -> None:
        if self.workers > 1:
            warm_up()

    def launch(self, plan: Plan, report: Report) -> list[str]:
        count = min(self.workers, sum(not run.done for run in plan.runs))
        attempt = uuid.uuid4().hex
        if count < 2:
            return work(plan, report, attempt)
        try:
            worker = Worker(plan.experiment, plan.folder, attempt, str(Path.cwd()), waits=True)
            return in_processes(worker, count, report)
        except Died as death:
            return [str(death)]
