"""The critical-difference diagram: methods by their mean rank over people, and which of them cannot be told apart."""

from collections.abc import Mapping
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from affect.reporting.style import INK, MUTED, Figure, canvas

ALPHA = 0.05


class Ranks(TypedDict):
    """Friedman's test and Nemenyi's after it.

    Args:
        mean: method → mean rank over people, 1 the best; ascending.
        people: how many have a score under every method.
        p: of Friedman's test that all are alike.
        difference: the least difference of mean ranks that is one at ALPHA.
        cliques: methods, neighbours in rank, none of which differ by more.
    """

    mean: dict[str, float]
    people: int
    p: float
    difference: float
    cliques: list[tuple[str, ...]]


def ranks(scores: Mapping[str, Mapping[str, float]], lower_is_better: bool = False) -> Ranks | None:
    """Friedman and Nemenyi, as in Demšar (2006), JMLR 7:1–30; None for fewer than three methods or people.

    Args:
        scores: method → person → score; who lacks one is left out.
    """
    from scipy.stats import friedmanchisquare, rankdata, studentized_range

    people = [person for person in next(iter(scores.values()), {}) if all(person in own for own in scores.values())]
    if len(scores) < 3 or len(people) < 3:
        return None
    table = np.array([[own[person] for own in scores.values()] for person in people])
    place: NDArray[np.float64] = rankdata(table if lower_is_better else -table, axis=1).mean(axis=0)
    k, n = len(scores), len(people)
    quantile = float(studentized_range.ppf(1 - ALPHA, k, np.inf)) / np.sqrt(2)
    difference = float(quantile * np.sqrt(k * (k + 1) / (6 * n)))
    alike = bool((table == table[:, :1]).all())
    names = list(scores)
    mean = {names[i]: float(place[i]) for i in np.argsort(place, kind="stable")}
    p = 1.0 if alike else float(friedmanchisquare(*table.T).pvalue)
    return {"mean": mean, "people": n, "p": p, "difference": difference, "cliques": _cliques(mean, difference)}


def _cliques(mean: Mapping[str, float], difference: float) -> list[tuple[str, ...]]:
    """The largest runs of neighbours within `difference`, of two or more."""
    names, found, end = list(mean), list[tuple[str, ...]](), 0
    for i, first in enumerate(names):
        last = max(j for j in range(i, len(names)) if mean[names[j]] - mean[first] <= difference)
        if last > i and last > end:
            found.append(tuple(names[i : last + 1]))
        end = max(end, last)
    return found


def draw(title: str, told: Ranks) -> Figure:
    """Names at the two sides of an axis of mean ranks, the best left; a bar joins those that do not differ."""
    mean, cliques = told["mean"], told["cliques"]
    names, half = list(mean), -(-len(mean) // 2)
    with canvas(title, 1.75 + 0.26 * half + 0.13 * len(cliques)) as figure:
        axis = figure.subplots()
        low, high = np.floor(min(mean.values())), np.ceil(max(mean.values()))
        high = max(high, low + 1)
        span = high - low
        deep = 0.13 * len(cliques) + 0.26
        axis.plot([low, high], [0, 0], color=INK, linewidth=1.2)
        for tick in np.arange(low, high + 1e-9, 0.5 if span <= 5 else 1):
            whole = float(tick).is_integer()
            axis.plot([tick, tick], [0, 0.1 if whole else 0.05], color=INK, linewidth=1)
            axis.text(tick, 0.14, f"{tick:g}", ha="center", size=8.5) if whole else None
        for i, name in enumerate(names):
            left = i < half
            depth = -(deep + 0.26 * (i if left else len(names) - 1 - i))
            x = low - 0.06 * span if left else high + 0.06 * span
            axis.plot([mean[name], mean[name], x], [0, depth, depth], color=MUTED, linewidth=1)
            axis.plot(mean[name], 0, "o", color=INK, markersize=4)
            text = f"{name.replace('/', ' · ')}  {mean[name]:.2f}"
            axis.text(x, depth, f"{text} " if left else f" {text}", ha="right" if left else "left", va="center", size=9)
        for row, clique in enumerate(cliques):
            ends = [mean[clique[0]] - 0.012 * span, mean[clique[-1]] + 0.012 * span]
            axis.plot(ends, [-0.12 - 0.13 * row] * 2, color=INK, linewidth=3.5, solid_capstyle="round")
        _scale(axis, low, told["difference"])
        axis.set_xlim(low - 0.75 * span, high + 0.75 * span)
        axis.set_ylim(-deep - 0.26 * half, 0.75)
        axis.set_axis_off()
        said = (
            f"mean rank over {told['people']} people, 1 is best; Friedman p = {told['p']:.2g}; "
            f"a bar joins methods that do not differ (Nemenyi, α = {ALPHA:g})"
        )
        figure.supxlabel(said, size=8.5)
        return figure


def _scale(axis: Any, low: float, difference: float) -> None:
    """How long a difference must be."""
    axis.plot([low, low + difference], [0.45, 0.45], color=INK, linewidth=1.2)
    for x in (low, low + difference):
        axis.plot([x, x], [0.41, 0.49], color=INK, linewidth=1.2)
    axis.text(low + difference / 2, 0.53, f"critical difference {difference:.2f}", ha="center", size=8.5)
