"""The plan of an experiment: folds × seeds × methods × normalisations, each run in a folder named by its hash."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from affect.alignment.base import Sees
from affect.errors import UserError
from affect.evaluation.selection import READS_TARGET
from affect.preprocessing.normalisation import Normalisation, setting
from affect.transfer.weights import Weights
from datamodules.fingerprint import code, digest, foreign, versions
from datamodules.protocols import Fold, Protocol
from datamodules.targets import Target
from datamodules.windows import WindowSet, cut
from experiments.components import build
from experiments.config import Experiment
from experiments.data import build_targets, prepared
from experiments.folds import check_baselines, check_folds, check_streams
from experiments.network import (
    alignment_of,
    build_augmentations,
    build_encoders,
    build_network,
    build_objective,
    check_alignment,
    check_classical,
    find_weights,
    streams_of,
    transfer_of,
)
from experiments.search import Candidate, candidates

_CODE = (
    *(f"affect/{room}" for room in ("alignment", "augmentation", "classical", "encoders", "evaluation", "fusion")),
    *(f"affect/{room}" for room in ("learners", "preprocessing", "pretraining", "transfer")),
    *("affect/batch.py", "datamodules"),
    *(
        f"experiments/{name}.py"
        for name in (
            "classical",
            "devices",
            "evidence",
            "execute",
            "fit",
            "learn",
            "network",
            "plan",
            "predict",
            "pretrain",
        )
    ),
)
"""Sources that make a run what it is: after a change there, runs are made anew."""


@dataclass(frozen=True)
class Run:
    """One fold × one seed × one method under one normalisation.

    Args:
        spec: all that determines the result; its hash names the folder.
        setting: what the method sees of the target.
        joint: whether training batches hold unlabelled windows of the target.
        experiment: with the values of a search in it.
        drawn: those values, by their dotted keys.
        weights: stream → what its encoder begins with.
    """

    fold: Fold
    seed: int
    method: str
    normalisation: Normalisation
    setting: str
    joint: bool
    spec: dict[str, Any]
    folder: Path
    weights: dict[str, Weights]
    experiment: Experiment
    drawn: dict[str, Any]

    @property
    def done(self) -> bool:
        return (self.folder / "done").exists()

    @property
    def label(self) -> str:
        drawn = [f"{key.rpartition('.')[2]} {_short(value)}" for key, value in self.drawn.items()]
        return " · ".join([self.fold.name, self.method, self.normalisation, f"seed {self.seed}", *drawn])


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True)
class Plan:
    """All runs of an experiment and the data they share.

    Args:
        labels: (n_windows, Q) number of the class or value of every window for each target, NaN where unknown.
        folder: of the experiment's summary.
        contents: corpus → hash of its trials and ratings, however they are prepared.
    """

    experiment: Experiment
    windows: WindowSet
    targets: list[Target]
    labels: NDArray[np.float32]
    folds: list[Fold]
    runs: list[Run]
    folder: Path
    dropped: list[str]
    contents: Mapping[str, str]

    @property
    def classes(self) -> list[int]:
        """Number of classes of each target, 0 for a regression."""
        return [len(target.classes) for target in self.targets]

    def people(self, rows: NDArray[np.int64]) -> list[str]:
        """`corpus/person` of everybody in these trials."""
        return people_of(self.windows, rows)


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
    labels = np.zeros((len(windows.table), len(targets)), np.float32)
    for i, target in enumerate(targets):
        labels[:, i] = target.labels(windows)
    protocol = build(experiment.protocol, Protocol, "protocol")
    kept = np.flatnonzero(np.all([target.keeps(cache.trials) for target in targets], axis=0)) if targets else None
    folds = [fold if kept is None else fold.only(kept) for fold in protocol.split(cache.trials)]
    if kept is not None and len(kept) < len(cache.trials) and any(fold.calibration for fold in folds):
        raise UserError(
            "protocol.calibration",
            f"with targets that leave out {len(cache.trials) - len(kept)} of {len(cache.trials)} trials",
            "targets that know every trial: the few drawn might not be among those that are left",
            "take all classes, or no calibration",
        )
    check_folds(folds, targets, labels, windows, experiment.selection == "source-validation", experiment.pretraining)
    check_baselines(folds, windows, experiment.normalisation)
    check_streams(folds, windows, {name: streams_of(experiment, name) for name in experiment.methods})
    output = Path(experiment.output).expanduser()
    tried = candidates(experiment)
    shared = {
        name: [_shared(candidate.experiment, cache.fingerprint) for candidate in several]
        for name, several in tried.items()
    }
    runs = [
        run
        for fold in folds
        for seed in experiment.seeds
        for normalisation in experiment.normalisation
        for run in _runs(tried, shared, windows, fold, seed, normalisation, output)
    ]
    by = [experiment.selection] if experiment.search else []  # the same runs, another choice among them
    folder = output / f"{experiment.name}-{digest([*by, *(run.folder.name for run in runs)], 8)}"
    first = {(run.method, str(run.drawn)): run for run in reversed(runs)}
    for (method, _), run in first.items():
        own = run.experiment  # a candidate's
        if own.methods[method].classical:
            check_classical(own, method, windows.shapes, targets)
        else:
            # An encoder that cannot take its stream, or weights that do not fit, say so now and not in every run.
            if own.pretraining and own.pretraining.objective:
                build_objective(own, windows.shapes, build_encoders(own, method, windows.shapes, run.weights))
            else:
                network = build_network(own, method, windows.shapes, targets, run.weights).network
                check_alignment(own, method, network, folds, windows, labels)
                build_augmentations(own.model.augmentations, "model.augmentations", windows.shapes)
    return Plan(experiment, windows, targets, labels, folds, runs, folder, cache.dropped, cache.contents)


def people_of(windows: WindowSet, rows: NDArray[np.int64]) -> list[str]:
    """`corpus/person` of everybody in these trials; in joined corpora a person is called so already."""
    trials = windows.trials.iloc[rows]
    names = (
        s if s.startswith(f"{c}/") else f"{c}/{s}" for c, s in zip(trials["corpus"], trials["subject"], strict=True)
    )
    return list(dict.fromkeys(names))


def _shared(experiment: Experiment, fingerprint: str) -> dict[str, Any]:
    """What determines every run of an experiment."""
    data = experiment.data
    return {
        "code": [code(*_CODE), *versions()],
        "foreign": sorted({f"{m} {source}" for m in _modules(experiment.model_dump()) if (source := foreign(m))}),
        **experiment.compute.model_dump(),
        "data": fingerprint,
        "epoch": "best" if experiment.selection == "source-validation" else "last",
        **experiment.model_dump(
            include={"model", "trainer", "domain", "pretraining", "missing_streams"},
            exclude={"trainer": {"checkpoint_every"}, "model": {"transfer"}},
        ),
        **{"window": data.window.model_dump(), "targets": [target.model_dump() for target in data.target]},
        "features": {n: s.features.model_dump() if s.features else None for n, s in data.streams.items()},
    }


def _known(weights: Weights | None) -> Any:
    """What of weights determines a run: their content, and who is on their card."""
    if weights is None:
        return None
    return {"digest": weights.digest, "people": weights.card.people if weights.card else None}


def _modules(tree: Any) -> list[str]:
    """The module of every class path of a config."""
    if isinstance(tree, dict):
        own = [str(tree["class_path"]).rpartition(".")[0]] if "class_path" in tree else []
        return own + [path for value in tree.values() for path in _modules(value)]
    return [path for value in tree for path in _modules(value)] if isinstance(tree, list) else []


def _runs(
    tried: dict[str, list[Candidate]],
    shared: dict[str, list[dict[str, Any]]],
    windows: WindowSet,
    fold: Fold,
    seed: int,
    normalisation: Normalisation,
    output: Path,
) -> list[Run]:
    """One for each candidate of each method."""
    target = np.concatenate([fold.target_unlabelled, fold.target_test, fold.target_calibration])
    tested = people_of(windows, np.unique(target).astype(np.int64))
    runs = []
    for name, several in tried.items():
        for candidate, own in zip(several, shared[name], strict=True):
            experiment, method = candidate.experiment, candidate.experiment.methods[name]
            weights = {} if method.classical else find_weights(experiment, name, seed, fold.name, tested, normalisation)
            transfer = {} if method.classical else transfer_of(experiment, name)
            spec = {
                **own,
                "fold": {"name": fold.name, **{part: rows.tolist() for part, rows in fold.parts.items()}},
                "seed": seed,
                "normalisation": normalisation,
                **method.model_dump(exclude={"transfer", "search"}),
                "transfer": {
                    stream: {"mode": section.mode.model_dump(), "weights": _known(weights.get(stream))}
                    for stream, (_, section) in transfer.items()
                },
            }
            spec = json.loads(json.dumps(spec))
            aligns = alignment_of(experiment, name)
            sees: Sees | Literal["labels"] = aligns.sees if aligns else "nothing"
            if experiment.selection in READS_TARGET:
                sees = "windows"
            if experiment.selection == "oracle":
                sees = "labels"
            runs.append(
                Run(
                    fold=fold,
                    seed=seed,
                    method=name,
                    normalisation=normalisation,
                    setting=setting(normalisation, sees, fold.calibration),
                    joint=aligns is not None and aligns.joint,
                    spec=spec,
                    folder=output / "runs" / digest(spec),
                    weights=weights,
                    experiment=experiment,
                    drawn=candidate.drawn,
                )
            )
    return runs
