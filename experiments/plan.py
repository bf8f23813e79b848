"""The plan of an experiment: folds × seeds × methods × normalisations, each run in a folder named by its hash."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from affect.encoders import Encoder
from affect.errors import UserError
from affect.fusion import Fusion
from affect.learners.network import Network
from affect.preprocessing import Features, Step
from affect.preprocessing.normalisation import Normalisation, Setting, setting
from datamodules.cache import prepare
from datamodules.corpora.base import Corpus
from datamodules.fingerprint import code, digest
from datamodules.protocols import Fold, Protocol
from datamodules.targets import Target
from datamodules.windows import WindowSet, cut
from experiments.components import build
from experiments.config import Experiment, Method

_CODE = (
    *(f"affect/{room}" for room in ("alignment", "encoders", "evaluation", "fusion", "learners", "preprocessing")),
    *("affect/batch.py", "datamodules", "experiments/execute.py", "experiments/fit.py", "experiments/plan.py"),
)
"""Sources that make a run what it is: after a change there, runs are made anew."""


@dataclass(frozen=True)
class Run:
    """One fold × one seed × one method under one normalisation.

    Args:
        spec: all that determines the result; its hash names the folder.
        setting: what the method sees of the target.
    """

    fold: Fold
    seed: int
    method: str
    normalisation: Normalisation
    setting: Setting
    spec: dict[str, Any]
    folder: Path

    @property
    def done(self) -> bool:
        return (self.folder / "done").exists()

    @property
    def label(self) -> str:
        return f"{self.fold.name} · {self.method} · {self.normalisation} · seed {self.seed}"


@dataclass(frozen=True)
class Plan:
    """All runs of an experiment and the data they share.

    Args:
        labels: (n_trials,) class of every trial, −1 where unknown.
        classes: their names.
        folder: of the experiment's summary.
    """

    experiment: Experiment
    windows: WindowSet
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    folds: list[Fold]
    runs: list[Run]
    folder: Path
    dropped: list[str]

    def network(self) -> Network:
        """A new network for the plan's streams; its initial weights come from torch's global generator."""
        model = self.experiment.model
        encoders = {
            name: build(model.encoders[name], Encoder, f"model.encoders.{name}", {"shape": shape})  # type: ignore[type-abstract]
            for name, shape in self.windows.shapes.items()
        }
        dims = {name: encoder.out_dim for name, encoder in encoders.items()}
        fusion = build(model.fusion, Fusion, "model.fusion", {"dims": dims})  # type: ignore[type-abstract]
        return Network(encoders, fusion, len(self.classes))


def make(experiment: Experiment, progress: Callable[[str, int, int], None] = lambda what, done, total: None) -> Plan:
    """Prepare the data and lay out the runs.

    Args:
        experiment: as `check` returned it.

    Raises:
        UserError: bad data, or folds that cannot be learned from.
    """
    data = experiment.data
    streams, features = {}, {}
    for name, stream in data.streams.items():
        key = f"data.streams.{name}"
        streams[name] = [
            build(step, Step, f"{key}.steps.{i}")  # type: ignore[type-abstract]
            for i, step in enumerate(stream.steps)
        ]
        features[name] = build(stream.features, Features, f"{key}.features") if stream.features else None  # type: ignore[type-abstract]
    corpus = build(data.corpus, Corpus, "data.corpus")  # type: ignore[type-abstract]
    cache = prepare(corpus, streams, Path(data.cache).expanduser(), data.bad_trials, progress)
    table = cut(cache, data.window.seconds, data.window.step or data.window.seconds, data.window.short)
    windows = WindowSet(cache, table, features)
    target = build(data.target, Target, "data.target")  # type: ignore[type-abstract]
    labels = target.labels(cache.trials)
    protocol = build(experiment.protocol, Protocol, "protocol")  # type: ignore[type-abstract]
    kept = np.flatnonzero(target.keeps(cache.trials))
    folds = [fold.only(kept) for fold in protocol.split(cache.trials)]
    _check_folds(folds, labels, target.classes, windows, experiment.selection == "source-validation")
    shared = {
        "code": code(*_CODE),
        "data": cache.fingerprint,
        **experiment.model_dump(include={"model", "selection", "trainer"}, exclude={"trainer": {"checkpoint_every"}}),
        **{"window": data.window.model_dump(), "target": data.target.model_dump()},
        "features": {n: s.features.model_dump() if s.features else None for n, s in data.streams.items()},
    }
    output = Path(experiment.output).expanduser()
    runs = [
        _run(shared, fold, seed, name, method, normalisation, output)
        for fold in folds
        for seed in experiment.seeds
        for normalisation in experiment.normalisation
        for name, method in experiment.methods.items()
    ]
    folder = output / f"{experiment.name}-{digest([run.folder.name for run in runs], 8)}"
    plan = Plan(experiment, windows, labels, target.classes, folds, runs, folder, cache.dropped)
    plan.network()  # an encoder that cannot take its stream says so now, not in every run
    return plan


def _run(
    shared: dict[str, Any],
    fold: Fold,
    seed: int,
    name: str,
    method: Method,
    normalisation: Normalisation,
    output: Path,
) -> Run:
    spec = {
        **shared,
        "fold": {"name": fold.name, **{k: v.tolist() for k, v in vars(fold).items() if k != "name"}},
        "seed": seed,
        "normalisation": normalisation,
        **method.model_dump(),
    }
    spec = json.loads(json.dumps(spec))
    adapts = method.alignment is not None and method.alignment.init_args.get("weight", 1.0) != 0
    folder = output / "runs" / digest(spec)
    return Run(fold, seed, name, normalisation, setting(normalisation, adapts), spec, folder)


def _check_folds(
    folds: list[Fold], labels: NDArray[np.int64], classes: tuple[str, ...], windows: WindowSet, validates: bool
) -> None:
    for fold in folds:
        present = labels[windows.table.trial[windows.table.of_trials(fold.source_train)]]
        seen = np.unique(present[present >= 0])
        if len(seen) < len(classes):
            missing = [name for i, name in enumerate(classes) if i not in seen]
            raise UserError(
                f"fold {fold.name}",
                f"no training window of class {missing} ({len(present)} windows in all)",
                f"every class of the target: {list(classes)}",
                "move the threshold, choose other classes, or take more people",
            )
        val = labels[windows.table.trial[windows.table.of_trials(fold.source_val)]]
        if validates and not (val >= 0).any():
            raise UserError(
                f"fold {fold.name}",
                "no labelled window of held-out source people to choose an epoch with",
                "at least one",
                "raise protocol.validation, take more people, or set --selection=last",
            )
        if not (labels[windows.table.trial[windows.table.of_trials(fold.target_test)]] >= 0).any():
            raise UserError(
                f"fold {fold.name}",
                "no labelled window to test on",
                "at least one",
                "leave these people out with --data.corpus.subjects, or shorten the window",
            )
