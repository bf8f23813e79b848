"""Windows: (trial, number) rows cut from the trials table, gathered a batch at a time from the memory maps."""

import mmap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from affect.batch import StreamShape
from affect.errors import UserError
from affect.preprocessing.normalisation import Moments
from datamodules.assemble import Cache
from datamodules.embedding import Embedded

Rows = NDArray[np.int64]
_LARGE = 1 << 28  # bytes of a memory map that is not let stay in this process as a whole
_RESIDENT = 1 << 26  # bytes of it that may
_FAULT = 1 << 17  # bytes the system may map when a window is touched, pages at both ends


@dataclass(frozen=True)
class WindowTable:
    """n windows of `seconds` each.

    Args:
        trial: (n,) row of the trials table.
        number: (n,) of the window in its trial.
        start: (n,) seconds from the start of the recording; never inside the baseline.
        length: (n,) seconds that are real; less than `seconds` only where a short trial is repeated.
    """

    trial: Rows
    number: Rows
    start: NDArray[np.float64]
    length: NDArray[np.float64]
    seconds: float

    def __len__(self) -> int:
        return len(self.trial)

    def of_trials(self, trials: Rows) -> Rows:
        """Rows of the windows cut from `trials`."""
        return np.flatnonzero(np.isin(self.trial, trials))


def cut(cache: Cache) -> WindowTable:
    """All windows of all trials, after the baseline and before the shortest stream ends.

    Raises:
        UserError: no trial is long enough.
    """
    window = cache.window
    onset = cache.trials["onset"].to_numpy(dtype=float)
    duration = cache.trials["seconds"].to_numpy(dtype=float) - onset
    count = window.count(duration)
    if not count.any():
        raise UserError(
            "data.window.seconds",
            f"{window.seconds:g} s, longer than every trial (at most {duration.max():g} s after the baseline)",
            "a window that fits",
            "shorten it, or set --data.window.short=repeat",
        )
    trial = np.repeat(np.arange(len(count)), count)
    number = np.arange(len(trial)) - np.repeat(np.cumsum(count) - count, count)
    start = onset[trial] + number * window.step
    short = duration < window.seconds * (1 - 1e-6)  # as windows are counted: rounding makes none short
    return WindowTable(trial, number, start, np.where(short, duration, window.seconds)[trial], window.seconds)


