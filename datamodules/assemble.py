"""Stores → what an experiment sees: one table of trials over all corpora, and the streams beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affect.errors import UserError
from datamodules.corpora.base import Corpus
from datamodules.fingerprint import digest
from datamodules.preparation import Facts, Recipe, as_facts, other_kind
from datamodules.store import Store, Stores, StreamStore
from datamodules.windowing import Windowing

BadTrials = Literal["error", "drop", "absent"]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class CachedStream:
    """One stream of all trials; the arrays of each corpus lie in a memory map of their own.

    Args:
        data: memory maps, 1-D: trials one after the other, each (T, C) or (T, 3, H, W), so that a window is one piece
            of memory.
        part: (n_trials,) the memory map of every trial.
        offset, length: (n_trials,) first element, and T; length 0 where the stream is absent.
        rate, channels, unit: as in Signal.
        size: (H, W) of pictures; () otherwise.
        features: what was made of its windows, if anything was.
    """

    data: tuple[NDArray[Any], ...]
    part: Rows
    offset: Rows
    length: Rows
    rate: float
    channels: tuple[str, ...]
    unit: str
    size: tuple[int, ...]
    features: "CachedFeatures | None" = None

    def signal(self, trial: int) -> NDArray[Any]:
        """(C, T, …) of one trial, still on disk."""
        shape = (int(self.length[trial]), len(self.channels), *self.size)
        start = int(self.offset[trial])
        found: NDArray[Any] = self.data[self.part[trial]][start : start + int(np.prod(shape))].reshape(shape)
        return found.swapaxes(0, 1)


@dataclass(frozen=True)
class CachedFeatures:
    """Features of the windows of all trials.

    Args:
        data: memory maps, 1-D, of float32, one for each corpus.
        part: as in CachedStream.
        offset: (n_trials,) first number of the trial: (C', F) of its baseline; those of its windows follow.
        count: (n_trials,) windows.
        channels, names: C' and F.
    """

    data: tuple[NDArray[np.float32], ...]
    part: Rows
    offset: Rows
    count: Rows
    channels: tuple[str, ...]
    names: tuple[str, ...]

    @property
    def cells(self) -> int:
        """Numbers a window."""
        return len(self.channels) * len(self.names)

    def of_trial(self, trial: int) -> NDArray[np.float32]:
        """(1 + windows, C', F): of its baseline, NaN where it has none, and of its windows; still on disk."""
        start, rows = int(self.offset[trial]), 1 + int(self.count[trial])
        found: NDArray[np.float32] = self.data[self.part[trial]][start : start + rows * self.cells]
        return found.reshape(rows, len(self.channels), len(self.names))


@dataclass(frozen=True)
class Cache:
    """Prepared corpora.

    Args:
        trials: one row per trial: corpus, subject, session, stimulus, onset, seconds, rating.*, group.*, where.
        streams: name in the experiment → CachedStream.
        window: how features were cut.
        fingerprint: hash of the corpora's files, of their preprocessing and of what was left out.
        dropped: trials left out, with the reason.
        quality: one row per stream and trial that is not as it should be: subject, stream, where, missing, dead,
            clipped, problem.
        folders: where everything lies.
        contents: corpus → hash of its files that say which trials there are, with which ratings.
    """

    trials: pd.DataFrame
    streams: dict[str, CachedStream]
    window: Windowing
    fingerprint: str
    dropped: list[str] = field(default_factory=list)
    quality: pd.DataFrame = field(default_factory=pd.DataFrame)
    folders: tuple[Path, ...] = ()
    contents: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """One corpus of an experiment: its people in order, the hash of the files behind each of their streams, and those
    who cannot be read."""

    corpus: Corpus
    people: Sequence[str]
    content: Mapping[str, Mapping[str, str]]
    stores: Stores
    spoilt: Mapping[str, UserError] = field(default_factory=dict)


def assemble(
    parts: Sequence[Part],
    recipes: Mapping[str, Recipe],
    window: Windowing,
    bad_trials: BadTrials,
    scale: tuple[float, float] | None,
) -> Cache:
    """All that the stores hold of these corpora and people.

    Raises:
        UserError: bad trials that may not be left out, streams that are not alike everywhere, no trial at all.
    """
    names = [part.corpus.name for part in parts]
    rows: list[Facts] = []
    for number, part in enumerate(parts):
        for person in part.people:
            rows += _rows_of(part, number, person, len(set(names)) > 1, recipes)
    problems = [problem for row in rows if (problem := _judge(row, recipes, bad_trials))]
    kept = [row for row in rows if "left out" not in row]
    dropped = [row["left out"] for row in rows if "left out" in row]
    quality = _quality(rows)
    if problems and bad_trials == "error":
        raise _first_of(problems)
    missing = [name for name in recipes if not any("at" in row["streams"][name] for row in kept)]
    if missing:
        raise UserError(
            parts[0].corpus.root,
            "; ".join(
                [f"no usable trial{f' with {missing}' if kept else ''}", *_reasons(kept, missing)]
                + ([f"left out: {dropped[:3]}"] if dropped else [])
            ),
            "trials with every stream of the config",
            "check the corpus, or take the stream out of data.streams",
        )
    streams = {name: _stream(name, kept, parts) for name in recipes}
    lies = {n: [[s.raw.folder.name, s.features and s.features.folder.name] for s in _each(parts, n)] for n in recipes}
    read = [[p.corpus.name, p.stores.trials.folder.name, [[q, p.content[q]] for q in p.people]] for p in parts]
    left_out = [i for i, row in enumerate(rows) if "left out" in row]
    fingerprint = digest([read, lies, vars(window), left_out, bad_trials == "absent", scale], 16)
    table = _table(kept, parts, scale)
    folders = tuple(part.stores.trials.folder.parent for part in parts)
    contents = {part.corpus.name: digest([[q, part.content[q][""]] for q in part.people]) for part in parts}
    return Cache(table, streams, window, fingerprint, dropped, quality, folders, contents)


def _each(parts: Sequence[Part], stream: str) -> list[StreamStore]:
    """Where the stream of each corpus lies."""
    return [part.stores.streams[stream] for part in parts]


def _rows_of(part: Part, number: int, person: str, several: bool, recipes: Mapping[str, Recipe]) -> list[Facts]:
    """The trials of one person, each with its places in the streams."""
    name, spoilt = part.corpus.name, part.spoilt.get(person)
    entry = part.stores.trials.entry(person, part.content[person][""]) if spoilt is None else None
    trials = entry["trials"] if entry else []
    if spoilt is not None:
        trials = [{"where": spoilt.where, "problem": as_facts(spoilt)}]
    rows = [
        {"corpus": name, "part": number, "session": "1", "stimulus": "", "onset": 0.0, "ratings": {}, "group": {}}
        | row
        | {"subject": f"{name}/{person}" if several else person, "streams": {}, "root": str(part.corpus.root)}
        for row in trials
    ]
    if several:  # two corpora's first videos are not one stimulus
        rows = [row | {"stimulus": f"{name}/{row['stimulus']}"} for row in rows]
    for stream in recipes:
        stores, content = part.stores.streams[stream], part.content[person][stream]
        raw = stores.raw.entry(person, content)
        made = stores.features.entry(person, content) if stores.features else None
        if spoilt is not None or raw is None:
            rows[0]["streams"][stream] = {}
            continue
        features = made["trials"] if made else [None] * len(rows)
        for row, place, feature in zip(rows, map(dict, raw["trials"]), features, strict=True):
            if "at" in place:
                place |= {"at": place["at"] + raw["start"], "kind": raw["kind"]}
            if made and "at" in place:
                if "problem" in feature:
                    place = {"problem": feature["problem"]}
                else:
                    place["features"] = feature | {"at": feature["at"] + made["start"], "kind": made["kind"]}
            row["streams"][stream] = place
    return rows


def _judge(row: Facts, recipes: Mapping[str, Recipe], bad_trials: BadTrials) -> UserError | None:
    """Why the trial cannot be used as it is, if so; it is then marked as left out, or its bad streams as absent."""
    if "problem" in row:
        return _leave_out(row, UserError(*row["problem"]))
    first = None
    for place in row["streams"].values():
        if "problem" in place:
            first = first or UserError(*place["problem"])
    if first and bad_trials != "absent":
        return _leave_out(row, first)
    inputs = {name: place for name, place in row["streams"].items() if recipes[name].input and "at" in place}
    if not inputs:
        found = f"nothing of {[name for name in recipes if recipes[name].input]} was recorded"
        row["left out"] = _told(row, found if first is None else first.found)
        return None
    seconds = {n: p["length"] / p["kind"]["rate"] for n, p in inputs.items() if p["kind"]["rate"]}
    row["seconds"] = min(seconds.values(), default=float("inf"))
    coarse = max((1 / inputs[name]["kind"]["rate"] for name in seconds), default=0.0)
    if seconds and max(seconds.values()) - row["seconds"] > max(1.0, coarse):
        lasts = ", ".join(f"{name} {value:.1f} s" for name, value in seconds.items())
        uneven = UserError(
            row["where"],
            f"streams that do not last alike: {lasts}",
            "streams of one trial that begin and end together (within a second)",
            "repair the files, or leave the trial out with --data.bad_trials=drop",
        )
        row["problem"] = as_facts(uneven)
        return _leave_out(row, uneven)
    return None


def _leave_out(row: Facts, problem: UserError) -> UserError:
    row["left out"] = _told(row, problem.found, problem.where)
    return problem


def _told(row: Facts, found: str, where: str | None = None) -> str:
    return f"{where or row['where']}: {found}".removeprefix(f"{row['root']}/")


def _reasons(rows: list[Facts], streams: list[str]) -> list[str]:
    """Why these streams are absent: each reason once, with its first place and how many share it; a few of them."""
    places: dict[str, list[str]] = {}
    for row in rows:
        for stream in streams:
            if "problem" in (place := row["streams"][stream]):
                problem = UserError(*place["problem"])
                places.setdefault(problem.found, []).append(_told(row, problem.found, problem.where))
    told = [f"{first}{f' (and {len(rest)} more)' if rest else ''}" for first, *rest in places.values()]
    return told[:3] + ([f"{len(told) - 3} more reasons"] if len(told) > 3 else [])


def _first_of(problems: list[UserError]) -> UserError:
    first, others = problems[0], len(problems) - 1
    more = f" (and {others} more bad trial{'s' if others > 1 else ''})" if others else ""
    return UserError(first.where, first.found + more, first.expected, first.remedy)


def _quality(rows: list[Facts]) -> pd.DataFrame:
    """Everything that is not as it should be, bad trials or not."""
    found = []
    for row in rows:
        told = {"subject": row["subject"], "stream": "", "where": row["where"].removeprefix(f"{row['root']}/")}
        if "problem" in row:
            found.append(told | {"problem": row["problem"][1]})
        for stream, place in row["streams"].items():
            facts = dict(place.get("quality", {}))
            if "problem" in place:
                facts["problem"] = place["problem"][1]
            if facts:
                found.append(told | {"stream": stream} | facts)
    return pd.DataFrame(found, columns=["subject", "stream", "where", "missing", "dead", "clipped", "problem"])


def _table(rows: list[Facts], parts: Sequence[Part], scale: tuple[float, float] | None) -> pd.DataFrame:
    """One row per trial, ratings on one scale if one is asked for."""
    table = []
    for row in rows:
        ratings = parts[row["part"]].corpus.ratings
        table.append(
            {key: row[key] for key in ("corpus", "subject", "session", "stimulus", "onset", "seconds", "where")}
            | {f"rating.{name}": _rescaled(value, ratings[name], scale) for name, value in row["ratings"].items()}
            | {f"group.{name}": value for name, value in row["group"].items()}
        )
    return pd.DataFrame(table)


def _rescaled(value: float | str, own: tuple[Any, ...], scale: tuple[float, float] | None) -> float | str:
    """A numeric rating mapped linearly from its own scale to another."""
    if scale is None or isinstance(value, str):
        return value
    low, high = float(own[0]), float(own[1])
    return scale[0] + (value - low) / (high - low) * (scale[1] - scale[0])


def _stream(name: str, rows: list[Facts], parts: Sequence[Part]) -> CachedStream:
    """One stream of all kept trials, which must be alike everywhere."""
    places = [row["streams"][name] for row in rows]
    first = next(place["kind"] for place in places if "at" in place)
    for row, place in zip(rows, places, strict=True):
        if "at" in place and place["kind"] != first:
            raise other_kind(name, place["kind"], first, row["where"])
    part = np.array([row["part"] for row in rows], dtype=np.int64)
    dtype = np.dtype(first["dtype"])
    stores = [p.stores.streams[name] for p in parts]
    features = None
    if made := next((place["features"] for place in places if "features" in place), None):
        here = [place.get("features", {}) for place in places]
        features = CachedFeatures(
            tuple(_mapped(s.features, np.dtype(np.float32)) for s in stores if s.features),
            part,
            np.array([f.get("at", 0) // 4 for f in here], dtype=np.int64),
            np.array([f.get("count", 0) for f in here], dtype=np.int64),
            tuple(made["kind"]["channels"]),
            tuple(made["kind"]["names"]),
        )
    return CachedStream(
        tuple(_mapped(s.raw, dtype) for s in stores),
        part,
        np.array([p.get("at", 0) // dtype.itemsize for p in places], dtype=np.int64),
        np.array([p["length"] if "at" in p else 0 for p in places], dtype=np.int64),
        first["rate"],
        tuple(first["channels"]),
        first["unit"],
        tuple(first["size"]),
        features,
    )


def _mapped(store: Store, dtype: np.dtype[Any]) -> NDArray[Any]:
    """What is committed of a store as an array; nothing is read until it is used."""
    count = store.committed // dtype.itemsize
    store.holds()
    if count == 0:
        return np.zeros(0, dtype)
    return np.memmap(store.data, dtype, "r", shape=(count,))
