"""The candidates of the DANN paper's grids on one pair of domains: trained, and scored for every kind of selection."""

from typing import Any

import numpy as np
from sklearn.svm import SVC

from experiments.reproductions.amazon_pairs import Pair, Representation, represent, uniform
from experiments.reproductions.inputs import Floats, Inputs
from experiments.reproductions.networks import Networks, Task, train

RATE: dict[Representation, float] = {"counts": 1e-3, "msda": 1e-4}


def candidates(
    pair: Pair,
    representation: Representation,
    hidden: list[int],
    weights: list[float],
    costs: list[float],
    epochs: int,
    seed: int,
) -> list[dict[str, Any]]:
    """SVM under every C, then for every size of the hidden layer NN (λ = 0) and DANN under every λ.

    Each tells its `method`, its place in the grid, and three accuracies: `source` of η on the held-out source,
    `reverse` of η_r there, `test` of η on the target's test rows.
    """
    draw = np.random.default_rng(seed)
    gram, layers = represent(pair, representation, hidden, draw)
    found = [_svm(pair, gram, cost) for cost in costs]
    weight = np.array([0, *weights], np.float32)
    for size, inputs in zip(hidden, layers, strict=True):
        head = uniform(draw, (2, size), 2 + size)
        found += _networks(pair, inputs, head, weight, RATE[representation], epochs, seed)
    return found


def _networks(
    pair: Pair, inputs: Inputs, head: Floats, weight: Floats, rate: float, epochs: int, seed: int
) -> list[dict[str, Any]]:
    """NN and DANN of one size under every λ: η from source to target, then η_r from target to source."""
    source, target, source_held, target_held, test = (pair.part(number) for number in range(5))
    own, held = (np.repeat(label[:, None], len(weight), axis=1) for label in pair.label)
    there = Task(inputs, source, target, own, source_held, held)
    networks, epoch = train(Networks.untrained(len(weight), inputs, head), there, weight, weight, rate, epochs, seed)
    told, told_held = networks.predict(inputs, target), networks.predict(inputs, target_held)
    back = Task(inputs, target, source, told, target_held, told_held)
    reverse, _ = train(networks, back, weight, weight, rate, epochs, seed)
    scores = {
        "source": networks.predict(inputs, source_held) == held,
        "reverse": reverse.predict(inputs, source_held) == held,
        "test": networks.predict(inputs, test) == pair.test_label[:, None],
    }
    return [
        {
            "method": "DANN" if weight[n] else "NN",
            "hidden": head.shape[1],
            "weight": round(float(weight[n]), 6),
            "epoch": epoch[n],
            **{name: float(right[:, n].mean()) for name, right in scores.items()},
        }
        for n in range(len(weight))
    ]


def _svm(pair: Pair, gram: Floats, cost: float) -> dict[str, Any]:
    """The linear SVM under one C, and its reverse classifier."""
    source, target, source_held, _, test = (pair.part(number) for number in range(5))
    model = SVC(C=cost, kernel="precomputed").fit(gram[np.ix_(source, source)], pair.label[0])
    told = model.predict(gram[np.ix_(target, source)])
    returned = np.full(len(source_held), told[0])
    if told.min() < told.max():
        reverse = SVC(C=cost, kernel="precomputed").fit(gram[np.ix_(target, target)], told)
        returned = reverse.predict(gram[np.ix_(source_held, target)])
    scores = {
        "source": model.predict(gram[np.ix_(source_held, source)]) == pair.label[1],
        "reverse": returned == pair.label[1],
        "test": model.predict(gram[np.ix_(test, source)]) == pair.test_label,
    }
    return {"method": "SVM", "cost": cost, **{name: float(right.mean()) for name, right in scores.items()}}
