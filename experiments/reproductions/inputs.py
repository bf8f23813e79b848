"""What a wide hidden layer reads, and the steps of single-sample descent on it: many networks of one shape at once.

A step of algorithm 1 (see networks.py) takes a source row x_s and a target row x_t, and moves W by
δ_s x_sᵀ + δ_t x_tᵀ. Two ways to do it, the same up to rounding:

- `Sparse`: W itself. A row of 100 words touches 100 columns.
- `Spanned`: dense rows, more inputs than rows. W stays W_0 + Σ_i a_i x_iᵀ, so a step adds to two a_i, and W x_j is
  read from inner products G = X Xᵀ. What the steps of a block have in common is one matrix product; within a block the
  steps are made one by one with the inner products of its own rows.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]
BLOCK = 60
"""Steps of `Spanned` that share a matrix product; changes no result beyond rounding."""


class Inputs(ABC):
    """M rows, and what N networks of H hidden units have learned of W: an array (N, P, H)."""

    @abstractmethod
    def begin(self, count: int) -> Floats:
        """(count, P, H) before any step."""

    @abstractmethod
    def product(self, learned: Floats, rows: Integers) -> Floats:
        """(N, len(rows), H), W x."""

    @abstractmethod
    def descend(self, learned: Floats, pairs: Integers, label: Integers, rest: tuple[Any, ...]) -> None:
        """One step for each pair of rows (steps, 2), source and target; labels (steps, N). Changes arrays in place.

        Args:
            rest: λ, λ reversed, rate, b, V, c, u, d of the networks (see networks.py).
        """


@dataclass(frozen=True)
class Sparse(Inputs):
    """Rows of few words.

    Args:
        matrix: (M, d).
        start: (d, H), W_0 transposed.
    """

    matrix: sparse.csr_matrix
    start: Floats

    def begin(self, count: int) -> Floats:
        return np.repeat(self.start[None], count, axis=0)

    def product(self, learned: Floats, rows: Integers) -> Floats:
        chosen = self.matrix[rows]
        return np.stack([chosen @ weight for weight in learned])

    def descend(self, learned: Floats, pairs: Integers, label: Integers, rest: tuple[Any, ...]) -> None:
        start, column = (places.astype(np.int32, copy=False) for places in (self.matrix.indptr, self.matrix.indices))
        _sparse(start, column, self.matrix.data, learned, pairs, label, *rest)


@dataclass(frozen=True)
class Spanned(Inputs):
    """Dense rows.

    Args:
        start: (M, H), W_0 x.
        gram: (M, P), inner products with the first P rows, the only ones that are trained on.
    """

    start: Floats
    gram: Floats

    def begin(self, count: int) -> Floats:
        return np.zeros((count, self.gram.shape[1], self.start.shape[1]), np.float32)

    def product(self, learned: Floats, rows: Integers) -> Floats:
        return self.gram[rows] @ learned + self.start[rows]

    def descend(self, learned: Floats, pairs: Integers, label: Integers, rest: tuple[Any, ...]) -> None:
        for first in range(0, len(pairs), BLOCK):
            rows = pairs[first : first + BLOCK].ravel()
            products = self.gram[rows]
            before = products @ learned + self.start[rows]
            between = np.ascontiguousarray(products[:, rows])
            _spanned(between, before, rows, learned, label[first : first + BLOCK], *rest)


# No fastmath below: with it, code just compiled and code from numba's cache round differently, and an adversary makes
# another network of that. It is not faster, either.
@numba.njit(cache=True)
def _step(source, target, label, weight, reach, rate, bias, head, head_bias, unit, unit_bias):  # type: ignore[no-untyped-def]
    """One step of one network, all but W.

    `source` and `target` (H,) hold W x and receive what the step adds to W x' for every x' with x·x' = 1: −rate times
    the gradient.
    """
    one = np.float32(1)
    hidden, classes = len(bias), len(head_bias)
    at_source, at_target = unit_bias[0], unit_bias[0]
    for j in range(hidden):
        source[j] = one / (one + np.exp(-source[j] - bias[j]))
        target[j] = one / (one + np.exp(-target[j] - bias[j]))
        at_source += unit[j] * source[j]
        at_target += unit[j] * target[j]
    source_error = one / (one + np.exp(-at_source)) - one  # the domain unit should say 1 of the source, 0 of the target
    target_error = one / (one + np.exp(-at_target))
    error = np.empty(classes, np.float32)
    for k in range(classes):
        error[k] = head_bias[k]
        for j in range(hidden):
            error[k] += head[k, j] * source[j]
    error = np.exp(error - error.max())
    error /= error.sum()
    error[label] -= one
    for j in range(hidden):
        gradient = -reach * source_error * unit[j]
        for k in range(classes):
            gradient += error[k] * head[k, j]
            head[k, j] -= rate * error[k] * source[j]
        other = -reach * target_error * unit[j]
        unit[j] -= rate * weight * (source_error * source[j] + target_error * target[j])
        source[j] *= -rate * gradient * (one - source[j])
        target[j] *= -rate * other * (one - target[j])
        bias[j] += source[j] + target[j]
    for k in range(classes):
        head_bias[k] -= rate * error[k]
    unit_bias[0] -= rate * weight * (source_error + target_error)


@numba.njit(cache=True)
def _sparse(  # type: ignore[no-untyped-def]
    start, column, value, learned, pairs, label, weight, reach, rate, bias, head, head_bias, unit, unit_bias
):
    hidden = learned.shape[2]
    source, target = np.empty(hidden, np.float32), np.empty(hidden, np.float32)
    for n in range(len(learned)):
        w = learned[n]
        for step in range(len(pairs)):
            for row, product in ((pairs[step, 0], source), (pairs[step, 1], target)):
                product[:] = 0
                for at in range(start[row], start[row + 1]):
                    x, of_word = value[at], w[column[at]]
                    for j in range(hidden):
                        product[j] += x * of_word[j]
            _step(
                source, target, label[step, n], weight[n], reach[n], rate,
                bias[n], head[n], head_bias[n], unit[n], unit_bias[n : n + 1],
            )  # fmt: skip
            for row, move in ((pairs[step, 0], source), (pairs[step, 1], target)):
                for at in range(start[row], start[row + 1]):
                    x, of_word = value[at], w[column[at]]
                    for j in range(hidden):
                        of_word[j] += x * move[j]


@numba.njit(cache=True)
def _spanned(  # type: ignore[no-untyped-def]
    gram, before, rows, learned, label, weight, reach, rate, bias, head, head_bias, unit, unit_bias
):
    """The steps of a block: `before` (N, 2B, H) is W x of its rows as it begins, `gram` (2B, 2B) is between them."""
    hidden = learned.shape[2]
    for n in range(len(learned)):
        made = before[n]  # row by row, W x becomes what its step adds
        for step in range(len(rows) // 2):
            s, t = 2 * step, 2 * step + 1
            source, target = made[s], made[t]
            for earlier in range(s):
                with_source, with_target, move = gram[s, earlier], gram[t, earlier], made[earlier]
                for j in range(hidden):
                    source[j] += with_source * move[j]
                    target[j] += with_target * move[j]
            _step(
                source, target, label[step, n], weight[n], reach[n], rate,
                bias[n], head[n], head_bias[n], unit[n], unit_bias[n : n + 1],
            )  # fmt: skip
        for r in range(len(rows)):
            total, move = learned[n, rows[r]], made[r]
            for j in range(hidden):
                total[j] += move[j]