class StreamWindows:
    """One stream, window by window: samples, or features of them.

    Args:
        cache, name: where the stream lies.
        table: the windows.
    """

    def __init__(self, cache: Cache, name: str, table: WindowTable) -> None:
        self.name, self.table = name, table
        stream = self._stream = cache.streams[name]
        self._onset = cache.trials["onset"].to_numpy(dtype=float)
        trial = table.trial
        self.present: NDArray[np.bool_] = stream.length[trial] > 0
        """(n_windows,) whether the trial has this stream."""
        self.complete = bool(self.present.all())
        """Whether every window has it."""
        self._samples, first, self._real = cache.window.samples(
            stream.rate, stream.length[trial], self._onset[trial], table.number
        )
        self._width = len(stream.channels) * int(np.prod(stream.size, dtype=int))  # numbers a sample
        self._place = np.where(self.present, stream.offset[trial] + first * self._width, 0)
        self._whole = bool((self._real == self._samples)[self.present].all())
        self._part = stream.part[trial]
        self._signals = tuple(data.view(np.ndarray) for data in stream.data)
        picture = (stream.size[0], stream.size[1]) if stream.size else None
        if stream.features is None:
            self.shape = StreamShape(stream.channels, self._samples, stream.rate, picture)
        else:
            made = stream.features
            self.shape = StreamShape(made.channels, len(made.names), None)
            row = 1 + np.minimum(table.number, np.maximum(made.count[trial] - 1, 0))
            self._computed = np.where(self.present, made.offset[trial] + row * made.cells, 0)
            self._maps = tuple(data.view(np.ndarray) for data in made.data)
        self._touched = 0

    def gather(self, rows: Rows) -> NDArray[Any]:
        """(B, C, T), (B, C, F) float32 or (B, 3, T, H, W) uint8 of the windows `rows`, zeros where absent."""
        made = self._stream.features
        if made is None:
            return self.raw(rows)
        values = self._by_part(rows, self._maps, lambda data, part: _pieces(data, self._computed[part], made.cells))
        return values.reshape(len(rows), len(self.shape.channels), self.shape.length)

    def raw(self, rows: Rows) -> NDArray[Any]:
        """(B, C, T, …) samples, whether or not there are features."""
        stream = self._stream
        values = self._by_part(rows, self._signals, self._sampled)
        return values.reshape(len(rows), self._samples, len(stream.channels), *stream.size).swapaxes(1, 2)

    def _sampled(self, data: NDArray[Any], rows: Rows) -> NDArray[Any]:
        """(B, samples · C · …): a window is one piece of memory, unless it repeats a short trial."""
        place, samples, width = self._place[rows], self._samples, self._width
        if self._whole:
            return _pieces(data, place, samples * width)
        within = np.arange(samples) % self._real[rows][:, None]
        return _pieces(data, place[:, None] + within * width, width).reshape(len(rows), samples * width)

    def _by_part(
        self,
        rows: Rows,
        maps: tuple[NDArray[Any], ...],
        take: Callable[[NDArray[Any], Rows], NDArray[Any]],
    ) -> NDArray[Any]:
        """What `take(map, rows)` finds, each row in the memory map of its corpus; zeros where the stream is absent."""
        if len(maps) == 1 and self.complete:
            values = take(maps[0], rows)
        else:
            here = np.where(self.present[rows], self._part[rows], -1)
            values = np.zeros((len(rows), take(maps[0], rows[:0]).shape[1]), maps[0].dtype)
            for number in np.unique(here[here >= 0]):
                chosen = np.flatnonzero(here == number)
                values[chosen] = take(maps[number], rows[chosen])
        self._let_go(len(rows), values.nbytes, maps)
        return values

    def _let_go(self, windows: int, size: int, maps: tuple[NDArray[Any], ...]) -> None:
        """Hand pages back now and then, so that memory does not grow with the corpus; they stay in the system's."""
        self._touched += size + windows * _FAULT
        if self._touched > _RESIDENT and hasattr(mmap, "MADV_DONTNEED"):
            self._touched = 0
            for data in maps:
                if data.nbytes > _LARGE and isinstance(mapped := _mapping(data), mmap.mmap):
                    mapped.madvise(mmap.MADV_DONTNEED)

    def moments(self) -> Moments:
        """Of every trial, over its windows: what normalisation is fitted from.

        Of samples, each that lies in a window counts once; of features, each window.
        """
        trials = len(self._onset)
        width = (len(self.shape.channels), 1 if self._stream.features is None else self.shape.length)
        count, mean, m2 = np.zeros(trials), np.zeros((trials, *width)), np.zeros((trials, *width))
        baseline = np.full((trials, *width), np.nan)
        first = np.flatnonzero(np.diff(self.table.trial, prepend=-1))
        last = np.append(first[1:], len(self.table)) - 1
        for a, b in zip(first, last, strict=True):
            if not self.present[a]:
                continue
            trial = int(self.table.trial[a])
            values, before = self._of_trial(trial, int(a), int(b))
            count[trial] = values.shape[0]
            origin = values[0]  # sums of small numbers lose nothing
            centred = values - origin
            mean[trial] = centred.mean(axis=0)
            m2[trial] = ((centred - mean[trial]) ** 2).sum(axis=0)
            mean[trial] += origin
            baseline[trial] = before
        return Moments(count, mean, m2, baseline)

    def _of_trial(self, trial: int, a: int, b: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(n, C, F) values of the windows a … b of a trial, and (C, F) of its baseline, NaN where it has none."""
        stream, number = self._stream, self.table.number
        if stream.features is not None:
            values = stream.features.of_trial(trial).astype(np.float64)
            last = len(values) - 1
            return values[1 + np.minimum(number[a : b + 1], last - 1)], values[0]
        samples = np.asarray(stream.signal(trial))  # (C, T, …)
        begin = int(self._place[a] - stream.offset[trial]) // self._width
        end = int(self._place[b] - stream.offset[trial]) // self._width + self._real[b]
        self._let_go(1, samples.nbytes, self._signals)
        between = np.moveaxis(samples, 0, -1)[begin:end].reshape(-1, len(samples), 1).astype(np.float64)
        rest = samples[:, : round(self._onset[trial] * stream.rate)]
        before = rest.reshape(len(samples), -1).astype(np.float64).mean(axis=1)[:, None] if rest.size else np.nan
        return between, np.asarray(before)


def _pieces(data: NDArray[Any], start: Rows, length: int) -> NDArray[Any]:
    """(…, length): pieces of an array of numbers, each from its start on."""
    step = data.itemsize
    found: NDArray[Any] = as_strided(data, (max(0, len(data) - length + 1), length), (step, step), writeable=False)[
        start
    ]
    return found


def _mapping(data: NDArray[Any]) -> Any:
    """What an array that was mapped from a file rests on."""
    base: Any = data
    while isinstance(base, np.ndarray) and base.base is not None:
        base = base.base
    return base


class WindowSet:
    """All streams of all windows of a cache, with what every fold needs computed once.

    Args:
        cache: the prepared corpora.
        table: its windows.
        inputs: the streams networks see; default all.
    """

    def __init__(self, cache: Cache, table: WindowTable, inputs: Sequence[str] | None = None) -> None:
        self.cache, self.trials, self.table = cache, cache.trials, table
        self.streams = {name: StreamWindows(cache, name, table) for name in inputs or cache.streams}
        people = self.trials["subject"].astype(str)
        self.people = list(dict.fromkeys(people))
        self.subject: Rows = pd.Categorical(people, categories=self.people).codes.astype(np.int64)
        self.corpus: Rows = pd.Categorical(self.trials["corpus"]).codes.astype(np.int64)
        self.shapes = {name: stream.shape for name, stream in self.streams.items()}
        self.embeddings: dict[tuple[str, str], Embedded] = {}
        """Of native streams, by stream and weights: the same for every fold."""

    def stream(self, name: str) -> StreamWindows:
        """Any stream of the cache, an input or not."""
        return self.streams[name] if name in self.streams else StreamWindows(self.cache, name, self.table)

    @cached_property
    def moments(self) -> dict[str, Moments]:
        return {name: stream.moments() for name, stream in self.streams.items()}
