"""What alignments that map streams share: windows as rows of numbers, statistics a chunk at a time, samples."""

from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

import torch
from torch import Tensor

from affect.batch import StreamRows
from affect.errors import UserError

Chunks: TypeAlias = Callable[[], Iterator[StreamRows]]
MOST = 4096
"""Numbers a window, at most, for what needs a covariance of all of them."""


class Covariance:
    """Mean and covariance of (n, D) rows that come in parts, in float64."""

    def __init__(self) -> None:
        self.count, self.sum, self.products = 0, torch.zeros(()), torch.zeros(())

    def add(self, rows: Tensor) -> None:
        rows = rows.double()
        self.count += len(rows)
        self.sum = self.sum + rows.sum(dim=0)
        self.products = self.products + rows.T @ rows

    def mean(self) -> Tensor:
        """(D,)."""
        return self.sum / self.count

    def covariance(self) -> Tensor:
        """(D, D), divided by n − 1."""
        mean = self.mean()
        return (self.products - self.count * torch.outer(mean, mean)) / max(1, self.count - 1)


def flat(values: Tensor) -> Tensor:
    """(n, C, F) → (n, C · F)."""
    return values.flatten(1)


def check_size(name: str, values: Tensor) -> None:
    """Refuse windows of too many numbers.

    Raises:
        UserError: more than `MOST` numbers a window.
    """
    if values[0].numel() > MOST:
        raise UserError(
            f"alignment {name}",
            f"windows of {tuple(values.shape[1:])}, {values[0].numel()} numbers",
            f"{MOST} at most",
            "extract features from the stream, or take EuclideanAlignment, which aligns channels",
        )


def gathered(name: str, chunks: Chunks, by_person: bool) -> tuple[dict[int, Covariance], Covariance]:
    """Covariance of source windows, of every person or, under number −1, of all that are not held out; and of the
    target's.

    Raises:
        UserError: windows of too many numbers, or none of either side.
    """
    source: dict[int, Covariance] = {}
    target = Covariance()
    for chunk in chunks():
        check_size(name, chunk.values)
        rows = flat(chunk.values)
        target.add(rows[~chunk.source])
        if by_person:
            for person in set(chunk.person[chunk.source].tolist()):
                source.setdefault(person, Covariance()).add(rows[chunk.source & (chunk.person == person)])
        else:
            source.setdefault(-1, Covariance()).add(rows[chunk.source & ~chunk.held_out])
    _check_sides(name, sum(one.count for one in source.values()), target.count)
    return source, target


def sampled(name: str, chunks: Chunks, most: int) -> tuple[Tensor, Tensor]:
    """(n, D), (m, D) float64: at most `most` rows of source and of target, evenly spaced, so that nothing is drawn;
    nobody who is held out.

    Raises:
        UserError: windows of too many numbers, or none of either side.
    """
    counts = torch.zeros(2, dtype=torch.long)
    for chunk in chunks():
        check_size(name, chunk.values)
        counts += torch.stack([(chunk.source & ~chunk.held_out).sum(), (~chunk.source).sum()])
    _check_sides(name, int(counts[0]), int(counts[1]))
    kept: tuple[list[Tensor], list[Tensor]] = ([], [])
    chosen = [torch.linspace(0, n - 1, min(n, most)).round().long() for n in counts.tolist()]
    begins = [0, 0]
    for chunk in chunks():
        for side, here in enumerate((chunk.source & ~chunk.held_out, ~chunk.source)):
            rows = flat(chunk.values)[here].double()
            inside = chosen[side] - begins[side]
            kept[side].append(rows[inside[(inside >= 0) & (inside < len(rows))]])
            begins[side] += len(rows)
    return torch.cat(kept[0]), torch.cat(kept[1])


def _check_sides(name: str, source: int, target: int) -> None:
    if not source or not target:
        raise UserError(
            f"alignment {name}",
            f"no {'unlabelled window of the target' if source else 'window of the source'} with a stream",
            "windows of both",
            "leave the stream out, or take another protocol",
        )


def power(matrix: Tensor, exponent: float, floor: float = 0.0) -> Tensor:
    """Of a symmetric matrix; eigenvalues up to `floor` times the largest become 0, as in a pseudo-inverse."""
    values, vectors = torch.linalg.eigh(matrix)
    enough = values > floor * values[-1].clamp(min=0)
    powers = torch.where(enough, values.clamp(min=1e-300) ** exponent, 0.0)
    made: Tensor = (vectors * powers) @ vectors.T
    return made


def by_person(values: Tensor, person: Tensor, maps: Mapping[int, Callable[[Tensor], Tensor]]) -> Tensor:
    """Every person's windows through the map of that person's own.

    Raises:
        UserError: somebody of whom nothing was seen that a map could be fitted on.
    """
    out = values.clone()
    for number in set(person.tolist()):
        if number not in maps:
            raise UserError(
                "alignment",
                f"windows of person number {number}, of whom no unlabelled window may be seen",
                "some of everybody who is tested",
                "take a protocol that gives unlabelled windows of the target",
            )
        rows = person == number
        out[rows] = maps[number](values[rows])
    return out
