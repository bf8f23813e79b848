"""What a frozen encoder makes of windows, made once and kept in memory."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from affect.preprocessing.normalisation import Moments

Rows = NDArray[np.int64]


class Embedded:
    """(windows, D) embeddings, those that were asked for.

    Args:
        windows: how many there are.
        dim: D.
    """

    def __init__(self, windows: int, dim: int) -> None:
        self._made = np.zeros(windows, dtype=bool)
        self._place = np.full(windows, -1, dtype=np.int64)
        self._values = np.zeros((0, dim), dtype=np.float32)

    def add(self, rows: Rows, every: Rows, encode: Callable[[Rows], Tensor], batch: int) -> None:
        """Embed the windows `rows` where that is not done yet.

        In batches of `every` window that has the stream, each whole or not at all: the last bits of an embedding depend
        on its batch, and must not depend on what was embedded before.
        """
        wanted = np.isin(every, rows) & ~self._made[every]
        blocks = [every[i : i + batch] for i in range(0, len(every), batch) if wanted[i : i + batch].any()]
        if not blocks:
            return
        with torch.no_grad():
            parts = [encode(block).float().cpu().numpy() for block in blocks]
        fresh = np.concatenate(blocks)
        self._place[fresh] = len(self._values) + np.arange(len(fresh))
        self._values = np.concatenate([self._values, *parts])
        self._made[fresh] = True

    def gather(self, rows: Rows) -> NDArray[np.float32]:
        """(B, 1, D); zeros where nothing was embedded."""
        values = (
            self._values[self._place[rows]] if len(self._values) else np.zeros((len(rows), *self._values.shape[1:]))
        )
        values = np.where(self._made[rows][:, None], values, np.float32(0)).astype(np.float32)
        return values[:, None]

    def moments(self, rows: Rows, trial: Rows, trials: int) -> Moments:
        """Of every trial over the windows `rows`, all of them embedded.

        Args:
            trial: (windows,) row of the trials table.
            trials: rows of that table.
        """
        of, values = trial[rows], self._values[self._place[rows]].astype(np.float64)
        shape = (trials, values.shape[1])
        count = np.bincount(of, minlength=trials).astype(np.float64)
        each = np.maximum(count, 1)[:, None]
        mean, m2 = np.zeros(shape), np.zeros(shape)
        np.add.at(mean, of, values)
        mean /= each
        np.add.at(m2, of, (values - mean[of]) ** 2)
        return Moments(count, mean[:, None], m2[:, None], np.full((trials, 1, shape[1]), np.nan))
