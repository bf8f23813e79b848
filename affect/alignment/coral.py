"""Correlation alignment (Sun, Feng & Saenko, AAAI 2016)."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from pydantic import PositiveFloat
from torch import Tensor

from affect.alignment.base import Alignment
from affect.alignment.domains import Between
from affect.alignment.stream_maps import Chunks, by_person, flat, gathered, power
from affect.batch import StreamMap


class CORAL(Alignment):
    """Source windows are whitened and coloured with the covariance of the target; the target stays as it is.

    x ↦ (x − μ_s) (C_s + r I)^(−1/2) (C_t + r I)^(1/2) + μ_t (algorithm 1 of the paper, which takes both means for 0).
    x is a window's numbers side by side, features of all channels or samples.

    Args:
        weight: 0, the windows as they are, to 1, as above.
        between: `source-target`: one C_s, of all source windows; `subjects`: every source person has their own,
            whatever a domain is elsewhere.
        regularisation: r; 1 in the paper, for features of variance 1.
    """

    sees = "statistics"
    maps = True
    joint = False

    def __init__(
        self,
        dim: int,
        classes: Sequence[int],
        domains: int,
        weight: float = 1.0,
        between: Between = "source-target",
        regularisation: PositiveFloat = 1.0,
    ) -> None:
        super().__init__(dim, classes, domains, weight)
        self.between, self.regularisation = between, regularisation

    def map_stream(self, chunks: Chunks) -> StreamMap:
        source, target = gathered("CORAL", chunks, self.between == "subjects")
        ridge = self.regularisation * torch.eye(len(target.mean()), dtype=torch.float64)
        colour = power(target.covariance() + ridge, 0.5)
        return SourceMaps(
            {
                person: affine(one.mean(), power(one.covariance() + ridge, -0.5) @ colour, target.mean())
                for person, one in source.items()
                if one.count
            }
        )


class SourceMaps:
    """A StreamMap that leaves the target as it is, or maps it by its own map.

    Args:
        source: person → map of (n, D) rows; −1 for the one of all.
        target: of target rows; None for none.
    """

    def __init__(
        self, source: dict[int, Callable[[Tensor], Tensor]], target: Callable[[Tensor], Tensor] | None = None
    ) -> None:
        self.source, self.target = source, target

    def __call__(self, values: Tensor, person: Tensor, source: Tensor) -> Tensor:
        rows = flat(values)
        out = rows.clone()
        whose = torch.full_like(person, -1) if -1 in self.source else person
        out[source] = by_person(rows[source], whose[source], self.source)
        if self.target is not None:
            out[~source] = self.target(rows[~source])
        return out.view_as(values)


def affine(centre: Tensor, matrix: Tensor, shift: Tensor) -> Callable[[Tensor], Tensor]:
    """x ↦ (x − centre) matrix + shift, in the precision of x."""
    return partial(_affine, matrix=matrix.float(), offset=(shift - centre @ matrix).float())


def _affine(rows: Tensor, matrix: Tensor, offset: Tensor) -> Tensor:
    return torch.addmm(offset.to(rows), rows, matrix.to(rows))
