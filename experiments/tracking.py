"""Weights & Biases: one W&B run for each run, in the group of its experiment, and one for the experiment's summary.

Everything goes below `wandb/` in the experiment's folder; offline, one command uploads all of it later:

    uv run wandb sync runs/<experiment>-<hash>/wandb/offline-run-*

What W&B is told changes no result, so nothing here is part of what names a run's folder. wandb is imported where it is
used: it takes a second.
"""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from affect.errors import UserError
from affect.evaluation.metrics import columns_of, pool
from experiments.config import Experiment

if TYPE_CHECKING:
    from pytorch_lightning.loggers import WandbLogger

    from datamodules.targets import Target
    from experiments.plan import Plan, Run

_DATA_DIR = os.environ.get("WANDB_DATA_DIR")  # the user's own, if any


def logged_in(experiment: Experiment) -> Experiment:
    """The experiment as it may be tracked: offline where nobody is logged in and the config says so.

    Looks for a key where W&B keeps it and calls nobody.

    Raises:
        UserError: `online` without a key.
    """
    settings = experiment.wandb
    if settings.mode != "online":
        return experiment
    os.environ.setdefault("WANDB_SILENT", "true")
    import wandb

    try:
        found, why = wandb.login(prompt=False, verify=False), "nobody logged in to W&B on this machine"
    except wandb.errors.Error as error:  # a key that cannot be one
        found, why = False, str(error)
    if found:
        return experiment
    if settings.without_key == "offline":
        return experiment.model_copy(update={"wandb": settings.model_copy(update={"mode": "offline"})})
    raise UserError(
        "wandb.mode",
        f"'online', and {why}",
        "a key of W&B",
        "run `uv run wandb login` or set WANDB_API_KEY; or set --wandb.mode=offline and upload later; "
        "--wandb.without_key=offline decides so by itself",
    )


@contextmanager
def tracked(plan: "Plan", run: "Run") -> "Iterator[WandbLogger | None]":
    """The logger of a run, finished when its block ends; None where tracking is disabled."""
    if plan.experiment.wandb.mode == "disabled":
        yield None
        return
    from pytorch_lightning.loggers import WandbLogger

    started = begin(
        plan,
        run.folder.name,  # a resumed run goes on under its own name
        name=run.label,
        job_type=run.method,
        tags=[run.setting, run.normalisation, *tags_of(plan)],
        config={
            "run": run.spec,
            "experiment": run.experiment.model_dump(mode="json"),
            "fold": run.fold.name,
            "seed": run.seed,
            "method": run.method,
            "normalisation": run.normalisation,
            "setting": run.setting,
            "drawn": run.drawn,
        },
    )
    started.define_metric("trainer/global_step")
    started.define_metric("epoch", step_metric="trainer/global_step")
    for part in ("train", "source_val"):
        started.define_metric(f"{part}/*", step_metric="epoch", summary="min,max,last")
    with finished(started):
        yield WandbLogger(experiment=started)


def begin(plan: "Plan", identity: str, **about: Any) -> Any:
    """A W&B run in the group of the experiment."""
    os.environ.setdefault("WANDB_SILENT", "true")
    folder = plan.folder.resolve() / "wandb"
    folder.mkdir(parents=True, exist_ok=True)
    if plan.experiment.wandb.mode == "offline":
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # W&B sends telemetry even offline, at the end
    os.environ["WANDB_DATA_DIR"] = _DATA_DIR or str(folder)  # or tables lie in the home, which may be read-only
    import wandb

    settings = plan.experiment.wandb
    quiet = wandb.Settings(console="off", silent=True, x_disable_stats=True, x_save_requirements=False)
    try:
        return wandb.init(
            id=identity,
            resume="allow",
            project=settings.project,
            entity=settings.entity,
            group=plan.folder.name,
            mode=settings.mode,
            dir=folder.parent,
            settings=quiet,
            **{**about, "tags": list(dict.fromkeys(tag[:64] for tag in about["tags"]))},
        )
    except wandb.errors.Error as error:
        raise UserError(
            "wandb.mode",
            f"{settings.mode!r}: {str(error).splitlines()[0]}",
            "W&B that can be reached, with this project and entity",
            "correct wandb.entity and wandb.project, or set --wandb.mode=offline and upload later",
        ) from None


