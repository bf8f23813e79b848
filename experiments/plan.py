"""The plan of an experiment: folds × seeds × methods × normalisations, each run in a folder named by its hash."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from affect.encoders import Encoder
from affect.fusion import Fusion
from affect.learners.network import Network
from affect.preprocessing.normalisation import Normalisation, Setting, setting
from datamodules.fingerprint import code, digest, foreign, versions
from datamodules.protocols import Fold, Protocol
from datamodules.targets import Target
from datamodules.windows import WindowSet, cut
from experiments.components import build
from experiments.config import Experiment, Method
from experiments.data import build_targets, prepared
from experiments.folds import check_baselines, check_folds

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
        labels: (n_windows, Q) number of the class or value of every window for each target, NaN where unknown.
        folder: of the experiment's summary.
    """

    experiment: Experiment
    windows: WindowSet
    targets: list[Target]
    labels: NDArray[np.float32]
    folds: list[Fold]
    runs: list[Run]
    folder: Path
    dropped: list[str]

    @property
    def classes(self) -> list[int]:
        """Number of classes of each target, 0 for a regression."""
        return [len(target.classes) for target in self.targets]

    def network(self, centre: Sequence[float] | None = None, spread: Sequence[float] | None = None) -> Network:
        """A new network for the plan's streams; its initial weights come from torch's global generator.

        Args:
            centre, spread: of each target, as FoldData fitted them.
        """
        model = self.experiment.model
        encoders = {
            name: build(model.encoders[name], Encoder, f"model.encoders.{name}", {"shape": shape})
            for name, shape in self.windows.shapes.items()
        }
        dims = {name: encoder.out_dim for name, encoder in encoders.items()}
        fusion = build(model.fusion, Fusion, "model.fusion", {"dims": dims})
        heads = {target.name: len(target.classes) for target in self.targets}
        return Network(encoders, fusion, heads, centre, spread)


def make(experiment: Experiment, progress: Callable[[str, int, int], None] = lambda what, done, total: None) -> Plan:
    """Prepare the data and lay out the runs.

    Args:
        experiment: as `check` returned it.

    Raises:
        UserError: bad data, or folds that cannot be learned from.
    """
    data, targets = experiment.data, build_targets(experiment)
    cache = prepared(experiment, progress)
    windows = WindowSet(cache, cut(cache), list(data.streams))
    labels = np.stack([target.labels(windows) for target in targets], axis=1)
    protocol = build(experiment.protocol, Protocol, "protocol")
    kept = np.flatnonzero(np.all([target.keeps(cache.trials) for target in targets], axis=0))
    folds = [fold.only(kept) for fold in protocol.split(cache.trials)]
    check_folds(folds, targets, labels, windows, experiment.selection == "source-validation")
    check_baselines(folds, windows, experiment.normalisation)
    shared = {
        "code": [code(*_CODE), *versions()],
        "foreign": sorted({f"{m} {source}" for m in _modules(experiment.model_dump()) if (source := foreign(m))}),
        "accelerator": experiment.compute.accelerator,
        "data": cache.fingerprint,
        **experiment.model_dump(
            include={"model", "selection", "trainer", "domain"}, exclude={"trainer": {"checkpoint_every"}}
        ),
        **{"window": data.window.model_dump(), "targets": [target.model_dump() for target in data.target]},
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
    plan = Plan(experiment, windows, targets, labels, folds, runs, folder, cache.dropped)
    plan.network()  # an encoder that cannot take its stream says so now, not in every run
    return plan


def _modules(tree: Any) -> list[str]:
    """The module of every class path of a config."""
    if isinstance(tree, dict):
        own = [str(tree["class_path"]).rpartition(".")[0]] if "class_path" in tree else []
        return own + [path for value in tree.values() for path in _modules(value)]
    return [path for value in tree for path in _modules(value)] if isinstance(tree, list) else []


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
