"""How labels are distributed, in words: who is one-sided is known before anything is trained."""

from collections.abc import Mapping, Sequence
from typing import Any

Facts = Mapping[str, float]
"""Share of each class; or mean, sd, low and high of values."""


def of_one(facts: Facts, classes: Sequence[str]) -> str:
    """`low 0.48, high 0.52`, or `mean 5.02, sd 2.04, 1.00 to 9.00`."""
    if classes:
        return ", ".join(f"{name} {facts[name]:.2f}" for name in classes)
    return f"mean {facts['mean']:.2f}, sd {facts['sd']:.2f}, {facts['low']:.2f} to {facts['high']:.2f}"


def of_all(name: str, priors: Mapping[str, Any], classes: Sequence[str]) -> str:
    """Of all windows of a target, and how far people differ, the most one-sided of them by name.

    Args:
        priors: {"all": Facts, "subjects": {person: Facts}}.
    """
    people: Mapping[str, Facts] = priors["subjects"]
    by = {person: max(facts.values()) if classes else facts["mean"] for person, facts in people.items()}
    least, most = min(by, key=by.__getitem__), max(by, key=by.__getitem__)
    if classes and f"{by[least]:.2f}" == f"{by[most]:.2f}":
        spread = f"everybody's largest class holds {by[most]:.2f} of their windows"
    elif classes:
        spread = (
            f"a person's largest class holds {by[least]:.2f} to {by[most]:.2f} of their windows, "
            f"most one-sided {most} ({of_one(people[most], classes)})"
        )
    else:
        sd = [facts["sd"] for facts in people.values()]
        spread = (
            f"people's means {by[least]:.2f} ({least}) to {by[most]:.2f} ({most}), "
            f"their sd {min(sd):.2f} to {max(sd):.2f}"
        )
    return f"{name}: {of_one(priors['all'], classes)}; {spread}"


def difference(priors: Mapping[str, Any], classes: Sequence[str]) -> str | None:
    """A caution where people's class shares differ by a tenth or more on average; None where they hardly do."""
    if not classes or not priors["subjects"]:
        return None
    everybody = priors["all"]
    apart = {
        person: sum(abs(facts[name] - everybody[name]) for name in classes) / 2
        for person, facts in priors["subjects"].items()
    }
    mean, most = sum(apart.values()) / len(apart), max(apart, key=apart.__getitem__)
    if mean < 0.1:
        return None
    return (
        f"class shares differ between people (total variation {mean:.2f} on average, {apart[most]:.2f} for {most}): "
        "making domains alike as wholes can mix up classes; look at balanced metrics and at class-weighted alignment"
    )


def of_everybody(priors: Mapping[str, Any], classes: Sequence[str]) -> list[str]:
    """A line for each person."""
    width = max(map(len, priors["subjects"]))
    return [f"{person.ljust(width)}  {of_one(facts, classes)}" for person, facts in priors["subjects"].items()]
