"""Figures that take the prepared data and the trained networks: embeddings, topographies, attributions."""

import json
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from affect.errors import UserError
from affect.evaluation.probe import every
from affect.learners.adaptive import Adaptive
from affect.preprocessing.spectral import BANDS, band_variance
from affect.reporting.figures import embedding, topomap
from affect.reporting.figures.embedding import POINTS, Embedded
from affect.reporting.page import Shown
from datamodules.module import FoldData
from experiments.learn import learner_and_data
from experiments.plan import Plan, Run, make
from experiments.report.attribution import COLUMNS, attributions, on_the_head
from experiments.report.figures import REFERENCE
from experiments.report.folder import ExperimentFolder
from experiments.streams import grouped

Rows = NDArray[np.int64]


def deep_figures(folder: ExperimentFolder, overrides: Sequence[str] = ()) -> Iterator[Shown]:
    """All of them that the experiment's streams allow.

    Args:
        overrides: of the config, as `--data.corpus.root=…`.

    Raises:
        UserError: data or code are no longer those of the folder, or a library is missing.
    """
    plan = plan_of(folder, overrides)
    yield from embeddings(plan)
    yield from class_differences(plan)
    yield from attributions(plan, learned)


def plan_of(folder: ExperimentFolder, overrides: Sequence[str]) -> Plan:
    """The plan that the folder was made by."""
    from experiments.check import check
    from experiments.load import load

    where = f"--output={folder.path.resolve().parent}"
    plan = make(check(load(folder.path / "config.yaml", [*overrides, where])))
    if plan.folder.name != folder.path.name:
        raise UserError(
            folder.path,
            f"another experiment than this code and these data make, {plan.folder.name}",
            "trained networks of the same code and data",
            "run the experiment again, or leave out --deep",
        )
    return plan


def learned(plan: Plan, run: Run) -> tuple[Adaptive, FoldData]:
    """A run's network as it was when the run ended, and its data."""
    learner, data = learner_and_data(plan, run)
    learner.load_state_dict(load_file(run.folder / "weights.safetensors"))
    learner.eval()
    return learner, data


def embeddings(plan: Plan) -> Iterator[Shown]:
    """Of the first fold and seed, for each normalisation: source-only beside the first method that aligns."""
    groups = {row: runs[0] for row, runs in grouped(plan).items() if (runs[0].folder / "weights.safetensors").exists()}
    for norm in plan.experiment.normalisation:
        aligned = [m for (m, n) in groups if n == norm and plan.experiment.methods[m].alignment]
        chosen = [run for m in (REFERENCE, *aligned[:1]) if (run := groups.get((m, norm)))]
        if not chosen or not len(chosen[0].fold.target_test):
            continue
        target = plan.targets[0]
        panels = {f"{run.method}/{norm}": _embedded(plan, run) for run in chosen}
        title = f"{plan.experiment.name}: embeddings of fold {chosen[0].fold.name}, normalised by {norm}"
        caption = "Fused embeddings of source-train and of the tested, before and after alignment. A-distance: what a "
        caption += "linear probe tells source and target apart by, 0 alike, 2 apart, before → after training. "
        caption += "UMAP: near is near, distances between clusters mean little."
        drawn = embedding.draw(title, target.classes or ("all",), panels)
        yield Shown(f"embedding-{norm}", caption, drawn)


def _embedded(plan: Plan, run: Run) -> Embedded:
    try:
        import umap  # noqa: F401
    except ImportError:
        raise UserError("umap-learn", "not installed", "the extra `figures`", "uv sync --extra figures") from None
    learner, data = learned(plan, run)
    draw = np.random.default_rng(0)
    tested = np.sort(draw.permutation(data.target_test)[: POINTS // 3])
    source = np.sort(draw.permutation(data.source_train)[: POINTS - len(tested)])
    rows = np.concatenate([source, tested])
    with torch.inference_mode():
        features = torch.cat([learner.network.read(batch).features for batch in data.in_order(rows)]).numpy()
    label = plan.labels[rows, 0]
    classes = plan.classes[0]
    known = json.loads((run.folder / "metrics.json").read_text(encoding="utf-8")).get("alignment", {})
    told = [f"{value:.2f}" if value is not None else "–" for value in known["a_distance"].values()]
    return {
        "place": embedding.plane(features),
        "label": np.where(np.isnan(label), -1, label if classes else 0).astype(np.int64),
        "person": plan.windows.subject[plan.windows.table.trial[rows]],
        "target": np.isin(rows, tested),
        "probe": f"linear probe: A-distance {' → '.join(told)}",
    }


def class_differences(plan: Plan) -> Iterator[Shown]:
    """Of streams of electrodes: how classes differ, each person standardised first."""
    target, label = plan.targets[0], plan.labels[:, 0]
    if not target.classes:
        return
    rows = every(np.flatnonzero(~np.isnan(label)))
    person = plan.windows.subject[plan.windows.table.trial[rows]]
    for name, stream in plan.windows.streams.items():
        if not on_the_head(stream.shape.channels) or stream.shape.size:
            continue
        values, columns = stream.gather(rows), list(BANDS)
        if stream.shape.rate:
            below = {band: edges for band, edges in BANDS.items() if edges[1] < stream.shape.rate / 2}
            values, columns = np.log(band_variance(values, stream.shape.rate, below) + 1e-12), list(below)
        else:
            made = plan.windows.cache.streams[name].features
            columns = list(made.names) if made else []
        if not 0 < len(columns) <= COLUMNS:
            continue
        z = np.full(values.shape, np.nan)
        for one in np.unique(person):
            own = values[person == one]
            z[person == one] = (own - own.mean(axis=0)) / np.maximum(own.std(axis=0), 1e-12)
        pairs = enumerate(target.classes) if len(target.classes) > 2 else [(1, target.classes[1])]
        lines = {}
        for number, what in pairs:
            found = _difference(z, label[rows] == number, person)
            rest = target.classes[0] if len(target.classes) == 2 else "the rest"
            lines[f"{what}\n− {rest}"] = {column: found[:, i] for i, column in enumerate(columns)}
        drawn = topomap.draw(
            {
                "title": f"{plan.experiment.name}: how {target.name} differs in {name}",
                "channels": stream.shape.channels,
                "rows": lines,
                "signed": True,
                "unit": "difference of means, z",
                "note": "each person's windows standardised, differences averaged over people",
            }
        )
        yield Shown(f"difference-{name}", "Red: more in the class that is named first. Labels of everybody.", drawn)


def _difference(z: NDArray[np.float64], has: NDArray[np.bool_], person: Rows) -> NDArray[np.float64]:
    """(C, F) mean over people of the difference between windows that have the class and the others."""
    people = [one for one in np.unique(person) if 0 < has[person == one].sum() < (person == one).sum()]
    found = [z[(person == one) & has].mean(axis=0) - z[(person == one) & ~has].mean(axis=0) for one in people]
    mean: NDArray[np.float64] = np.mean(found, axis=0) if found else np.zeros(z.shape[1:])
    return mean
