"""Sentiment of Amazon reviews across domains: table 1 of the DANN paper, on counts and on mSDA.

Protocol (Ganin et al. 2016, sections 5.1.2–5.1.4): 2,000 labelled rows of the source, 2,000 unlabelled ones of the
target, a separate test set of the target. One hidden layer of 50 or 100, λ one of 9 from 0.01 to 1, C of the linear SVM
one of 10 from 1e-5 to 1, learning rate 1e-3 (1e-4 on mSDA), at most 200 epochs stopped early on a tenth of the source.
Everything is chosen by reverse validation (Zhong et al. 2010): a classifier η labels the target, a second one η_r
begins where η ended and learns from those labels, and is scored on the held-out source.

The paper leaves open, and here: η is scored as trained on nine tenths of the source; η_r begins with all weights of η,
the domain unit's too, as in the authors' code; of candidates with equal scores, which are frequent on 200 held-out
rows, the most regularised counts: small C, a small layer, a large λ. What the opposite rule gives is told.
"""

from collections.abc import Iterable, Iterator
from itertools import permutations
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from affect.errors import UserError
from datamodules.fingerprint import Fingerprints
from experiments.reproductions.amazon_grid import candidates
from experiments.reproductions.amazon_pairs import Representation, read
from experiments.reproductions.place import open_data
from experiments.reproductions.study import Row, Study

DOMAINS = ("books", "dvd", "electronics", "kitchen")
PAIRS = tuple(f"{source}-{target}" for source, target in permutations(DOMAINS, 2))
WEIGHTS = tuple(round(10 ** (-2 + i / 4), 6) for i in range(9))
COSTS = tuple(round(10 ** (-5 + 5 * i / 9), 9) for i in range(10))
METHODS = ("SVM", "NN", "DANN")
SELECTIONS = {"reverse validation": "reverse", "source validation": "source", "oracle": "test"}
"""Selection → the score it looks at; `oracle` looks at the target's test labels and is a bound, no result."""


class Amazon(Study):
    """SVM, NN (λ = 0) and DANN on the twelve pairs.

    Args:
        representation: `counts`, or `msda` for the counts and five layers of mSDA fitted on a pair's unlabelled rows.
        seeds: of the splits, the initial weights and the order of target rows.
        pairs: some of the twelve, `books-dvd` from books to dvd.
        hidden: sizes of the hidden layer.
        weights: λ beside 0.
        costs: C of the SVM.
        epochs: at most.
        root: folder of the svmlight files; default `amazon_reviews` in the folder AFFECT_DATA names (default data/).
    """

    name: ClassVar[str] = "amazon"
    sources: ClassVar[tuple[str, ...]] = tuple(
        f"experiments/reproductions/{file}.py" for file in ("amazon_grid", "amazon_pairs", "inputs", "msda", "networks")
    )

    def __init__(
        self,
        representation: Representation = "counts",
        seeds: tuple[int, ...] = (0, 1, 2),
        pairs: tuple[str, ...] = PAIRS,
        hidden: tuple[int, ...] = (50, 100),
        weights: tuple[float, ...] = WEIGHTS,
        costs: tuple[float, ...] = COSTS,
        epochs: int = 200,
        root: str | None = None,
    ) -> None:
        if unknown := sorted(set(pairs) - set(PAIRS)):
            raise UserError("pairs", f"{unknown}", f"some of {', '.join(PAIRS)}", "correct them")
        self.representation = representation
        self.seeds, self.pairs = seeds, pairs
        self.hidden, self.weights, self.costs, self.epochs = list(hidden), list(weights), list(costs), epochs
        self.root = open_data("amazon_reviews", root)
        files = [self.root / f"{domain}_{part}.svmlight" for domain in DOMAINS for part in ("train", "test")]
        self._data = Fingerprints(Path("no memo")).of(files)

    def identity(self) -> dict[str, Any]:
        grid = {"hidden": self.hidden, "weights": self.weights, "costs": self.costs, "epochs": self.epochs}
        return {"representation": self.representation, **grid, "data": self._data}

    def units(self) -> list[str]:
        return [f"{pair}-{seed}" for seed in self.seeds for pair in self.pairs]

    def compute(self, unit: str) -> dict[str, Any]:
        """Every candidate of the grids with its three scores; nothing is selected here."""
        source, target, number = unit.split("-")
        seed = int(number)
        pair = read(self.root, source, target, [seed, PAIRS.index(f"{source}-{target}")])
        grid = (self.hidden, self.weights, self.costs, self.epochs)
        return {"candidates": candidates(pair, self.representation, *grid, seed), "overlap": pair.overlap}

    def rows(self, found: dict[str, dict[str, Any]]) -> list[Row]:
        """Test accuracy of every method under every selection."""
        rows = []
        for unit, result in found.items():
            source, target, seed = unit.split("-")
            for method, selection, accuracy in _selected(result["candidates"]):
                task = f"{source[0]}→{target[0]}"
                rows.append(Row(f"{method}, {selection}", task, "accuracy", int(seed), accuracy))
        return rows

    def notes(self, found: dict[str, dict[str, Any]]) -> list[str]:
        shares = [100 * result["overlap"] for result in found.values()]
        mean, other = (_means(found.values(), most) for most in (True, False))
        regret = [
            f"{method} {mean[method, 'oracle'] - value:.3f} by {selection}"
            for (method, selection), value in mean.items()
            if selection != "oracle"
        ]
        rule = ", ".join(f"{method} {other[method, 'reverse validation']:.4f}" for method in METHODS)
        return [
            f"regret (accuracy below the oracle's choice, mean over pairs and seeds): {', '.join(regret)}",
            f"by reverse validation, with the least regularised of candidates with equal scores: {rule}",
            f"{min(shares):.1f} to {max(shares):.1f} % of a target's test rows equal a row of its unlabelled training"
            " set: duplicates of the published files, kept as the paper has them",
        ]


def _selected(candidates: list[dict[str, Any]], most_regularised: bool = True) -> Iterator[tuple[str, str, float]]:
    """Method, selection, test accuracy of what is selected."""
    sign = 1 if most_regularised else -1

    def rank(candidate: dict[str, Any], score: str) -> tuple[float, ...]:
        ease = (-candidate.get("cost", 0), -candidate.get("hidden", 0), candidate.get("weight", 0))
        return float(candidate[score]), *(sign * value for value in ease)

    for method in METHODS:
        grid = [candidate for candidate in candidates if candidate["method"] == method]
        for selection, score in SELECTIONS.items():
            yield method, selection, float(max(grid, key=lambda candidate: rank(candidate, score))["test"])


def _means(results: Iterable[dict[str, Any]], most_regularised: bool) -> dict[tuple[str, str], float]:
    """Test accuracy by (method, selection), over pairs and seeds."""
    values: dict[tuple[str, str], list[float]] = {}
    for result in results:
        for method, selection, accuracy in _selected(result["candidates"], most_regularised):
            values.setdefault((method, selection), []).append(accuracy)
    return {name: float(np.mean(found)) for name, found in values.items()}
