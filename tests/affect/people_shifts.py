"""More shifts made by hand: people who differ among each other, a rare person, electrodes' gains, no shift at all."""

from typing import Any

import numpy as np
from alignment_bench import Data
from numpy.typing import NDArray


def _agreeing(rng: np.random.Generator, shares: tuple[float, ...], rows: tuple[int, ...]) -> Data:
    """A cue that is safe but noisy, and a clear one that agrees with the label in a share of each person's windows."""
    person = np.repeat(np.arange(len(rows)), rows)
    label = rng.permuted(np.arange(len(person)) % 2)
    sign = 2 * label - 1
    agrees = np.where(rng.random(len(label)) < np.array(shares)[person], 1, -1)
    x = rng.normal(size=(len(label), 3))
    x[:, 0] += 1.2 * sign
    x[:, 1] = 1.5 * sign * agrees + 0.3 * x[:, 1]
    return Data(x[..., None], label, person)


def rare_person(rng: np.random.Generator) -> Data:
    """The target is like a source person of whom there are few windows, and unlike the one of whom there are many."""
    return _agreeing(rng, (0.95, 0.2, 0.2), (448, 64, 256))


def frequent_person(rng: np.random.Generator) -> Data:
    """The target is like the source person of whom there are many windows; the rare one is the odd one."""
    return _agreeing(rng, (0.95, 0.2, 0.95), (448, 64, 256))


def style(rng: np.random.Generator) -> Data:
    """Classes are in the course over time; people's offsets go with how frequent classes are in them."""
    person = np.repeat(np.arange(4), (96, 96, 96, 192))
    label = (rng.random(len(person)) < np.array([0.9, 0.1, 0.5, 0.5])[person]).astype(np.int64)
    x = rng.normal(size=(len(person), 2, 8))
    x[:, 0] += 0.7 * (2 * label - 1)[:, None] * np.sin(np.linspace(0, 2 * np.pi, 8, endpoint=False))
    return Data(x + np.array([2.0, -2.0, 0.0, 2.5])[person][:, None, None], label, person)


def amplitude(rng: np.random.Generator) -> Data:
    """Classes are in the amplitude, which is style."""
    person, label = _even(rng, (128, 128, 256))
    return Data(rng.normal(size=(len(person), 2, 8)) * np.where(label, 1.6, 1.0)[:, None, None], label, person)


def gains(rng: np.random.Generator) -> Data:
    """Every channel's gain is another in every person; the amplitude of one channel tells the class."""
    person, label = _even(rng, (128, 128, 128, 256))
    x = 0.5 * rng.normal(size=(len(person), 3, 4))
    x[:, 0] += np.where(label, 1.5, 0.5)[:, None] * np.array([1, -1, 1, -1])
    gain = np.array([[1, 1, 1], [0.5, 1, 2], [2, 1, 0.5], [4, 0.3, 1]])[person]
    return Data(x * gain[..., None], label, person)


def one_class(rng: np.random.Generator) -> Data:
    """People's gains are alike, and nine in ten windows of the target are of the class of large amplitude: what looks
    like this person's gain is the class."""
    person, label = _even(rng, (128, 128, 128, 256))
    target = person == 3
    label[target] = rng.permuted(np.arange(int(target.sum())) % 10 > 0)
    x = 0.3 * rng.normal(size=(len(person), 3, 4))
    x[:, 0] += np.where(label, 1.2, 0.8)[:, None] * np.array([1, -1, 1, -1])
    return Data(x, label, person)


def no_shift(rng: np.random.Generator) -> Data:
    """The target is as the source; a handful of its windows, with so much noise, tells less than the source has."""
    person, label = _even(rng, (128, 128, 256))
    x = rng.normal(size=(len(person), 12))
    x[:, 0] += 0.8 * (2 * label - 1)
    return Data(x[..., None], label, person)


def rare_class(rng: np.random.Generator) -> Data:
    """Nothing differs but how frequent classes are: even in the source, nine to one in the target."""
    person, label = _even(rng, (128, 128, 256))
    target = person == 2
    label[target] = rng.permuted(np.arange(int(target.sum())) % 10 == 0)
    x = rng.normal(size=(len(person), 4))
    x[:, 0] += 1.5 * (2 * label - 1)
    return Data(x[..., None], label, person)


def _even(rng: np.random.Generator, rows: tuple[int, ...]) -> tuple[NDArray[Any], NDArray[Any]]:
    """(n,) person, and label in even classes."""
    person = np.repeat(np.arange(len(rows)), rows)
    return person, rng.permuted(np.arange(len(person)) % 2)
