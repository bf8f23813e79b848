"""Running a plan: worker processes take runs one by one, and a lock on each run's folder keeps them apart.

The lock is all the coordination there is, so the same command started twice, on one machine or on many that share
the output folder, divides the work. A killed process loses its lock with its life.
"""

import multiprocessing
import os
import queue
import signal
import threading
import traceback
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from affect.errors import UserError
from experiments.config import Experiment
from experiments.plan import Plan, Run, make

Report = Callable[[str, int], None]


def workers_for(experiment: Experiment, pending: int) -> int:
    """How many runs to make at a time."""
    if experiment.compute.accelerator != "cpu":
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(experiment.compute.workers or cores, pending))


def warm_up() -> None:
    """Let the workers' imports (torch, Lightning: seconds) begin while the data is being prepared."""
    multiprocessing.set_forkserver_preload(["experiments.execute"])
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # inherited: Ctrl-C is for this process alone
    try:
        forkserver.ensure_running()
    finally:
        signal.signal(signal.SIGINT, before)


def launch(plan: Plan, report: Report) -> list[str]:
    """Make every run of the plan that is not done.

    Args:
        report: called with a run's label and its finished epochs, from this process.

    Returns:
        What went wrong, a text for each run that failed; the others are finished all the same.
    """
    pending = sum(not run.done for run in plan.runs)
    count = workers_for(plan.experiment, pending)
    if pending == 0:
        return []
    attempt = uuid.uuid4().hex
    if count == 1:
        return work(plan, report, attempt)
    warm_up()
    context = multiprocessing.get_context("forkserver")
    messages: Any = context.Queue()
    workers = [
        context.Process(target=_worker, args=(plan.experiment, plan.folder, messages, attempt), daemon=True)
        for _ in range(count)
    ]
    try:
        with _held_back():
            for worker in workers:
                worker.start()
        return _listen(workers, messages, report)
    finally:
        for worker in workers:
            if worker.pid is not None:
                worker.terminate()
                worker.join()


@contextmanager
def _held_back() -> Iterator[None]:
    """Ctrl-C waits: a worker half started would not be stopped."""
    pressed: list[bool] = []
    before = signal.signal(signal.SIGINT, lambda *_: pressed.append(True))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        raise KeyboardInterrupt


def work(plan: Plan, report: Report, attempt: str) -> list[str]:
    """Make runs in this process until none is left; those another process holds are waited for, then looked at.

    Args:
        attempt: name of this launch; a run that failed in it is not tried by its other workers.
    """
    import torch

    torch.set_num_threads(1)  # the result of a run must not depend on how many run beside it
    failures: list[str] = []
    waiting = [run for run in plan.runs if not run.done]
    patience = 0.0
    while waiting:
        busy = []
        for run in waiting:
            run.folder.mkdir(parents=True, exist_ok=True)
            try:
                with FileLock(run.folder / ".lock", timeout=patience):
                    if not run.done and not _failed_in(run.folder, attempt):
                        failures += _attempt(plan, run, report, attempt)
            except Timeout:
                busy.append(run)
        waiting, patience = busy, 1.0
    return failures


def _attempt(plan: Plan, run: Run, report: Report, attempt: str) -> list[str]:
    """Execute a run; one run's failure must not cost the others, so it is written down and handed back."""
    from experiments.execute import execute

    failed = run.folder / "failed.txt"
    failed.unlink(missing_ok=True)
    try:
        execute(plan, run, report)
        return []
    except UserError as error:
        with suppress(OSError):  # the disk may be full
            failed.write_text(f"{attempt}\n{error}\n")
        return [f"{run.label}: {error}"]
    except Exception as error:
        text = traceback.format_exc()
        with suppress(OSError):
            failed.write_text(f"{attempt}\n{text}")
        return [f"{run.label}: {type(error).__name__}: {error}\n  see {failed}"]


def _failed_in(folder: Path, attempt: str) -> bool:
    failed = folder / "failed.txt"
    return failed.exists() and failed.read_text().startswith(attempt)


def _worker(experiment: Experiment, folder: Path, messages: Any, attempt: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)  # nobody is listening any more

    threading.Thread(target=follow, daemon=True).start()
    try:
        plan = make(experiment)
        if plan.folder != folder:  # other runs than those that are waited for
            raise UserError(folder, "code or data that changed during the start", "both at rest", "run it again")
        failures = work(plan, lambda label, epochs: messages.put((label, epochs)), attempt)
    except UserError as error:
        failures = [str(error)]
    except Exception:
        failures = [traceback.format_exc()]
    messages.put(failures)


def _listen(workers: Sequence[BaseProcess], messages: Any, report: Report) -> list[str]:
    failures: list[str] = []
    finished = 0
    while finished < len(workers):
        try:
            message = messages.get(timeout=1.0)
        except queue.Empty:
            dead = [worker for worker in workers if worker.exitcode not in (None, 0)]
            if dead:
                failures.append(f"{len(dead)} worker processes died (exit codes {[w.exitcode for w in dead]})")
                return failures
            continue
        if isinstance(message, list):
            failures += message
            finished += 1
        else:
            report(*message)
    return failures
