"""One run on several devices: Lightning's DDP, with every process beside the first given the run as a worker is.

The windows of a step are shared out, gradients averaged. What a step computes over its windows, the distances between
domains above all, is computed over each device's share: more devices are smaller batches to it, of an effect of their
own. Validation, embeddings of frozen encoders and what follows training are not divided.
"""

import multiprocessing
import os
import signal
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from pytorch_lightning.callbacks import Callback

from affect.errors import UserError
from affect.learners.base import Learner
from datamodules.module import FoldData
from datamodules.workers import end_with_parent
from experiments.config import Experiment
from experiments.plan import Plan, Run, make

Build = Callable[[Plan, Run], tuple[Learner, FoldData]]
"""Makes what is trained; a function of a module, as it goes to other processes by its name."""

PATIENCE = 60.0
"""For which the other processes may take to end after the first, s."""


class Rank(LightningEnvironment):
    """Which of a run's processes this is. Whatever cluster is around, a run knows of its own processes alone."""

    def __init__(self, rank: int = 0, port: int | None = None) -> None:
        super().__init__()
        self.rank = rank
        if port is not None:
            self._main_port = port

    @property
    def creates_processes_externally(self) -> bool:
        return True  # `beside` does

    @property
    def main_address(self) -> str:
        return "127.0.0.1"

    def local_rank(self) -> int:
        return self.rank

    def node_rank(self) -> int:
        return 0


class OwnSignals(Callback):
    """Gives SIGTERM back to whom it belonged: Lightning waits for processes that heard of no signal."""

    def __init__(self) -> None:
        self.own = signal.getsignal(signal.SIGTERM)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self.own)


@contextmanager
def beside(plan: Plan, run: Run, build: Build) -> Iterator[Rank]:
    """The run's other processes train along while this is open; with one device there are none.

    Raises:
        UserError: what one of them raised.
    """
    devices = run.experiment.compute.devices
    if devices == 1:
        yield Rank()
        return
    port = _free_port()
    context = multiprocessing.get_context("spawn")
    others: list[tuple[BaseProcess, Connection]] = []
    try:
        for rank in range(1, devices):
            receiver, sender = context.Pipe(duplex=False)
            given = (plan.experiment, run.folder.name, build, Rank(rank, port), str(Path.cwd()), sender)
            other = context.Process(target=_train_along, args=given, daemon=True)
            other.start()
            sender.close()  # the other's end is the only one: what is read here ends with it
            others.append((other, receiver))
        for process, receiver in others:
            _listen(process, receiver)  # until it is ready: nobody waits at the meeting point for one that never comes
        yield Rank(0, port)
        for process, _ in others:
            process.join(PATIENCE)  # the last one to leave the last barrier
    except RuntimeError:  # of torch.distributed, perhaps: that this one waited in vain
        for process, receiver in others:
            process.join(1.0)
            if process.exitcode is not None:
                _listen(process, receiver)
        raise
    finally:
        for process, _ in others:
            process.kill()  # Lightning answers SIGTERM by waiting for the others
            process.join()
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()  # the next run's is another


def _listen(process: BaseProcess, receiver: Connection) -> None:
    """Wait for a process's word, and raise what it could not do."""
    try:
        said = receiver.recv()
    except EOFError:
        process.join()
        if process.exitcode == 0:
            return
        found = f"one of the run's processes ended with exit code {process.exitcode}"
        raise UserError("compute.devices", found, "all of them to the end", "is there memory for each?") from None
    if isinstance(said, Exception):
        raise said


def _train_along(
    experiment: Experiment, name: str, build: Build, rank: Rank, directory: str, sender: Connection
) -> None:
    from experiments.fit import train

    end_with_parent()
    for sent_to_all in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):  # by SLURM; the first process answers
        signal.signal(sent_to_all, signal.SIG_IGN)
    os.chdir(directory)
    torch.set_num_threads(1)
    try:
        if experiment.compute.accelerator == "gpu":
            torch.cuda.set_device(rank.rank)
        plan = make(experiment)
        run = next((run for run in plan.runs if run.folder.name == name), None)
        if run is None:
            raise UserError(name, "code or data that changed during the start", "both at rest", "run it again")
        learner, data = build(plan, run)
        sender.send(None)
        train(run, learner, data, rank)
    except UserError as error:
        sender.send(error)
    except Exception:  # whatever it was, the first process waits to hear of it
        sender.send(RuntimeError(traceback.format_exc()))


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
