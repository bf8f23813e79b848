"""The shallow networks of the DANN paper (Ganin et al., JMLR 2016, algorithm 1), a whole grid trained side by side.

One hidden layer h = σ(W x + b), a softmax label head f = softmax(V h + c), one logistic domain unit o = σ(u·h + d).
Every step takes one source row and one random target row and descends

    L_y(f(x_s), y_s) + λ (L_d(o(x_s), 1) + L_d(o(x_t), 0))

in V, c, u, d, and the same with the sign of λ reversed in W, b: the gradient reversal. Single samples, as in the
paper; no mini-batches.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experiments.reproductions.inputs import Floats, Inputs, Integers


@dataclass
class Networks:
    """N networks of H hidden units and K classes, which began from the same weights.

    Args:
        learned: (N, P, H), of W, as the inputs keep it.
        bias: (N, H), b.
        head: (N, K, H), V.
        head_bias: (N, K), c.
        unit: (N, H), u.
        unit_bias: (N,), d.
    """

    learned: Floats
    bias: Floats
    head: Floats
    head_bias: Floats
    unit: Floats
    unit_bias: Floats

    @classmethod
    def untrained(cls, count: int, inputs: Inputs, head: Floats) -> Networks:
        """`count` networks with V = `head` (K, H); b, c, u, d are 0."""
        classes, hidden = head.shape
        shapes = ((count, hidden), (count, classes), (count, hidden), (count,))
        bias, head_bias, unit, unit_bias = (np.zeros(shape, np.float32) for shape in shapes)
        return cls(inputs.begin(count), bias, np.repeat(head[None], count, axis=0), head_bias, unit, unit_bias)

    def parts(self) -> tuple[Floats, ...]:
        return self.learned, self.bias, self.head, self.head_bias, self.unit, self.unit_bias

    def take(self, which: list[int]) -> Networks:
        """A copy of some of them."""
        return Networks(*(part[which] for part in self.parts()))

    def put(self, which: int, other: Networks, place: int) -> None:
        """Network `which` becomes network `place` of `other`."""
        for own, new in zip(self.parts(), other.parts(), strict=True):
            own[which] = new[place]

    def hidden(self, inputs: Inputs, rows: Integers) -> Floats:
        """(N, M, H), h of M rows."""
        z = inputs.product(self.learned, rows) + self.bias[:, None]
        return np.asarray(1 / (1 + np.exp(-z)), np.float32)

    def predict(self, inputs: Inputs, rows: Integers) -> Integers:
        """(M, N), the most probable class of M rows."""
        scores = self.hidden(inputs, rows) @ self.head.swapaxes(1, 2) + self.head_bias[:, None]
        return np.asarray(scores.argmax(axis=2).T)

    def is_source(self, inputs: Inputs, rows: Integers) -> NDArray[np.bool_]:
        """(M, N), whether the domain unit takes M rows for source."""
        scores = self.hidden(inputs, rows) @ self.unit[:, :, None] + self.unit_bias[:, None, None]
        return np.asarray(scores[:, :, 0].T > 0)


@dataclass(frozen=True)
class Task:
    """What a grid of N networks is trained on; rows by their number in `inputs`.

    Args:
        source: (S,) rows with labels, in the order of the steps.
        target: (T,) rows without.
        label: (S, N), of the source rows as each network sees them.
        held_out: (V,) rows for early stopping; none: all epochs are made and the last counts.
        held_out_label: (V, N).
    """

    inputs: Inputs
    source: Integers
    target: Integers
    label: Integers
    held_out: Integers
    held_out_label: Integers


def train(
    networks: Networks, task: Task, weight: Floats, reach: Floats, rate: float, epochs: int, seed: int
) -> tuple[Networks, list[int]]:
    """Train every network of a grid; each stops early on its own.

    Of epochs with equal held-out risk the later counts; a network goes on for 30 epochs at least, and half as long
    again as its best epoch so far.

    Args:
        weight: (N,), λ of the domain unit; 0: no adaptation.
        reach: (N,), λ as it reaches W and b reversed; in the paper the same as `weight`.
        rate: of the gradient descent.
        seed: of the target rows that are drawn, the same for every network.

    Returns:
        The best networks, and the epoch (from 0) each was at its best.
    """
    draw = np.random.default_rng(seed)
    alive = list(range(len(weight)))
    current, best = networks.take(alive), networks.take(alive)
    best_epoch, best_risk, patience = [epochs - 1] * len(alive), [2.0] * len(alive), [30] * len(alive)
    for epoch in range(epochs):
        target = task.target[draw.integers(len(task.target), size=len(task.source))]
        learned, *others = current.parts()
        options = (weight[alive], reach[alive], np.float32(rate))
        pairs = np.stack([task.source, target], axis=1)
        task.inputs.descend(learned, pairs, task.label[:, alive], (*options, *others))
        if not len(task.held_out):
            continue
        wrong = current.predict(task.inputs, task.held_out) != task.held_out_label[:, alive]
        going_on = []
        for place, (which, risk) in enumerate(zip(alive, wrong.mean(axis=0), strict=True)):
            if risk <= best_risk[which]:
                best.put(which, current, place)
                best_risk[which], best_epoch[which] = float(risk), epoch
                patience[which] = max(patience[which], int(1.5 * epoch))
            if epoch <= patience[which]:
                going_on.append(place)
        if len(going_on) < len(alive):
            current, alive = current.take(going_on), [alive[place] for place in going_on]
        if not alive:
            break
    return (best if len(task.held_out) else current), best_epoch
