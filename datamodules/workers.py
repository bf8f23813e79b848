"""Preparing people side by side: each process writes parts of its own, which are adopted in the order of people."""

import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from affect.errors import SetupError, UserError
from datamodules.atomic import disk_space
from datamodules.preparation import Facts, Task, prepare_person
from datamodules.store import Store, file_name

Result = tuple[str, dict[str, Facts] | UserError]
_WORTH = 4.0  # seconds of work left that starting processes pays for
_LONG = 60.0  # the same, after a first person who may have waited for imports


def work(tasks: Sequence[Task], stores: Mapping[str, Store], workers: int = 0) -> Iterator[Result]:
    """Prepare every task; a person's bytes are at the end of their stores when the result is yielded, uncommitted.

    People are prepared here until it shows that the others will take long: these are shared out.

    Args:
        stores: name → store, of all names the tasks write to.
        workers: processes at most; 0 is one for each core.
    """
    if not tasks:
        return
    for name in stores:
        shutil.rmtree(_parts(name), ignore_errors=True)  # of workers that were killed
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    alone = multiprocessing.current_process().daemon  # a worker of the experiment may not start more
    rest = deque(tasks)
    while rest:
        began = time.perf_counter()
        yield _here(rest.popleft(), stores)
        left = (time.perf_counter() - began) * len(rest)
        count = min(workers or cores, len(rest))
        first = len(rest) == len(tasks) - 1 and left < _LONG  # paid for imports, too
        if count > 1 and left > _WORTH and not alone and not first:
            yield from _shared_out(rest, stores, count)
            break
    for name in stores:
        shutil.rmtree(_parts(name), ignore_errors=True)


def _shared_out(rest: "deque[Task]", stores: Mapping[str, Store], count: int) -> Iterator[Result]:
    """Prepared by other processes, in the order of people; what is ready early waits on disk, so few may."""
    with _pool(count) as pool:
        waiting: deque[tuple[Task, Future[dict[str, Facts] | UserError]]] = deque()
        while rest or waiting:
            while rest and len(waiting) <= 2 * count:
                task = rest.popleft()
                waiting.append((task, pool.submit(_elsewhere, task)))
            yield _adopted(*waiting.popleft(), stores)


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
            "launcher.local.workers",
            f"a process preparing {task.person} was killed, as happens when memory runs out",
            "memory for as many people at a time as there are workers",
            "set --launcher.local.workers=1; people who are finished are kept",
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
    return _parts(store) / f"{file_name(person)}.bin"


@contextmanager
def _pool(count: int) -> Iterator[ProcessPoolExecutor]:
    """Worker processes that die with this one, and leave Ctrl-C to it."""
    context = multiprocessing.get_context("forkserver")
    pool = ProcessPoolExecutor(count, context, initializer=end_with_parent)
    try:
        yield pool
    except BaseException:
        for process in list((pool._processes or {}).values()):
            process.terminate()
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


def end_with_parent() -> None:
    """Of a worker: Ctrl-C is its parent's to answer, and it ends when its parent has."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)  # nobody is listening any more

    threading.Thread(target=follow, daemon=True).start()
