"""One person's trials: read once, checked, through their steps and features, appended to the stores."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from affect.batch import Signal, Video
from affect.errors import SetupError, UserError
from affect.preprocessing.step import Features, Step, VideoStep
from datamodules.corpora.base import Corpus, Source, Trial
from datamodules.quality import Quality, check_rating, inspect
from datamodules.windowing import Windowing, compute

Facts = dict[str, Any]
_FINE = Quality()


@dataclass(frozen=True)
class Recipe:
    """How one stream of an experiment is made.

    Args:
        of: stream of the corpus.
        steps: whole trials go through.
        features: of windows; None for samples.
        input: whether networks see it; a stream of ratings over time only makes targets.
    """

    of: str
    steps: tuple[Step | VideoStep, ...] = ()
    features: Features | None = None
    input: bool = True


@dataclass(frozen=True)
class Wanted:
    """One stream to prepare for one person; a path is None where that product is there already.

    Args:
        of: stream of the corpus.
        steps: it goes through.
        content: hash of the files it is read from.
        raw: name of the store of the signal.
        features: name of a store → features of the windows.
        kept: where `raw` is there already: its file, and the person's entry in its journal.
    """

    of: str
    steps: tuple[Step | VideoStep, ...]
    content: str
    raw: str | None
    features: Mapping[str, Features]
    kept: tuple[Path, Facts] | None = None

    def stores(self) -> list[str]:
        """Names of the stores that are written to."""
        return [*([self.raw] if self.raw else []), *self.features]


@dataclass(frozen=True)
class Task:
    """What is to be prepared of one person.

    Args:
        rows: of the trials table, where they are there already.
        table: name of the store of the trials table.
    """

    corpus: Corpus
    person: str
    wanted: list[Wanted]
    rows: list[Facts] | None
    window: Windowing
    table: str

    def stores(self) -> list[str]:
        """Names of the stores that are written to."""
        return [name for w in self.wanted for name in w.stores()]


def prepare_person(task: Task, files: Mapping[str, BinaryIO]) -> dict[str, Facts]:
    """Append what is wanted of a person to the open files.

    Args:
        files: store name → where its bytes go.

    Returns:
        Store name → facts for its journal: `size` in bytes, `kind` of the signal, and of each of the `trials` its
        place or its `problem`; of the trials table, its rows.

    Raises:
        UserError: what spoils the whole person.
    """
    with ThreadPoolExecutor(1) as helper:
        return _prepared(task, _Products(files, helper))


def _prepared(task: Task, product: "_Products") -> dict[str, Facts]:
    fresh = [w for w in task.wanted if w.kept is None]
    rows = task.rows
    if rows is None or fresh:
        rows = []
        asked = dict.fromkeys([*(w.of for w in fresh), *(b for w in fresh for s in w.steps for b in _beside(s))])
        for trial in task.corpus.trials(task.person, [s for s in asked if s in task.corpus.streams]):
            rows.append(_row(task.corpus, trial))
            opened: dict[str, Signal | Video | UserError] = {}
            for w in fresh:
                _add(trial, w, task.window, product, opened)
    for w in task.wanted:
        if w.kept is not None:
            _from_kept(w, rows, task.window, product)
    return {task.table: {"size": 0, "trials": rows}, **product.facts()}


class _Products:
    """The open files, and what is in them so far.

    While a trial is read, a helper thread writes the one before it and makes its features.
    """

    def __init__(self, files: Mapping[str, BinaryIO], helper: Executor) -> None:
        self.files, self.helper = files, helper
        self.last: Future[None] | None = None
        self.size = dict.fromkeys(files, 0)
        self.kind: dict[str, Facts] = {}
        self.trials: dict[str, list[Facts]] = {name: [] for name in files}

    def later(self, keep: Callable[[], None]) -> None:
        """Have the helper keep something after what came before it, which is done then: this bounds memory."""
        self.finish()
        self.last = self.helper.submit(keep)

    def finish(self) -> None:
        """Wait for the helper; what went wrong there is raised here."""
        if self.last is not None:
            self.last.result()

    def write(self, name: str, array: NDArray[Any], facts: Facts, quality: Quality = _FINE) -> None:
        self.trials[name].append({"at": self.size[name], **facts, **_told(quality)})
        self.size[name] += array.nbytes
        self.files[name].write(np.ascontiguousarray(array).data)

    def absent(self, name: str, problem: UserError | None = None, quality: Quality = _FINE) -> None:
        entry = {} if problem is None else {"problem": as_facts(problem)}
        self.trials[name].append({**entry, **_told(quality)})

    def facts(self) -> dict[str, Facts]:
        """All that was written, once it is."""
        self.finish()
        return {
            name: {"size": self.size[name], "kind": self.kind.get(name), "trials": self.trials[name]}
            for name in self.files
        }


def _row(corpus: Corpus, trial: Trial | UserError) -> Facts:
    if isinstance(trial, UserError):
        return {"where": trial.where, "problem": as_facts(trial)}
    row: Facts = {
        "subject": trial.subject,
        "session": trial.session,
        "stimulus": trial.stimulus,
        "onset": trial.onset,
        "where": trial.where,
        "ratings": dict(trial.ratings),
        "group": dict(trial.group),
    }
    try:
        for name, value in trial.ratings.items():
            check_rating(name, value, corpus.ratings[name], trial.where)
    except UserError as error:
        row["problem"] = as_facts(error)
    return row


def _add(
    trial: Trial | UserError,
    w: Wanted,
    window: Windowing,
    product: _Products,
    opened: dict[str, Signal | Video | UserError],
) -> None:
    """Read one stream of one trial, and have it kept."""
    problem, signal, quality = None, None, Quality()
    if not isinstance(trial, UserError) and w.of in trial.streams:
        try:
            source = _open(trial, w.of, opened)
            if isinstance(source, Signal):
                quality = inspect(source, w.of, trial.where)
            if quality.problem and not _repaired(quality, w.steps):
                raise quality.problem
            signal = _through(trial, source, w, opened)
            if (
                w.steps
                and signal.data.dtype.kind == "f"
                and not np.isfinite(signal.data).all()
                and w.of != "annotation"
            ):
                raise _refused(trial.where, w.of, w.steps[-1], ValueError("samples that are not finite came out"))
        except SetupError:
            raise
        except UserError as error:
            problem = error
    if signal is None or isinstance(trial, UserError):
        product.later(partial(_absent, w, product, problem, quality))
    else:
        product.later(partial(_keep, signal, quality, trial.onset, trial.where, w, window, product))


def _keep(
    signal: Signal, quality: Quality, onset: float, where: str, w: Wanted, window: Windowing, product: _Products
) -> None:
    """One stream of one trial into its stores."""
    if w.raw:
        kind = {
            "rate": signal.rate,
            "channels": list(signal.channels),
            "unit": signal.unit,
            "size": list(signal.data.shape[2:]),
            "dtype": signal.data.dtype.str,
        }
        if (first := product.kind.setdefault(w.raw, kind)) != kind:
            _absent(w, product, other_kind(w.of, kind, first, where))
            return
        product.write(w.raw, signal.data.swapaxes(0, 1), {"length": signal.data.shape[1]}, quality)
    _features(signal, onset, where, w, window, product)


def _absent(w: Wanted, product: _Products, problem: UserError | None = None, quality: Quality = _FINE) -> None:
    for name in w.stores():
        product.absent(name, problem, quality)


def _repaired(quality: Quality, steps: Sequence[Step | VideoStep]) -> bool:
    """Whether a step takes care of what is wrong."""
    own = [step for step in steps if isinstance(step, Step)]
    return bool(
        (quality.dead and any(step.repairs_dead for step in own))
        or (quality.missing and any(step.repairs_missing for step in own))
    )


def other_kind(stream: str, found: Facts, expected: Facts, where: str) -> UserError:
    """A stream that is not what it was before."""
    return UserError(
        where,
        f"{stream} at {found['rate']:g} Hz with channels {found['channels']} in {found['unit']}",
        f"{expected['rate']:g} Hz with channels {expected['channels']} in {expected['unit']}, as before it",
        "add a Resample or Channels step, or leave this subject out with --data.corpus.subjects",
    )


def _open(trial: Trial, stream: str, opened: dict[str, Signal | Video | UserError]) -> Signal | Video:
    """The stream's signal or video, read once however many recipes ask for it."""
    if stream not in opened:
        source: Source = trial.streams[stream]
        try:
            opened[stream] = source() if callable(source) else source
        except UserError as error:
            opened[stream] = error
    found = opened[stream]
    if isinstance(found, UserError):
        raise found
    return found


