"""Marginalised stacked denoising autoencoders (Chen, Xu, Weinberger & Sha, ICML 2012)."""

from collections.abc import Iterator

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

Floats = NDArray[np.float32]
RIDGE = 1e-5
"""Added to the diagonal of E[Q], as in the authors' code."""


def mapping(x: Floats, corruption: float) -> Floats:
    """W of one layer: the best linear reconstruction of x from corrupted copies of it, over all corruptions.

    W = E[P] E[Q]⁻¹ with S = X̄ X̄ᵀ of the rows with a 1 appended, q_i = 1 − p (1 for the appended one),
    E[P]_ij = S_ij q_j and E[Q]_ij = S_ij q_i q_j, its diagonal S_ii q_i (eqs. 5–8).

    Args:
        x: (rows, d).
        corruption: p, the chance that an input is set to 0.

    Returns:
        (d, d + 1), the last column is the bias.
    """
    x = np.hstack([x, np.ones((len(x), 1), np.float32)])
    scatter = x.T @ x
    kept = np.full(len(scatter), 1 - corruption, np.float32)
    kept[-1] = 1
    wanted = scatter[:-1] * kept  # E[P]
    diagonal = np.diag(scatter) * kept
    seen = scatter * kept * kept[:, None]  # E[Q]
    seen[np.diag_indices_from(seen)] = diagonal + np.float32(RIDGE) * (np.arange(len(kept)) < len(kept) - 1)
    del scatter
    factor = scipy.linalg.cho_factor(seen, overwrite_a=True, check_finite=False)
    solved: Floats = scipy.linalg.cho_solve(factor, wanted.T, check_finite=False).T
    return solved


def layers(rows: Floats, unlabelled: int, count: int, corruption: float) -> Iterator[Floats]:
    """h of each layer in turn, h_l = tanh(W_l [h_(l−1); 1]), each fitted on the first `unlabelled` rows."""
    for _ in range(count):
        weight = mapping(rows[:unlabelled], corruption)
        rows = np.tanh(rows @ weight[:, :-1].T + weight[:, -1])
        yield rows