@contextmanager
def finished(started: Any) -> Iterator[None]:
    """Ends a W&B run, and as a failed one where its block fails."""
    try:
        yield
    except BaseException:
        started.finish(exit_code=1)
        raise
    started.finish()


def log_results(started: Any, plan: "Plan", run: "Run", result: dict[str, Any]) -> None:
    """Scores on windows, what was predicted of every trial, confusions, and the files that a run leaves."""
    import wandb

    found: dict[str, Any] = {
        f"test/{metric}_{target}": value
        for target, levels in result.get("targets", {}).items()
        for metric, value in levels["window"]["mean"].items()
        if value is not None
    }
    path = run.folder / "predictions.parquet"
    predictions = pd.read_parquet(path) if path.exists() else pd.DataFrame()
    for target in plan.targets if path.exists() else ():
        known = predictions[predictions[f"label_{target.name}"].notna()]
        found[f"trials/{target.name}"] = wandb.Table(dataframe=of_trials(known, target))
        if target.classes:
            columns = columns_of(target.name, target.classes)
            found[f"confusion/{target.name}"] = wandb.plot.confusion_matrix(
                y_true=known[f"label_{target.name}"].astype(int).tolist(),
                preds=known[columns].to_numpy().argmax(axis=1).tolist(),
                class_names=list(target.classes),
                title=f"{target.name}, windows",
            )
    started.log(found)
    if plan.experiment.wandb.artifacts:
        about = {"run": run.label, "setting": run.setting, "data": run.spec["data"]}
        for kind, name, files in _left(plan, run):
            log_files(started, kind, name, files, about)


def of_trials(predictions: pd.DataFrame, target: "Target") -> pd.DataFrame:
    """A row for each trial: whose it is, what evoked it, label, what was predicted, and each class's probability."""
    label, columns = f"label_{target.name}", columns_of(target.name, target.classes)
    trials = pool(predictions, target.name, target.classes)
    stimulus = predictions.drop_duplicates("trial").set_index("trial")["stimulus"]
    about = {"subject": trials["subject"], "trial": trials["trial"], "stimulus": trials["trial"].map(stimulus)}
    if not target.classes:
        return pd.DataFrame({**about, "label": trials[label], "predicted": trials[columns[0]]})
    names = np.array(target.classes)
    said = {"label": names[trials[label].astype(int)], "predicted": names[trials[columns].to_numpy().argmax(axis=1)]}
    return pd.DataFrame({**about, **said, **{n: trials[c] for n, c in zip(names, columns, strict=True)}})


def _left(plan: "Plan", run: "Run") -> Iterator[tuple[str, str, list[Path]]]:
    """Type, name and files of each artifact: a pretrained encoder with its card, or the weights of a run."""
    name = f"{plan.experiment.name}-{run.folder.name}"
    encoders = [path for path in run.folder.glob("*.safetensors") if path.with_suffix(".json").exists()]
    for path in sorted(encoders):
        yield "encoder", f"{name}-{path.stem}", [path, path.with_suffix(".json")]
    weights = run.folder / "weights.safetensors"
    if weights.exists() and not encoders:
        yield "checkpoint", name, [weights, run.folder / "config.yaml"]


def log_files(started: Any, kind: str, name: str, files: list[Path], about: dict[str, Any]) -> None:
    """An artifact of files where they lie: nothing is copied, and nothing uploaded before a sync."""
    import wandb

    artifact = wandb.Artifact(re.sub(r"[^A-Za-z0-9_.-]", "-", name), type=kind, metadata=json.loads(json.dumps(about)))
    for path in files:
        artifact.add_file(str(path.resolve()), policy="immutable", skip_cache=True)
    started.log_artifact(artifact)


def tags_of(plan: "Plan") -> list[str]:
    """Corpora and targets."""
    return [*dict.fromkeys(plan.windows.trials["corpus"].astype(str)), *(target.name for target in plan.targets)]
