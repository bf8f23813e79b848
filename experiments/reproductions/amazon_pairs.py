"""Amazon reviews (Blitzer et al. 2007; Chen et al. 2012): a source and a target as the DANN paper's protocol sees them.

5,000 counts of words and pairs of words, not scaled; of each domain 2,000 training rows and a separate test set.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy import sparse
from sklearn.datasets import load_svmlight_file

from affect.errors import UserError
from experiments.reproductions.inputs import Floats, Inputs, Integers, Spanned, Sparse
from experiments.reproductions.msda import layers

Representation = Literal["counts", "msda"]
WORDS = 5000
LAYERS = 5


@dataclass(frozen=True)
class Pair:
    """Rows in five parts: S′, T′ (nine tenths, for training), S_V, T_V (the rest), and the target's test set.

    What a protocol may know of the target is here and no more: `label` is of S′ and S_V; `test_label` is for scoring.

    Args:
        rows: (M, 5000) counts.
        sizes: of the five parts.
        label: two arrays of 0 and 1.
        overlap: share of the test rows that equal a row of the unlabelled target.
    """

    rows: sparse.csr_matrix
    sizes: tuple[int, ...]
    label: tuple[Integers, Integers]
    test_label: Integers
    overlap: float

    def part(self, number: int) -> Integers:
        """Numbers of the rows of S′ (0), T′ (1), S_V (2), T_V (3) or the test set (4)."""
        first = sum(self.sizes[:number])
        return np.arange(first, first + self.sizes[number])


def read(root: Path, source: str, target: str, seed: list[int]) -> Pair:
    """A pair, its two training sets split by `seed`."""
    x_source, y_source = _file(root / f"{source}_train.svmlight")
    x_target, _ = _file(root / f"{target}_train.svmlight")
    x_test, y_test = _file(root / f"{target}_test.svmlight")
    draw = np.random.default_rng(seed)
    own, other = draw.permutation(x_source.shape[0]), draw.permutation(x_target.shape[0])
    kept, kept_other = len(own) - len(own) // 10, len(other) - len(other) // 10
    parts = [x_source[own[:kept]], x_target[other[:kept_other]], x_source[own[kept:]], x_target[other[kept_other:]]]
    known = {row.tobytes() for row in x_target.toarray()}
    return Pair(
        rows=sparse.vstack([*parts, x_test], format="csr"),
        sizes=tuple(part.shape[0] for part in [*parts, x_test]),
        label=(y_source[own[:kept]], y_source[own[kept:]]),
        test_label=y_test,
        overlap=float(np.mean([row.tobytes() in known for row in x_test.toarray()])),
    )


def _file(path: Path) -> tuple[sparse.csr_matrix, Integers]:
    try:
        rows, label = load_svmlight_file(str(path), n_features=WORDS, dtype=np.float32, zero_based=True)
    except (OSError, ValueError) as error:
        expected = f"rows of {WORDS} counts in svmlight format"
        raise UserError(path, str(error), expected, "see where the data comes from, fetch it again") from None
    return rows, (label > 0).astype(np.int64)


def represent(
    pair: Pair, representation: Representation, hidden: list[int], draw: np.random.Generator
) -> tuple[Floats, list[Inputs]]:
    """Inner products of all rows with the training rows, and the inputs of a hidden layer of each size.

    W_0 is U(±√(6 / (in + out))). The 30,000 inputs of mSDA are never all there at once: layer by layer they are summed
    to what SVM and networks need of them.
    """
    training = pair.sizes[0] + pair.sizes[1]
    width = WORDS * (1 + LAYERS * (representation == "msda"))
    gram = np.zeros((sum(pair.sizes), training), np.float32)
    starts = [np.zeros((sum(pair.sizes), size), np.float32) for size in hidden]
    for rows in _blocks(pair, representation):
        product = rows @ rows[:training].T
        gram += product.toarray() if sparse.issparse(product) else product
        weights = [uniform(draw, (rows.shape[1], size), width + size) for size in hidden]
        for start, weight in zip(starts, weights, strict=True):
            start += rows @ weight
    if representation == "counts":
        return gram, [Sparse(pair.rows, weight) for weight in weights]
    return gram, [Spanned(start, gram) for start in starts]


def uniform(draw: np.random.Generator, shape: tuple[int, int], both: int) -> Floats:
    """U(±√(6 / both)), `both` the numbers of inputs and outputs together."""
    return draw.uniform(-1, 1, shape).astype(np.float32) * np.float32(np.sqrt(6 / both))


def _blocks(pair: Pair, representation: Representation) -> Iterator[Any]:
    """The inputs, 5,000 columns at a time; mSDA is fitted on the unlabelled rows of both domains, without the test."""
    yield pair.rows
    if representation == "msda":
        yield from layers(pair.rows.toarray(), sum(pair.sizes[:4]), LAYERS, corruption=0.5)
