"""Preparing people side by side: each process writes parts of its own, which are adopted in the order of people."""

import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from affect.errors import SetupError, UserError
from datamodules.atomic import disk_space
from datamodules.preparation import Facts, Task, prepare_person
from datamodules.store import Store

Result = tuple[str, dict[str, Facts] | UserError]
_WORTH = 4.0  # seconds of work left that starting processes pays for


def work(tasks: Sequence[Task], stores: Mapping[str, Store], workers: int = 0) -> Iterator[Result]:
    """Prepare every task; a person's bytes are at the end of their stores when the result is yielded, uncommitted.

    The first person is prepared here; if the others will take long, they are shared out.

    Args:
        stores: name → store, of all names the tasks write to.
        workers: processes at most; 0 is one for each core.
    """
    if not tasks:
        return
    for name in stores:
        shutil.rmtree(_parts(name), ignore_errors=True)  # of workers that were killed
    began = time.perf_counter()
    yield _here(tasks[0], stores)
    left = (time.perf_counter() - began) * (len(tasks) - 1)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    count = min(workers or cores, len(tasks) - 1)
    alone = multiprocessing.current_process().daemon  # a worker of the experiment may not start more
    if count < 2 or left < _WORTH or alone:
        yield from (_here(task, stores) for task in tasks[1:])
        return
    with _pool(count) as pool:
        waiting: list[tuple[Task, Future[dict[str, Facts] | UserError]]] = []
        rest = iter(tasks[1:])
        for task in rest:
            waiting.append((task, pool.submit(_elsewhere, task)))
            if len(waiting) <= 2 * count:  # what is ready early waits on disk: bounded
                continue
            yield _adopted(*waiting.pop(0), stores)
        for task, future in waiting:
            yield _adopted(task, future, stores)
    for name in stores:
        shutil.rmtree(_parts(name), ignore_errors=True)


def _here(task: Task, stores: Mapping[str, Store]) -> Result:
    with ExitStack() as stack:
        files = {name: stack.enter_context(stores[name].tail()) for name in task.stores()}
        try:
            return task.person, prepare_person(task, files)
        except SetupError:
            raise
        except UserError as error:
            return task.person, error


def _elsewhere(task: Task) -> dict[str, Facts] | UserError:
    """In a worker: into part files beside the stores."""
    with ExitStack() as stack:
        files: dict[str, BinaryIO] = {}
        for name in task.stores():
            part = _part(name, task.person)
            part.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(disk_space(part.parent))
            files[name] = stack.enter_context(part.open("wb"))
        try:
            return prepare_person(task, files)
        except SetupError:
            raise
        except UserError as error:
            return error


def _adopted(task: Task, future: "Future[dict[str, Facts] | UserError]", stores: Mapping[str, Store]) -> Result:
    try:
        result = future.result()
    except BrokenProcessPool:
        raise UserError(
            "compute.workers",
            f"a process preparing {task.person} was killed, as happens when memory runs out",
            "memory for as many people at a time as there are workers",
            "set --compute.workers=1; people who are finished are kept",
        ) from None
    for name in task.stores():
        part = _part(name, task.person)
        if isinstance(result, UserError):
            part.unlink(missing_ok=True)
        else:
            stores[name].adopt(part)
    return task.person, result


def _parts(store: str) -> Path:
    return Path(store) / "parts"


def _part(store: str, person: str) -> Path:
    return _parts(store) / f"{quote(person, safe=' ')[:150]}.bin"


@contextmanager
def _pool(count: int) -> Iterator[ProcessPoolExecutor]:
    """Worker processes that die with this one, and leave Ctrl-C to it."""
    context = multiprocessing.get_context("forkserver")
    pool = ProcessPoolExecutor(count, context, initializer=_follow)
    try:
        yield pool
    except BaseException:
        for process in list((pool._processes or {}).values()):
            process.terminate()
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


def _follow() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)  # nobody is listening any more

    threading.Thread(target=follow, daemon=True).start()
