"""What launchers share: workers that take runs one by one, a lock on each run's folder, and who watches them.

The lock is all the coordination there is, so the same command started twice, on one machine or on many that share
the output folder, divides the work. A killed process loses its lock with its life.
"""

import os
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from affect.errors import UserError
from experiments.config import Experiment
from experiments.plan import Plan, Run, make

Report = Callable[[str, int], None]
"""Called with a run's label and its finished epochs, in the process that was given the command."""


class Launcher(ABC):
    """Makes the runs of a plan, somewhere."""

    workers: int = 1
    """Processes of this machine among which runs are divided."""

    def prepare(self) -> None:  # noqa: B027
        """What can begin while the data is being prepared, and what must be there at all.

        Raises:
            UserError: a package, a program or a cluster that is not there.
        """

    @abstractmethod
    def launch(self, plan: Plan, report: Report) -> list[str]:
        """Make every run of the plan that is not done.

        Returns:
            What went wrong, a text for each run that failed; the others are finished all the same.
        """


@dataclass(frozen=True)
class Worker:
    """Takes runs of a plan until none is left; goes by pickle to where it works, which sees the same folders.

    Args:
        folder: of the plan, as the launcher knows it.
        attempt: name of this launch; a run that failed in it is not tried by its other workers.
        directory: where relative paths begin.
    """

    experiment: Experiment
    folder: Path
    attempt: str
    directory: str
    waits: bool

    def __call__(self, report: Report = lambda label, epochs: None) -> list[str]:
        os.chdir(self.directory)
        plan = make(self.experiment)
        if plan.folder != self.folder:  # other runs than those that are waited for
            raise UserError(self.folder, "code or data that changed during the start", "both at rest", "run it again")
        return work(plan, report, self.attempt, self.waits)


def work(plan: Plan, report: Report, attempt: str, waits: bool = True) -> list[str]:
    """Make runs in this process until none is left.

    Args:
        waits: whether runs that another process holds are waited for, then looked at; or left to it.
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
                    if not run.done and failure_in(run, attempt) is None:
                        failures += _attempt(plan, run, report, attempt)
            except Timeout:
                busy.append(run)
        waiting, patience = busy if waits else [], 1.0
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


def failure_in(run: Run, attempt: str) -> str | None:
    """Why a run failed in this launch."""
    try:
        name, _, text = (run.folder / "failed.txt").read_text().partition("\n")
    except FileNotFoundError:
        return None
    return text.strip() if name == attempt else None


class Crew(ABC):
    """Workers on other machines, of which nothing is heard but what they leave in the folders of runs."""

    @abstractmethod
    def at_work(self) -> bool:
        """Whether one of them still is, or will be."""

    @abstractmethod
    def errors(self) -> list[str]:
        """What stopped those that ended before they could make runs."""


def watch(plan: Plan, attempt: str, gather: Callable[[int], Crew], report: Report, pause: float = 1.0) -> list[str]:
    """Have crews make the runs, and tell of each as its folder does.

    Args:
        gather: the most workers there is something to do for → a crew.
        pause: between looks at the folders, s.
    """
    failures: list[str] = []
    waiting = [run for run in plan.runs if not run.done]
    while waiting:
        before, crew = len(waiting), gather(len(waiting))
        working = True
        while working and waiting:
            working = crew.at_work()  # asked before the look at the folders: what the last one left is seen
            waiting = _looked_at(waiting, attempt, failures, plan.experiment.trainer.max_epochs, report)
            if working and waiting:
                time.sleep(pause)
        held = [run for run in waiting if _held(run)]
        if waiting and not held and len(waiting) == before:
            ended = crew.errors() or ["all workers ended before they made a run"]
            return [*failures, *dict.fromkeys(ended)]
        while waiting and len(held) == len(waiting):  # by the same command elsewhere
            time.sleep(pause)
            waiting = _looked_at(waiting, attempt, failures, plan.experiment.trainer.max_epochs, report)
            held = [run for run in waiting if _held(run)]
    return failures


def _looked_at(waiting: Sequence[Run], attempt: str, failures: list[str], epochs: int, report: Report) -> list[Run]:
    """Those that are still neither done nor failed."""
    left = []
    for run in waiting:
        if run.done:
            report(run.label, epochs)
        elif (text := failure_in(run, attempt)) is not None:
            failures.append(f"{run.label}: {text}")
        else:
            left.append(run)
    return left


def _held(run: Run) -> bool:
    try:
        with FileLock(run.folder / ".lock", timeout=0):
            return False
    except Timeout:
        return True
    except FileNotFoundError:  # nobody has begun it
        return False
