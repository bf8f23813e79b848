"""Subspace alignment (Fernando et al., ICCV 2013)."""

from collections.abc import Sequence

import torch
from pydantic import PositiveInt
from torch import Tensor

from affect.alignment.base import Alignment
from affect.alignment.coral import SourceMaps, affine
from affect.alignment.domains import Between
from affect.alignment.stream_maps import Chunks, Covariance, gathered
from affect.batch import StreamMap


class SubspaceAlignment(Alignment):
    """Source and target are each reduced to their principal axes, and the source's axes are turned to the target's.

    With (D, d) axes P_s and P_t: source x ↦ (x − μ_s) P_s P_sᵀ P_t, target x ↦ (x − μ_t) P_t (eq. 2–4 of the paper).
    Both are then taken back into the original space by P_tᵀ and μ_t, which keeps all distances, so that windows have
    the shape they had.

    Args:
        weight: 0, the windows as they are, to 1, as above.
        between: `source-target`: one P_s, of all source windows; `subjects`: every source person has their own,
            whatever a domain is elsewhere.
        components: d; as many as there are numbers at most.
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
        components: PositiveInt = 20,
    ) -> None:
        super().__init__(dim, classes, domains, weight)
        self.between, self.components = between, components

    def map_stream(self, chunks: Chunks) -> StreamMap:
        source, target = gathered("SubspaceAlignment", chunks, self.between == "subjects")
        axes = self._axes(target)
        maps = {
            person: affine(one.mean(), (own := self._axes(one)) @ (own.T @ axes) @ axes.T, target.mean())
            for person, one in source.items()
            if one.count
        }
        return SourceMaps(maps, affine(target.mean(), axes @ axes.T, target.mean()))

    def _axes(self, rows: Covariance) -> Tensor:
        """(D, d), of the largest variance first."""
        _, vectors = torch.linalg.eigh(rows.covariance())
        leading: Tensor = vectors[:, -self.components :].flip(1)
        return leading
