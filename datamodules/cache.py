"""The cache: every stream of a corpus as one memory map, and one table of trials.

Layout of `cache/<corpus>-<key>/`: `<stream>.f32` (samples, channels) float32, appended a subject at a time;
`subjects/<subject>.json`, the journal, whose presence commits the subject's samples; `trials.parquet` and, last,
`cache.json`. A preparation that stops anywhere goes on after the last committed subject; a second process waits.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from filelock import FileLock
from numpy.typing import NDArray

from affect.batch import Signal
from affect.errors import UserError
from affect.preprocessing.step import Step, describe
from datamodules.atomic import disk_space, replacing, write_text
from datamodules.corpora.base import Corpus, Trial, check_rating, check_signal
from datamodules.fingerprint import Fingerprints, code, digest

BadTrials = Literal["error", "drop"]
Progress = Callable[[str, int, int], None]
_CODE = ("affect/preprocessing", "affect/batch.py", "datamodules/corpora", "datamodules/cache.py")
"""Sources that make a cache what it is."""


@dataclass(frozen=True)
class CachedStream:
    """One stream of all trials.

    Args:
        data: (samples, C) float32 memory map, trials one after the other.
        offset, length: (n_trials,) first sample and number of samples of every trial; length 0 where absent.
        rate, channels, unit: as in Signal.
    """

    data: NDArray[np.float32]
    offset: NDArray[np.int64]
    length: NDArray[np.int64]
    rate: float
    channels: tuple[str, ...]
    unit: str


@dataclass(frozen=True)
class Cache:
    """A prepared corpus.

    Args:
        trials: one row per trial: subject, session, stimulus, onset, seconds, rating.*, group.*, where.
        streams: name → CachedStream.
        fingerprint: hash of the corpus files' content and of the preprocessing.
        dropped: trials left out, with the reason.
        folder: where it lies.
    """

    trials: pd.DataFrame
    streams: dict[str, CachedStream]
    fingerprint: str
    dropped: list[str]
    folder: Path


def prepare(
    corpus: Corpus,
    streams: Mapping[str, Sequence[Step]],
    root: Path,
    bad_trials: BadTrials = "error",
    progress: Progress = lambda what, done, total: None,
) -> Cache:
    """Read a corpus through its steps into the cache under `root`, or open what is already there.

    Args:
        streams: stream → the steps its signals go through.
        bad_trials: what to do with a trial with NaNs, dead channels or impossible ratings: stop, or leave it out.
        progress: called with (what, done, total).

    Raises:
        UserError: bad input, or a full disk; finished subjects are kept.
    """
    corpus.ensure()
    subjects = corpus.subjects()
    prints = Fingerprints(root / "fingerprints.json")
    content = {}
    for i, subject in enumerate(subjects):
        progress("checking files", i, len(subjects))
        content[subject] = prints.of(corpus.files(subject))
    with disk_space(root):
        prints.save()
    recipe = {name: [describe(step) for step in steps] for name, steps in streams.items()}
    fingerprint = digest([code(*_CODE), corpus.name, content, recipe, bad_trials], 16)
    folder = root / f"{corpus.name}-{fingerprint}"
    (folder / "subjects").mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        if not (folder / "cache.json").exists():
            writer = _Writer(folder, list(streams))
            for i, subject in enumerate(subjects):
                progress("preparing", i, len(subjects))
                if not writer.has(subject):
                    writer.add(subject, _processed(corpus, subject, streams, bad_trials), corpus.root)
            writer.finish(subjects)
    return load(folder, fingerprint)


def load(folder: Path, fingerprint: str) -> Cache:
    """Open a finished cache; nothing is read until it is used."""
    info = json.loads((folder / "cache.json").read_text())
    trials = pd.read_parquet(folder / "trials.parquet")
    streams = {}
    for name, stream in info["streams"].items():
        shape = (stream["samples"], len(stream["channels"]))
        data = np.memmap(folder / f"{name}.f32", np.float32, "r", shape=shape)
        streams[name] = CachedStream(
            data=data,
            offset=trials.pop(f"{name}.offset").to_numpy(dtype=np.int64),
            length=trials.pop(f"{name}.length").to_numpy(dtype=np.int64),
            rate=stream["rate"],
            channels=tuple(stream["channels"]),
            unit=stream["unit"],
        )
    return Cache(trials, streams, fingerprint, info["dropped"], folder)


def _processed(
    corpus: Corpus, subject: str, streams: Mapping[str, Sequence[Step]], bad_trials: BadTrials
) -> "list[Trial | UserError]":
    """The subject's trials, checked and through their steps; a bad one as its error, if it may be dropped."""
    results: list[Trial | UserError] = []
    for trial in corpus.trials(subject, list(streams)):
        try:
            for name, value in trial.ratings.items():
                check_rating(name, value, corpus.ratings[name], trial.where)
            signals = {}
            for name, steps in streams.items():
                if name not in trial.streams:
                    continue
                signal = trial.streams[name]
                check_signal(signal, name, trial.where)
                for step in steps:
                    signal = _through(step, signal, name, trial.where)
                signals[name] = signal
        except UserError as error:
            if bad_trials == "error":
                raise
            results.append(error)
            continue
        results.append(Trial(**{**vars(trial), "streams": signals}))
    return results


