"""A sweep: a YAML of W&B's form whose trials are commands of the door, checked before anything runs."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, PositiveInt, ValidationError, model_validator

from affect.errors import UserError
from affect.evaluation.selection import NEEDS_VALIDATION
from datamodules.protocols import Protocol
from experiments.check import check
from experiments.components import build
from experiments.config import Experiment, Section
from experiments.load import load, pairs, read
from experiments.objective import Objective


class Parameter(Section):
    """One value, some values, or a range; W&B's words."""

    value: Any = None
    values: Annotated[list[Any], Field(min_length=1)] | None = None
    min: int | float | None = None
    max: int | float | None = None
    distribution: Literal["constant", "categorical", "int_uniform", "uniform", "log_uniform_values"] | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> "Parameter":
        if None in (self.values or []) or (self.value, self.values, self.min) == (None, None, None):
            raise ValueError("value, values (none of them null, which an agent writes as None), or min and max")
        if self.min is not None and (self.max is None or self.min >= self.max or self.value is not None or self.values):
            raise ValueError("min below max, and neither value nor values")
        if self.distribution == "log_uniform_values" and not (self.min or 0) > 0:
            raise ValueError("log_uniform_values between min above 0 and max")
        return self

    @property
    def choices(self) -> list[str] | None:
        """As an agent writes them; None of a range."""
        if self.min is not None:
            return None
        return [str(value) for value in (self.values if self.values is not None else [self.value])]

    @property
    def whole(self) -> bool:
        """Whether a range is of whole numbers."""
        return self.distribution == "int_uniform" or (
            self.distribution is None and isinstance(self.min, int) and isinstance(self.max, int)
        )

    @property
    def log(self) -> bool:
        return self.distribution == "log_uniform_values"

    def examples(self) -> list[str]:
        """What is tried before anything runs: all choices, or both ends."""
        return self.choices if self.choices is not None else [str(self.min), str(self.max)]

    def draw(self, generator: np.random.Generator) -> str | float | int:
        if self.choices is not None:
            return self.choices[int(generator.integers(len(self.choices)))]
        assert self.min is not None
        assert self.max is not None
        if self.whole:
            return int(generator.integers(int(self.min), int(self.max) + 1))
        if self.log:
            return float(np.exp(generator.uniform(np.log(self.min), np.log(self.max))))
        return float(generator.uniform(self.min, self.max))


class Metric(Section):
    name: str
    goal: Literal["maximize"]


class EarlyTerminate(Section):
    type: Literal["hyperband"]
    min_iter: PositiveInt
    """Runs of a trial before it may be stopped."""
    eta: Annotated[int, Field(ge=2)] = 3
    """One in so many goes on at each of min_iter · etaⁿ runs."""


class Sweep(Section):
    """A file for `wandb sweep`, or for scripts/sweep.py."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    description: str = ""
    project: str | None = None
    entity: str | None = None
    program: Literal["experiments/run.py"]
    method: Literal["grid", "random", "bayes"]
    metric: Metric
    parameters: Annotated[dict[str, Parameter], Field(min_length=1)]
    early_terminate: EarlyTerminate | None = None
    run_cap: PositiveInt | None = None
    """Trials, unless a command says otherwise."""
    command: list[str]

    @property
    def arguments(self) -> list[str]:
        """Of the door, the same for every trial; `--config` is one of them."""
        given = pairs([part for part in self.command if part != "${args}"])
        return [part for part in given if part.startswith("--")]


@dataclass(frozen=True)
class Checked:
    """A sweep that may run.

    Args:
        overrides: of every trial, beside what is drawn for it.
        experiment: without what is drawn.
    """

    sweep: Sweep
    config: Path
    overrides: list[str]
    experiment: Experiment

    @property
    def objective(self) -> Objective:
        return Objective.named(self.sweep.metric.name)

    def trial(self, drawn: Mapping[str, Any], *more: str) -> Experiment:
        """The experiment of a trial, checked."""
        return check(load(self.config, [*self.overrides, *written(drawn), *more]))

    def grid(self) -> list[dict[str, str]]:
        """Every combination."""
        every = [parameter.choices or [] for parameter in self.sweep.parameters.values()]
        return [dict(zip(self.sweep.parameters, values, strict=True)) for values in itertools.product(*every)]

    def drawn(self, number: int) -> dict[str, Any]:
        """The number-th random trial; it depends on nothing else."""
        generator = np.random.default_rng([0, number])
        return {key: parameter.draw(generator) for key, parameter in self.sweep.parameters.items()}


def written(drawn: Mapping[str, Any]) -> list[str]:
    """Drawn values as an agent of W&B gives them to the door."""
    return [f"--{key}={value}" for key, value in drawn.items()]


def load_sweep(path: Path, overrides: Sequence[str] = ()) -> Checked:
    """Read a sweep and check it with its experiment.

    Args:
        overrides: of the experiment, for every trial.

    Raises:
        UserError: not a sweep, an objective that looks at target labels, a parameter that is no config key.
    """
    try:
        sweep = Sweep.model_validate(read(path))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or str(path)
        raise UserError(key, f"{first['input']!r}", first["msg"], f"correct {path}") from None
    if "${args}" not in sweep.command or not (configs := [a for a in sweep.arguments if a.startswith("--config=")]):
        raise UserError("command", f"{sweep.command}", "--config FILE and ${args}", f"see {path.parent}")
    config = Path(configs[-1].partition("=")[2])
    every = [argument for argument in sweep.arguments if not argument.startswith("--config=")] + list(overrides)
    experiment = check(load(config, every))
    _check_objective(Objective.named(sweep.metric.name), experiment)
    checked = Checked(sweep, config, every, experiment)
    for key, parameter in sweep.parameters.items():
        if sweep.method == "grid" and parameter.choices is None:
            raise UserError(f"parameters.{key}", "a range in a grid", "values", "list them, or take random or bayes")
        for example in parameter.examples():
            _check_key(checked, key, example)
    return checked


def _check_key(checked: Checked, key: str, value: str) -> None:
    first, _, rest = key.partition(".")
    if first not in ("trainer", "model", "methods") or not rest:
        raise UserError(
            f"parameters.{key}",
            "a key that is none, or that changes what trials are judged on",
            "a dotted key of the experiment below trainer, model or methods",
            "see experiments/run.py --help",
        )
    try:
        tried = checked.trial({key: value})
    except UserError as error:
        where = f"parameters.{key}" if key in error.where else f"parameters.{key} ({error.where})"
        raise UserError(where, error.found, error.expected, error.remedy) from None
    if strange := set(tried.methods) - set(checked.experiment.methods):
        own = ", ".join(checked.experiment.methods)
        raise UserError(f"parameters.{key}", f"no method {strange.pop()!r}", f"one of {own}", "correct the name")


def _check_objective(objective: Objective, experiment: Experiment) -> None:
    if objective.method not in (None, *experiment.methods):
        own = ", ".join(experiment.methods)
        raise UserError("metric.name", f"no method {objective.method!r}", f"one of {own}", "correct the name")
    if experiment.pretraining or experiment.search or experiment.selection == "oracle":
        key = "pretraining" if experiment.pretraining else "search" if experiment.search else "selection"
        raise UserError(
            key, "in a sweep", "an experiment whose runs are scored, and chosen by the sweep", "take it out"
        )
    if objective.validator in NEEDS_VALIDATION and not build(experiment.protocol, Protocol, "protocol").holds_out:
        raise UserError(
            "metric.name",
            f"{objective.name!r} without held-out source people",
            "protocol.validation above 0",
            "add --protocol.validation=0.2 to the command, or take another validator",
        )