def _through(trial: Trial, source: Signal | Video, w: Wanted, opened: dict[str, Signal | Video | UserError]) -> Signal:
    """The signal after its steps; what a step refuses, by the name of the trial."""
    current: Signal | Video = source
    for step in w.steps:
        try:
            if isinstance(step, VideoStep):
                if not isinstance(current, Video):
                    raise ValueError("not a video")
                current = step(current)
            else:
                if isinstance(current, Video):
                    raise ValueError("a video; its first step must make pictures of it, for example FaceCrops")
                others = {name: _beside_signal(trial, name, opened) for name in step.beside}
                current = step(current, **others)
        except ValueError as error:
            where = current.where if isinstance(current, Video) else trial.where
            raise _refused(where, w.of, step, error) from None
    if isinstance(current, Video):
        raise SetupError(
            f"data.streams.{w.of}.steps", "none for a video", "a first step that makes pictures of it", "add FaceCrops"
        )
    return current


def _beside(step: Step | VideoStep) -> tuple[str, ...]:
    return step.beside if isinstance(step, Step) else ()


def _beside_signal(trial: Trial, name: str, opened: dict[str, Signal | Video | UserError]) -> Signal | None:
    found = _open(trial, name, opened) if name in trial.streams else None
    return found if isinstance(found, Signal) else None


