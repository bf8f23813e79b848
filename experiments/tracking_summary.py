"""The W&B run of a whole experiment: its table, every person's values, its splits and figures; made of its folder."""

import json
from collections.abc import Iterator
from html import escape
from typing import Any

from filelock import FileLock

from affect.evaluation.metrics import LEVELS
from datamodules.atomic import write_text
from experiments.plan import Plan
from experiments.tracking import begin, finished, log_files, tags_of

RESULTS = ("target", "method", "normalisation", "setting", "level", "metric", "mean", "low", "high", "sd", "people")
AGAINST = ("difference", "p", "p_holm", "helped", "hurt")
"""Of the paired comparison with source-only, where there is one."""
PEOPLE = ("target", "method", "normalisation", "level", "metric", "person", "value")


def track_summary(plan: Plan) -> None:
    """Tell W&B of a finished experiment, once: its folder is named by its runs, so the summary never changes."""
    if plan.experiment.wandb.mode == "disabled":
        return
    told = plan.folder / "wandb" / "summarised"
    told.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(told.with_suffix(".lock")):
        if not told.exists():
            _track(plan)
            write_text(told, "")


def _track(plan: Plan) -> None:
    import wandb

    summary = json.loads((plan.folder / "summary.json").read_text(encoding="utf-8"))
    started = begin(
        plan,
        plan.folder.name,
        name=f"{plan.experiment.name}: summary",
        job_type="summary",
        tags=["summary", *dict.fromkeys(run.setting for run in plan.runs), *tags_of(plan)],
        config={"experiment": plan.experiment.model_dump(mode="json"), "data": summary["data_fingerprint"]},
    )
    with finished(started):
        text = (plan.folder / "table.txt").read_text(encoding="utf-8")
        found: dict[str, Any] = {"table": wandb.Html(f"<pre>{escape(text)}</pre>", inject=False)}
        if "targets" in summary:
            statistics = list(_statistics(summary))
            found["results"] = wandb.Table([*RESULTS, *AGAINST], [_result(*one) for one in statistics])
            found["people"] = wandb.Table(list(PEOPLE), [row for one in statistics for row in _people(*one)])
            started.summary.update({_key(about): statistic["mean"] for about, statistic in statistics})
        for path in sorted(plan.folder.rglob("*.png")):
            if "wandb" not in path.relative_to(plan.folder).parts:
                found[f"figures/{path.stem}"] = wandb.Image(str(path))
        started.log(found)
        write_text(plan.folder / "splits.json", json.dumps(splits(plan), indent=1, ensure_ascii=False))
        log_files(started, "split", f"{plan.folder.name}-splits", [plan.folder / "splits.json"], {})
        files = [plan.folder / name for name in ("summary.json", "table.txt", "config.yaml", "runs.json")]
        log_files(started, "summary", f"{plan.folder.name}-summary", files, {})


def splits(plan: Plan) -> dict[str, Any]:
    """Fold → part → who is in it, and the trials, by their numbers in the table of trials."""
    return {
        fold.name: {
            part: {"people": plan.people(rows), "trials": rows.tolist()}
            for part, rows in fold.parts.items()
            if len(rows)
        }
        for fold in plan.folds
    }


def _statistics(summary: dict[str, Any]) -> Iterator[tuple[dict[str, str], dict[str, Any]]]:
    """What it is of, and the statistic over people: metrics first, then uncertainty."""
    for target, block in summary["targets"].items():
        sure = block["uncertainty"].get("methods", {})
        for name, row in block["methods"].items():
            for level in LEVELS:
                metrics = row[level] | sure.get(name, {}).get(level, {})
                about = {
                    "target": target,
                    "level": level,
                    **{k: row[k] for k in ("method", "normalisation", "setting")},
                }
                yield from (({**about, "metric": metric}, found) for metric, found in metrics.items() if found)


def _key(about: dict[str, str]) -> str:
    return "/".join(about[part] for part in ("target", "method", "normalisation", "level", "metric"))


def _result(about: dict[str, str], statistic: dict[str, Any]) -> list[Any]:
    against = statistic.get("vs_source_only") or {}
    difference = against.get("difference", {}).get("mean")
    told = [difference, *(against.get(name) for name in AGAINST[1:])]
    return [*(about[name] if name in about else statistic[name] for name in RESULTS), *told]


def _people(about: dict[str, str], statistic: dict[str, Any]) -> list[list[Any]]:
    return [[*(about[name] for name in PEOPLE[:5]), who, value] for who, value in statistic["subjects"].items()]
