"""Windows: (trial, start) rows cut from the trials table, gathered a batch at a time from the memory maps."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affect.batch import StreamShape
from affect.errors import UserError
from affect.preprocessing.normalisation import Moments
from affect.preprocessing.step import Features, describe
from datamodules.atomic import replacing
from datamodules.cache import Cache, CachedStream
from datamodules.fingerprint import code, digest

Rows = NDArray[np.int64]
_CHUNK = 512  # windows transformed at a time: bounds memory, whatever the corpus


@dataclass(frozen=True)
class WindowTable:
    """n windows of `seconds` each.

    Args:
        trial: (n,) row of the trials table.
        start: (n,) seconds from the start of the recording; never inside the baseline.
        length: (n,) seconds that are real; less than `seconds` only where a short trial is repeated.
    """

    trial: Rows
    start: NDArray[np.float64]
    length: NDArray[np.float64]
    seconds: float

    def __len__(self) -> int:
        return len(self.trial)

    def of_trials(self, trials: Rows) -> Rows:
        """Rows of the windows cut from `trials`."""
        return np.flatnonzero(np.isin(self.trial, trials))


def cut(cache: Cache, seconds: float, step: float, short: Literal["drop", "repeat"] = "drop") -> WindowTable:
    """All windows of all trials, after the baseline and before the shortest stream ends.

    Args:
        seconds, step: length and distance of windows.
        short: a trial shorter than a window gives none, or one that repeats it until it is full.

    Raises:
        UserError: no trial is long enough.
    """
    onset = cache.trials["onset"].to_numpy(dtype=float)
    duration = cache.trials["seconds"].to_numpy(dtype=float) - onset
    epsilon = 1e-6 * step
    count = np.floor((duration - seconds + epsilon) / step).astype(np.int64) + 1
    count = np.where(duration + epsilon < seconds, 1 if short == "repeat" else 0, count)
    count[duration <= 0] = 0
    if not count.any():
        raise UserError(
            "data.window.seconds",
            f"{seconds:g} s, longer than every trial (at most {duration.max():g} s after the baseline)",
            "a window that fits",
            "shorten it, or set --data.window.short=repeat",
        )
    trial = np.repeat(np.arange(len(count)), count)
    within = np.arange(len(trial)) - np.repeat(np.cumsum(count) - count, count)
    start = onset[trial] + within * step
    length = np.minimum(seconds, duration[trial])
    return WindowTable(trial, start, length, seconds)


class StreamWindows:
    """One stream, window by window: raw samples or features of them.

    Args:
        cache, name: where the stream lies.
        table: the windows.
        features: None for raw samples; else computed once for all windows and kept beside the stream.
    """

    def __init__(self, cache: Cache, name: str, table: WindowTable, features: Features | None = None) -> None:
        self.cache, self.name, self.table, self.features = cache, name, table, features
        self._stream: CachedStream = cache.streams[name]
        stream = self._stream
        samples = max(1, round(table.seconds * stream.rate))
        real = np.clip(np.rint(table.length * stream.rate).astype(np.int64), 1, samples)
        last = np.maximum(stream.length[table.trial] - real, 0)
        self._first = np.minimum(np.rint(table.start * stream.rate).astype(np.int64), last)
        self._real = np.minimum(real, np.maximum(stream.length[table.trial] - self._first, 1))
        self._offsets = np.arange(samples)
        if features is None:
            self.shape = StreamShape(stream.channels, samples, stream.rate)
        else:
            self.shape = StreamShape(stream.channels, len(features.names()), None)

    @cached_property
    def present(self) -> NDArray[np.bool_]:
        """(n_windows,) whether the trial has this stream."""
        return self._stream.length[self.table.trial] > 0

    def gather(self, rows: Rows) -> NDArray[np.float32]:
        """(B, C, T) or (B, C, F) float32 of the windows `rows`, zeros where the stream is absent."""
        values = self.raw(rows) if self.features is None else self._computed[rows]
        return np.where(self.present[rows][:, None, None], values, np.float32(0))

    def raw(self, rows: Rows) -> NDArray[np.float32]:
        """(B, C, T) samples, whether or not features are asked for."""
        within = self._offsets % self._real[rows][:, None]  # a short trial starts again
        index = (self._stream.offset[self.table.trial[rows]] + self._first[rows])[:, None] + within
        samples: NDArray[np.float32] = self._stream.data[np.minimum(index, len(self._stream.data) - 1)]
        return samples.transpose(0, 2, 1)

    @cached_property
    def _computed(self) -> NDArray[np.float32]:
        """Features of all windows, from the cache or computed into it."""
        assert self.features is not None
        table = self.table
        key = digest(
            [
                code("datamodules/windows.py"),
                describe(self.features),
                table.seconds,
                table.trial.tolist(),
                table.start.tolist(),
            ]
        )
        path = self.cache.folder / f"{self.name}-features-{key}.npy"
        if not path.exists():
            with replacing(path) as temporary, temporary.open("wb") as file:
                shape = (len(table), len(self.shape.channels), self.shape.length)
                header = {"descr": "<f4", "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(file, header)
                for rows in _chunks(len(table)):
                    file.write(np.ascontiguousarray(self.features(self.raw(rows), self._stream.rate)).data)
        computed: NDArray[np.float32] = np.load(path, mmap_mode="r")
        return computed

    def moments(self) -> Moments:
        """Of every trial, over its windows (and over time for raw samples): what normalisation is fitted from."""
        trials, table = len(self.cache.trials), self.table
        width = (len(self.shape.channels), 1 if self.features is None else self.shape.length)
        count, total = np.zeros(trials), np.zeros((trials, *width))
        squares = np.zeros((trials, *width))
        axis = (2,) if self.features is None else ()
        # Deviations are taken from the mean of the trial's first window: float64 sums of small numbers lose nothing,
        # and a trial's moments depend on that trial alone.
        origin = np.zeros((trials, *width))
        first = np.unique(table.trial, return_index=True)[1]
        for rows in (first[part] for part in _chunks(len(first))):
            origin[table.trial[rows]] = self.gather(rows).astype(np.float64).mean(axis=axis, keepdims=True)
        for rows in _chunks(len(table)):
            rows = rows[self.present[rows]]
            if len(rows) == 0:
                continue
            values = self.gather(rows).astype(np.float64) - origin[table.trial[rows]]
            samples = values.shape[2] if axis else 1
            np.add.at(count, table.trial[rows], samples)
            np.add.at(total, table.trial[rows], values.sum(axis=axis, keepdims=True))
            np.add.at(squares, table.trial[rows], (values**2).sum(axis=axis, keepdims=True))
        divisor = np.maximum(count, 1)[:, None, None]
        mean = total / divisor
        m2 = np.maximum(squares - divisor * mean**2, 0)
        return Moments(count, mean + origin, m2, self._baseline(width))

    def _baseline(self, width: tuple[int, int]) -> NDArray[np.float64]:
        """(n_trials, C, F) mean, or features, of each trial's baseline; NaN where it has none."""
        result = np.full((len(self.cache.trials), *width), np.nan)
        onset = np.rint(self.cache.trials["onset"].to_numpy(dtype=float) * self._stream.rate).astype(np.int64)
        for trial in np.flatnonzero((onset > 0) & (self._stream.length >= onset)):
            first = self._stream.offset[trial]
            samples = self._stream.data[first : first + onset[trial]].T[None]
            if self.features is None:
                result[trial] = samples.astype(np.float64).mean(axis=2).T
            else:
                result[trial] = self.features(samples, self._stream.rate)[0]
        return result


def _chunks(n: int) -> list[Rows]:
    return np.array_split(np.arange(n), max(1, -(-n // _CHUNK)))


class WindowSet:
    """All streams of all windows of a corpus, with what every fold needs computed once.

    Args:
        cache: the prepared corpus.
        table: its windows.
        features: stream → Features or None.
    """

    def __init__(self, cache: Cache, table: WindowTable, features: Mapping[str, Features | None]) -> None:
        self.trials = cache.trials
        self.table = table
        self.streams = {name: StreamWindows(cache, name, table, f) for name, f in features.items()}
        people = self.trials["subject"].astype(str)
        self.people = list(dict.fromkeys(people))
        self.subject: Rows = pd.Categorical(people, categories=self.people).codes.astype(np.int64)
        self.shapes = {name: stream.shape for name, stream in self.streams.items()}

    @cached_property
    def moments(self) -> dict[str, Moments]:
        return {name: stream.moments() for name, stream in self.streams.items()}