def _features(signal: Signal, onset: float, where: str, w: Wanted, window: Windowing, product: _Products) -> None:
    for name, features in w.features.items():
        try:
            rows = compute(features, signal, onset, window)
            if not np.isfinite(rows[1:]).all():
                raise ValueError("features that are not finite numbers")
        except UserError as error:  # about weights, a missing package: no other recording would fare better
            raise SetupError(error.where, error.found, error.expected, error.remedy) from None
        except ValueError as error:
            product.absent(name, _refused(where, w.of, features, error))
            continue
        channels = features.channels(signal.channels)
        product.kind.setdefault(name, {"channels": list(channels), "names": list(features.names())})
        product.write(name, rows, {"count": len(rows) - 1})


def _from_kept(w: Wanted, rows: list[Facts], window: Windowing, product: _Products) -> None:
    """Features of signals that were prepared before."""
    assert w.kept is not None
    file, entry = w.kept
    kind = entry["kind"]
    for trial, place in zip(rows, entry["trials"], strict=True):
        if "at" not in place:
            product.later(partial(_absent, w, product))
            continue
        shape = (place["length"], len(kind["channels"]), *kind["size"])
        data = np.memmap(file, np.dtype(kind["dtype"]), "r", offset=entry["start"] + place["at"], shape=shape)
        signal = Signal(np.ascontiguousarray(data.swapaxes(0, 1)), kind["rate"], tuple(kind["channels"]), kind["unit"])
        product.later(partial(_features, signal, trial["onset"], trial["where"], w, window, product))


def as_facts(problem: UserError) -> list[str]:
    """An error as the journal keeps it; `UserError(*facts)` is it again."""
    return [problem.where, problem.found, problem.expected, problem.remedy]


def _told(quality: Quality) -> Facts:
    return {"quality": found} if (found := quality.facts()) else {}


def _refused(where: str, stream: str, part: Step | VideoStep | Features, error: ValueError) -> UserError:
    return UserError(
        where,
        f"{stream} that {type(part).__name__} cannot take: {error}",
        "a recording the steps and features of data.streams fit",
        "change them, or leave the trial out with --data.bad_trials=drop, the stream with =absent",
    )
