"""A pretraining run: encoders learn from a fold's source people, and are left behind with their cards."""

import json
from dataclasses import asdict
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
import yaml
from pytorch_lightning.loggers import Logger
from safetensors.torch import save

from affect.encoders import Encoder
from affect.learners.adaptive import Adaptive
from affect.learners.base import Learner
from affect.learners.pretraining import Pretraining
from affect.transfer.card import Card, beside
from datamodules.atomic import replacing, write_text
from datamodules.fingerprint import digest
from datamodules.module import FoldData
from experiments.fit import Report, fit
from experiments.learn import fold_data, keep_learner, learner_and_data
from experiments.network import build_encoders, build_objective
from experiments.plan import Plan, Run


def pretrain(plan: Plan, run: Run, logger: Logger | None, report: Report) -> dict[str, Any]:
    """Train, then leave `<stream>.safetensors` and its card `<stream>.json` for every stream.

    Returns:
        The numbers of the epoch whose weights are kept, also in `metrics.json`.
    """
    learner, data = _learner_and_data(plan, run)
    fit(plan, run, learner, data, _learner_and_data, logger, report)
    within = learner.encoders if isinstance(learner, Pretraining) else cast("Adaptive", learner).network.encoders
    encoders = cast("dict[str, Encoder]", dict(within.items()))
    chosen = learner.curves[-1]
    if plan.experiment.selection == "source-validation":
        chosen = min(learner.curves, key=lambda row: row[learner.monitor])
    last = {name: value for name, value in chosen.items() if name not in ("epoch", "step")}
    metric = {
        **{name: round(value, 6) for name, value in last.items()},
        "epoch": chosen["epoch"],
        "validated_on": plan.people(run.fold.source_val),
    }
    for name, encoder in encoders.items():
        state = {key: tensor.contiguous() for key, tensor in encoder.state_dict().items()}
        with replacing(run.folder / f"{name}.safetensors") as temporary:
            temporary.write_bytes(save(state))
        write_text(beside(run.folder / f"{name}.safetensors"), _card(plan, run, name, metric).text())
    keep_learner(learner, run.folder)
    result = {"objective": _objective(plan), "numbers": last}
    write_text(run.folder / "metrics.json", json.dumps(result, indent=1))
    return result


def summarise_pretraining(plan: Plan) -> str:
    """A line for each run, also written to the experiment's folder with its config and the names of its runs."""
    rows = []
    for run in plan.runs:
        found = json.loads((run.folder / "metrics.json").read_text())
        rows.append({"fold": run.fold.name, "seed": run.seed, "normalisation": run.normalisation, **found["numbers"]})
    summary = {
        "experiment": plan.experiment.name,
        "objective": _objective(plan),
        "data_fingerprint": plan.runs[0].spec["data"],
        "people": {run.fold.name: plan.people(run.fold.source_train) for run in plan.runs},
        "runs": rows,
    }
    config = yaml.safe_dump(plan.experiment.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    write_text(plan.folder / "config.yaml", config)
    write_text(plan.folder / "runs.json", json.dumps({run.label: run.folder.name for run in plan.runs}, indent=1))
    write_text(plan.folder / "summary.json", json.dumps(summary, indent=1, ensure_ascii=False))
    text = pd.DataFrame(rows).to_string(index=False, float_format=lambda value: f"{value:.4f}")
    write_text(plan.folder / "table.txt", text + "\n")
    return text


def _learner_and_data(plan: Plan, run: Run) -> tuple[Learner, FoldData]:
    settings, training = plan.experiment.pretraining, plan.experiment.trainer
    assert settings is not None
    if settings.objective is None:
        return learner_and_data(plan, run)
    data = fold_data(plan, run)
    torch.manual_seed(run.seed)
    encoders = build_encoders(plan.experiment, run.method, plan.windows.shapes, run.weights)
    objective = build_objective(plan.experiment, plan.windows.shapes, encoders)
    rates = (training.learning_rate, training.weight_decay, training.schedule)
    return Pretraining(encoders, objective, *rates, run.seed), data


def _card(plan: Plan, run: Run, stream: str, metric: dict[str, Any]) -> Card:
    """With everybody who shaped the weights, those too who shaped the weights it began with."""
    data = plan.experiment.data
    began = run.weights.get(stream)
    before = began.card.people if began and began.card else []
    fold = run.fold
    rows = np.concatenate([fold.source_train, fold.source_val, fold.target_calibration]).astype(np.int64)
    return Card(
        stream=stream,
        encoder=plan.experiment.model.encoders[stream].model_dump(),
        shape=json.loads(json.dumps(asdict(plan.windows.shapes[stream]))),
        people=sorted({*plan.people(rows), *before}),
        preprocessing={
            "corpora": list(dict.fromkeys(plan.windows.trials["corpus"])),
            **data.streams[stream].model_dump(),
            "window": data.window.model_dump(),
        },
        normalisation=run.normalisation,
        objective=_objective(plan),
        metric=metric,
        config=digest(run.spec),
    )


def _objective(plan: Plan) -> str:
    settings = plan.experiment.pretraining
    assert settings is not None
    targets = ", ".join(target.name for target in plan.targets)
    return settings.objective.class_path if settings.objective else f"labels of {targets}"
