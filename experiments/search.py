"""Candidates: the settings a method is tried with, as many for source-only as for everything beside it."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from affect.errors import UserError
from experiments.config import Experiment, Range
from experiments.load import check, put

Space = Mapping[str, Sequence[Any] | Range]


@dataclass(frozen=True)
class Candidate:
    """One setting of one method.

    Args:
        drawn: dotted key → value, of the keys that are searched; empty where nothing is.
        experiment: with these values in it.
    """

    drawn: dict[str, Any]
    experiment: Experiment


def candidates(experiment: Experiment) -> dict[str, list[Candidate]]:
    """Method → what it is tried with; the experiment itself where nothing is searched.

    Raises:
        UserError: a space smaller than the budget, or a key that is none.
    """
    search = experiment.search
    if search is None:
        return {name: [Candidate({}, experiment)] for name in experiment.methods}
    found = {}
    common = [] if search.sampler == "grid" else _random(search.space, search.budget, search.seed)
    for number, (name, method) in enumerate(experiment.methods.items()):
        own = {f"methods.{name}.{key}": values for key, values in method.search.items()}
        if search.sampler == "grid":
            drawn = _grid({**search.space, **own}, search.budget, name)
        else:
            generator = np.random.default_rng([search.seed, 1 + number])
            drawn = [values | {key: _draw(choice, generator) for key, choice in own.items()} for values in common]
        found[name] = [Candidate(values, _with(experiment, values)) for values in drawn]
    return found


def _grid(space: Space, budget: int, method: str) -> list[dict[str, Any]]:
    """Every combination; the budget must be their number."""
    if continuous := [key for key, values in space.items() if isinstance(values, Range)]:
        raise UserError("search.sampler", f"'grid' over the range of {continuous[0]}", "a list", "take random")
    every = [dict(zip(space, values, strict=True)) for values in itertools.product(*space.values())]
    if len(every) != budget:
        raise UserError(
            "search.budget",
            f"{budget}, and a grid of {len(every)} for {method}",
            "the same number for every method, source-only too: an equal budget",
            f"take random, which draws from methods.{method}.search too, or search what all methods share alone",
        )
    return every


def _random(space: Space, budget: int, seed: int) -> list[dict[str, Any]]:
    """As many draws as the budget says, all different, of what all methods share: each is tried with the same ones."""
    most = math.prod(math.inf if isinstance(values, Range) else len(values) for values in space.values())
    if most < budget:
        raise UserError(
            "search.budget",
            f"{budget}, and {most:g} different settings of source-only",
            "as many settings for every method, source-only too: an equal budget",
            "give more values in search.space, or lower the budget",
        )
    generator = np.random.default_rng([seed, 0])
    drawn: list[dict[str, Any]] = []
    while len(drawn) < budget:
        values = {key: _draw(choice, generator) for key, choice in space.items()}
        if values not in drawn:
            drawn.append(values)
    return drawn


def _draw(choice: Sequence[Any] | Range, generator: np.random.Generator) -> Any:
    if not isinstance(choice, Range):
        return choice[int(generator.integers(len(choice)))]
    if choice.log:
        return float(np.exp(generator.uniform(math.log(choice.low), math.log(choice.high))))
    return float(generator.uniform(choice.low, choice.high))


def _with(experiment: Experiment, values: Mapping[str, Any]) -> Experiment:
    tree = experiment.model_dump()
    for key, value in values.items():
        put(tree, f"--{key}={yaml.safe_dump(value, default_flow_style=True).splitlines()[0]}")
    return check(tree, Path("search"))
