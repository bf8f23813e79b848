"""Scores of people over seeds → what a summary says of each metric."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from affect.evaluation.metrics import LOWER_IS_BETTER
from affect.evaluation.statistics import as_dict, interval, paired

Values = dict[str, dict[str, list[float]]]
"""metric → person → one value for each seed."""


def collect(results: Sequence[dict[str, dict[str, float | None]]]) -> Values:
    """Of one {person: {metric: value or None}} for each seed."""
    values: Values = {}
    for subjects in results:
        for person, metrics in subjects.items():
            for metric, value in metrics.items():
                people = values.setdefault(metric, {})
                if value is not None:
                    people.setdefault(person, []).append(value)
    return values


def statistics(values: Values, reference: Values | None) -> dict[str, Any]:
    """Per metric: mean over people (seeds averaged first), interval, per person, against source-only."""
    result: dict[str, Any] = {}
    for metric in values:
        people = {person: float(np.mean(v)) for person, v in values[metric].items()}
        if not people:
            result[metric] = None
            continue
        result[metric] = {**as_dict(interval(np.array(list(people.values())))), "subjects": people}
        both = [p for p in people if reference is not None and p in reference[metric]]
        if reference is not None and both:
            mine = np.array([people[p] for p in both])
            other = np.array([float(np.mean(reference[metric][p])) for p in both])
            result[metric]["vs_source_only"] = as_dict(paired(mine, other, metric in LOWER_IS_BETTER))
    return result
