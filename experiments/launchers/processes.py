"""Processes of this machine that begin with everything imported, die with this one and leave Ctrl-C to it."""

import multiprocessing
import queue
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from typing import Any

from affect.errors import UserError
from datamodules.workers import end_with_parent
from experiments.launchers.base import Report

Task = Callable[[Report], list[str]]


class Died(Exception):
    """A process ended without a word."""


def warm_up() -> None:
    """Let the imports (torch, Lightning: seconds) begin while the data is being prepared."""
    multiprocessing.set_forkserver_preload(["experiments.execute"])
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # inherited: Ctrl-C is for this process alone
    try:
        forkserver.ensure_running()
    finally:
        signal.signal(signal.SIGINT, before)


def in_processes(task: Task, count: int, report: Report) -> list[str]:
    """Call `task` in so many processes; what all of them return, together.

    Raises:
        UserError: raised by one of them; the others are stopped.
        Died: one was killed.
    """
    warm_up()
    context = multiprocessing.get_context("forkserver")
    messages: Any = context.Queue()
    workers = [context.Process(target=_in_process, args=(task, messages), daemon=True) for _ in range(count)]
    try:
        with _held_back():
            for worker in workers:
                worker.start()
        found = _listen(workers, messages, report)
        for worker in workers:
            worker.join(10.0)  # on their own they leave nothing behind
        return found
    finally:
        for worker in workers:
            if worker.pid is not None:
                worker.terminate()
                worker.join()


@contextmanager
def _held_back() -> Iterator[None]:
    """Ctrl-C waits: a worker half started would not be stopped."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed: list[bool] = []
    before = signal.signal(signal.SIGINT, lambda *_: pressed.append(True))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        raise KeyboardInterrupt


def _in_process(task: Task, messages: Any) -> None:
    end_with_parent()
    result: list[str] | UserError
    try:
        result = task(lambda label, epochs: messages.put((label, epochs)))
    except UserError as error:
        result = error
    except Exception:  # whatever it was, the parent waits to hear of it
        result = [traceback.format_exc()]
    messages.put(result)


def _listen(workers: Sequence[BaseProcess], messages: Any, report: Report) -> list[str]:
    failures: list[str] = []
    finished = 0
    while finished < len(workers):
        try:
            message = messages.get(timeout=1.0)
        except queue.Empty:
            dead = [worker.exitcode for worker in workers if worker.exitcode not in (None, 0)]
            if dead:
                raise Died(f"{len(dead)} worker processes died (exit codes {dead})") from None
            continue
        if isinstance(message, UserError):
            raise message
        if isinstance(message, list):
            failures += message
            finished += 1
        else:
            report(*message)
    return failures
