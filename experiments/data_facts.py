"""What an experiment's page says of its data, and who is where in every fold: `data.json`, beside the summary."""

from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:  # what was wrong with recordings is told without torch
    from experiments.plan import Plan

_NAMED = 4  # channels


def data_facts(plan: "Plan") -> dict[str, Any]:
    """People, streams, what was wrong with recordings, and the folds, as plain data."""
    trials, cache = plan.windows.trials, plan.windows.cache
    subject = trials["subject"].astype(str).to_numpy()
    return {
        "people": plan.windows.people,
        "trials": {str(person): int(count) for person, count in pd.Series(subject).value_counts(sort=False).items()},
        "window": {"seconds": cache.window.seconds, "step": cache.window.step},
        "streams": {
            name: {
                "channels": list(stream.channels),
                "rate": stream.rate,
                "unit": stream.unit,
                "features": list(stream.features.names) if stream.features else [],
                "absent": int((stream.length == 0).sum()),
            }
            for name, stream in cache.streams.items()
        },
        "defects": defects(cache.quality),
        "folds": {
            fold.name: {
                part: list(dict.fromkeys(subject[rows].tolist())) for part, rows in fold.parts.items() if len(rows)
            }
            for fold in plan.folds
        },
    }


def defects(quality: pd.DataFrame) -> list[dict[str, Any]]:
    """Of a cache's quality table a row for each person and stream with trials that are not as they should be."""
    if quality.empty:
        return []
    rows = []
    for (person, stream), part in quality.groupby(["subject", "stream"], sort=False):
        dead = sorted({channel for channels in part["dead"].dropna() for channel in channels})
        clipped = sorted({channel for channels in part["clipped"].dropna() for channel in channels})
        rows.append(
            {
                "subject": person,
                "stream": stream or "–",
                "bad trials": int(part["problem"].notna().sum()),
                "missing samples": int(part["missing"].fillna(0).sum()),
                "dead channels": _some(dead),
                "clipped channels": _some(clipped),
            }
        )
    return rows


def _some(names: list[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" … ({len(names)})" if len(names) > _NAMED else "") if names else "–"
