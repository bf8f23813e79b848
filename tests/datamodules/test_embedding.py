"""Embeddings made once: the same whatever was embedded before, with the moments of any features."""

import numpy as np
import pytest
import torch
from torch import Tensor

from datamodules.embedding import Embedded

X = np.random.default_rng(0).standard_normal((50, 7)).astype(np.float32)
EVERY = np.setdiff1d(np.arange(50), [3, 4, 30])  # windows that have the stream
TRIAL = np.arange(50) // 5


def encode(rows: np.ndarray) -> Tensor:
    """Every value knows its batch, as the last bits of a network's do."""
    return torch.from_numpy(X[rows]) + 1e-3 * len(rows) + 1e-4 * float(X[rows].sum())


def test_what_was_embedded_before_does_not_matter() -> None:
    wanted = np.array([1, 2, 20, 40])
    at_once, later = Embedded(50, 7), Embedded(50, 7)
    at_once.add(wanted, EVERY, encode, 8)
    for rows in ([40, 41], [0, 1], [10, 20], list(wanted)):
        later.add(np.array(rows), EVERY, encode, 8)
    assert np.array_equal(at_once.gather(wanted), later.gather(wanted))
    assert not at_once.gather(np.array([3, 30])).any()


def test_nothing_is_embedded_twice() -> None:
    seen: list[int] = []
    made = Embedded(50, 7)
    for rows in (EVERY[:20], EVERY, EVERY[5:9]):
        made.add(rows, EVERY, lambda block: (seen.extend(block.tolist()), encode(block))[1], 8)
    assert sorted(seen) == EVERY.tolist()


def test_moments_are_those_of_the_windows_asked_for() -> None:
    made = Embedded(50, 7)
    made.add(EVERY, EVERY, encode, 8)
    rows = EVERY[EVERY < 25]
    found = made.moments(rows, TRIAL, 10)
    values = made.gather(rows)[:, 0].astype(np.float64)
    mean, deviation = found.pool(np.arange(10))
    assert mean[0] == pytest.approx(values.mean(axis=0))
    assert deviation[0] == pytest.approx(values.std(axis=0))
    assert found.count.tolist() == [3, 5, 5, 5, 5, 0, 0, 0, 0, 0]
