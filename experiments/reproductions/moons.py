"""Two moons, the target's turned by 35°: section 5.1.1 of the DANN paper (Ganin et al. 2016).

300 points, 150 of the source with labels and 150 of the target without. A hidden layer of 15, λ = 6, 500 epochs of
single-sample descent at rate 0.05, no early stopping. NN is the same network whose encoder hears nothing of the domain
unit, which learns all the same: what it can tell is the domain accuracy without adaptation.

The paper shows one network on one draw of the points. Here are many networks on that draw, and many draws.
"""

from typing import Any, ClassVar, Literal

import numpy as np
from scipy import sparse
from sklearn.datasets import make_moons

from experiments.reproductions.inputs import Floats, Integers, Sparse
from experiments.reproductions.networks import Networks, Task, train
from experiments.reproductions.study import Row, Study

METHODS = ("NN", "DANN")
RATE = 0.05
POINTS_EACH = 150
POINTS = {"paper": "the paper's points", "new": "new points"}
"""Task → as the table calls it."""


class Moons(Study):
    """NN and DANN on two moons.

    Args:
        seeds: of the initial weights and the order of target points, and of new points.
        draws: `paper`: the points of the paper's figure, the same for every seed; `new`: other points for each.
        degrees: the target is turned by.
        weight: λ.
        hidden: units.
        epochs: of training.
    """

    name: ClassVar[str] = "moons"
    sources: ClassVar[tuple[str, ...]] = tuple(
        f"experiments/reproductions/{file}.py" for file in ("inputs", "moons", "networks")
    )

    def __init__(
        self,
        seeds: tuple[int, ...] = tuple(range(20)),
        draws: tuple[Literal["paper", "new"], ...] = ("paper", "new"),
        degrees: float = 35.0,
        weight: float = 6.0,
        hidden: int = 15,
        epochs: int = 500,
    ) -> None:
        self.seeds, self.draws, self.degrees = seeds, draws, degrees
        self.weight, self.hidden, self.epochs = weight, hidden, epochs

    def identity(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("degrees", "weight", "hidden", "epochs")}

    def units(self) -> list[str]:
        return [f"{draw}-{seed}" for draw in self.draws for seed in self.seeds]

    def compute(self, unit: str) -> dict[str, Any]:
        points, _, number = unit.partition("-")
        seed = int(number)
        draw = np.random.default_rng(seed)
        x, label = _moons((1, 2) if points == "paper" else (2 * seed + 3, 2 * seed + 4), self.degrees)
        source, target = np.arange(POINTS_EACH), np.arange(POINTS_EACH, 2 * POINTS_EACH)
        bound = np.sqrt(6 / (2 + self.hidden))  # U(±√(6 / (in + out))): two coordinates, and two classes
        start, head = (draw.uniform(-bound, bound, (2, self.hidden)).astype(np.float32) for _ in range(2))
        inputs = Sparse(sparse.csr_matrix(x), start)
        none = np.zeros(0, np.int64)
        task = Task(inputs, source, target, np.stack([label[source]] * 2, axis=1), none, none)
        weight, reach = (np.array(pair, np.float32) for pair in ((self.weight, self.weight), (0, self.weight)))
        networks, _ = train(Networks.untrained(2, inputs, head), task, weight, reach, RATE, self.epochs, seed)
        both = np.concatenate([source, target])
        right = networks.predict(inputs, target) == label[target, None]
        told = networks.is_source(inputs, both) == (both < POINTS_EACH)[:, None]
        return {
            method: {"target accuracy": float(right[:, n].mean()), "domain accuracy": float(told[:, n].mean())}
            for n, method in enumerate(METHODS)
        }

    def rows(self, found: dict[str, dict[str, Any]]) -> list[Row]:
        return [
            Row(method, POINTS[unit.partition("-")[0]], metric, int(unit.partition("-")[2]), value)
            for unit, result in found.items()
            for method, metrics in result.items()
            for metric, value in metrics.items()
        ]


def _moons(seeds: tuple[int, int], degrees: float) -> tuple[Floats, Integers]:
    """(300, 2) coordinates, source first, about the source's mean and twice as large, as in the authors' code."""
    (x, label), (other, other_label) = (make_moons(POINTS_EACH, noise=0.05, random_state=seed) for seed in seeds)
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centre = x.mean(axis=0)
    found = 2 * np.concatenate([x - centre, (other - centre) @ turn.T])
    return found.astype(np.float32), np.concatenate([label, other_label])