def _through(step: Step, signal: Signal, stream: str, where: str) -> Signal:
    """The signal after a step; what the step refuses, by the name of the trial."""
    try:
        return step(signal)
    except ValueError as error:
        raise UserError(
            where,
            f"{stream} that {type(step).__name__} cannot take: {error}",
            "a recording the steps of data.streams fit",
            "change the step, or leave the trial out with --data.bad_trials=drop",
        ) from None


class _Writer:
    """Appends subjects to the memory maps; a subject counts once its journal entry is there."""

    def __init__(self, folder: Path, streams: list[str]) -> None:
        self.folder = folder
        self.streams = streams
        self.end = dict.fromkeys(streams, 0)
        self.kind: dict[str, dict[str, Any]] = {}
        for entry in map(self._read, sorted((folder / "subjects").glob("*.json"))):
            for name, stream in entry["streams"].items():
                self.end[name] = max(self.end[name], stream["end"])
                self.kind[name] = stream["kind"]

    def has(self, subject: str) -> bool:
        return self._journal(subject).exists()

    def add(self, subject: str, trials: "list[Trial | UserError]", root: Path) -> None:
        rows = []
        dropped = [f"{t.where}: {t.found}".removeprefix(f"{root}/") for t in trials if isinstance(t, UserError)]
        end, kind = dict(self.end), dict(self.kind)
        with disk_space(self.folder), ExitStack() as stack:
            files = {}
            for name in self.streams:
                path = self.folder / f"{name}.f32"
                path.touch()
                files[name] = stack.enter_context(path.open("r+b"))
                width = len(kind[name]["channels"]) if name in kind else 0
                files[name].truncate(end[name] * width * 4)  # what an interrupted subject left behind
                files[name].seek(0, 2)
            for trial in (t for t in trials if isinstance(t, Trial)):
                row: dict[str, Any] = {
                    "subject": trial.subject,
                    "session": trial.session,
                    "stimulus": trial.stimulus,
                    "onset": trial.onset,
                    "seconds": min((s.seconds for s in trial.streams.values()), default=0.0),
                    "where": trial.where,
                    **{f"rating.{k}": v for k, v in trial.ratings.items()},
                    **{f"group.{k}": v for k, v in trial.group.items()},
                }
                for name in self.streams:
                    signal = trial.streams.get(name)
                    row[f"{name}.offset"], row[f"{name}.length"] = end[name], 0
                    if signal is None:
                        continue
                    _same_kind(kind.setdefault(name, _kind(signal)), signal, name, trial.where)
                    files[name].write(np.ascontiguousarray(signal.data.T, dtype=np.float32).data)
                    row[f"{name}.length"] = signal.data.shape[1]
                    end[name] += signal.data.shape[1]
                rows.append(row)
        entry = {
            "trials": rows,
            "dropped": dropped,
            "streams": {name: {"end": end[name], "kind": kind[name]} for name in kind},
        }
        write_text(self._journal(subject), json.dumps(entry))
        self.end, self.kind = end, kind

    def finish(self, subjects: list[str]) -> None:
        entries = [self._read(self._journal(subject)) for subject in subjects]
        rows = [row for entry in entries for row in entry["trials"]]
        dropped = [reason for entry in entries for reason in entry["dropped"]]
        missing = [name for name in self.streams if name not in self.kind]
        if not rows or missing:
            raise UserError(
                self.folder,
                f"no usable trial{f' with {missing}' if missing else ''}; left out: {dropped[:3]}",
                "trials with every stream of the config",
                "check the corpus, or take the stream out of data.streams",
            )
        with replacing(self.folder / "trials.parquet") as temporary:
            pd.DataFrame(rows).to_parquet(temporary)
        streams = {name: {**self.kind[name], "samples": self.end[name]} for name in self.streams}
        write_text(self.folder / "cache.json", json.dumps({"streams": streams, "dropped": dropped}))

    def _journal(self, subject: str) -> Path:
        return self.folder / "subjects" / f"{subject}.json"

    @staticmethod
    def _read(path: Path) -> dict[str, Any]:
        entry: dict[str, Any] = json.loads(path.read_text())
        return entry


def _kind(signal: Signal) -> dict[str, Any]:
    return {"rate": signal.rate, "channels": list(signal.channels), "unit": signal.unit}


def _same_kind(expected: dict[str, Any], signal: Signal, stream: str, where: str) -> None:
    if _kind(signal) != expected:
        raise UserError(
            where,
            f"{stream} at {signal.rate:g} Hz with channels {list(signal.channels)} in {signal.unit}",
            f"{expected['rate']:g} Hz with channels {expected['channels']} in {expected['unit']}, as before it",
            "add a Resample step, or leave this subject out with --data.corpus.subjects",
        )
