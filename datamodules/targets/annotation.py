"""Labels from ratings given over time: they differ between the windows of a trial."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from affect.errors import UserError
from datamodules.corpora.base import CorpusFacts
from datamodules.targets.base import Name, Target

if TYPE_CHECKING:
    from datamodules.windows import WindowSet

STREAM = "annotation"


class Continuous(Target):
    """Mean of the continuous annotation over the time of each window, as a value or as classes above a threshold.

    The n-th sample holds from n / rate to (n + 1) / rate, so that a window across two long segments (AMIGOS: 20 s)
    is their mean, each by its share of the window. Missing samples are left out of it.

    Args:
        rating: channel of the stream `annotation`.
        above: None for a regression; else `high` where the mean is strictly above it.
        lag: seconds by which the annotation follows what it is about (annotators take seconds to react: Mariooryad
            and Busso, IEEE Transactions on Affective Computing 6(2), 2015).
        name: of the target; default the rating's.
    """

    streams = (STREAM,)

    def __init__(self, rating: str, above: float | None = None, lag: float = 0.0, name: Name | None = None) -> None:
        super().__init__(name or rating)
        self.rating, self.above, self.lag = rating, above, lag
        self.classes = () if above is None else ("low", "high")

    def check(self, corpus: CorpusFacts) -> None:
        if STREAM not in corpus.streams:
            raise UserError(
                "data.target",
                f"a continuous annotation of {corpus.name}, which has the streams {list(corpus.streams)}",
                f"a corpus with the stream {STREAM!r}",
                "use a target made from one rating a trial",
            )

    def labels(self, windows: WindowSet) -> NDArray[np.float32]:
        cached = windows.cache.streams[STREAM]
        if self.rating not in cached.channels:
            raise UserError(
                "data.target.rating", f"{self.rating!r}", f"an annotated one: {list(cached.channels)}", "choose one"
            )
        table, channel = windows.table, cached.channels.index(self.rating)
        mean = np.full(len(table), np.nan)
        begin = (table.start + self.lag) * cached.rate
        end = begin + table.length * cached.rate
        bounds = np.searchsorted(table.trial, np.arange(len(windows.trials) + 1))
        for trial in np.flatnonzero((np.diff(bounds) > 0) & (cached.length > 0)):
            rows = slice(bounds[trial], bounds[trial + 1])
            given = cached.signal(int(trial))[channel].astype(np.float64)
            known = np.isfinite(given)
            total = _integral(np.where(known, given, 0.0), begin[rows], end[rows])
            time = _integral(known.astype(np.float64), begin[rows], end[rows])
            mean[rows] = np.where(time > 1e-6, total / np.maximum(time, 1e-6), np.nan)
        if self.above is not None:
            mean = np.where(np.isnan(mean), np.nan, mean > self.above)
        return mean.astype(np.float32)


def _integral(steps: NDArray[np.float64], begin: NDArray[np.float64], end: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of a function that holds steps[n] from n to n + 1 and nothing outside, from begin to end, all in samples."""
    edges, until = np.arange(len(steps) + 1), np.concatenate([[0.0], np.cumsum(steps)])
    return np.asarray(np.interp(end, edges, until) - np.interp(begin, edges, until))
