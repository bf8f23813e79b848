"""Deep joint distribution optimal transport (Damodaran et al., ECCV 2018)."""

from collections.abc import Sequence

import torch
from pydantic import NonNegativeFloat
from torch import Tensor

from affect.alignment.base import AlignmentInput
from affect.alignment.domains import Between, Discrepancy
from affect.alignment.outputs import costs
from affect.alignment.schedule import Schedule


class DeepJDOT(Discrepancy):
    """Each source row lends its label to the target rows it is transported to (eq. 5–6 of the paper).

    L = λ · Σ_ij γ_ij (α ‖f_i − f_j‖² / D + β · ℓ(y_i, h(f_j))), i over source rows, j over target rows; γ is the
    exact plan that moves the source rows, all of the same mass, to the target rows at the least of this cost, found
    by POT for every batch and held fixed (no gradient). The squared distance is a mean over the D units, so that α
    does not depend on D. ℓ is cross-entropy, or squared error of standardised values, the mean over targets; it is 0
    where the label is unknown.

    The plan is found outside torch, on selected rows: the one loss that `torch.func` cannot map over folds.

    Args:
        features: α.
        labels: β.
    """

    by_outputs = True

    def __init__(
        self,
        dim: int,
        classes: Sequence[int],
        domains: int,
        weight: float = 1.0,
        features: NonNegativeFloat = 1.0,
        labels: NonNegativeFloat = 1.0,
        between: Between = "source-target",
        schedule: Schedule = "paper",
    ) -> None:
        super().__init__(dim, classes, domains, weight, between, schedule)
        self.features, self.labels = features, labels

    def distances(self, batch: AlignmentInput, share: Tensor, count: Tensor) -> Tensor:
        target = share[:, -1] > 0
        return torch.stack([self._moved(batch, own > 0, target) for own in share.T[:-1]])

    def _moved(self, batch: AlignmentInput, source: Tensor, target: Tensor) -> Tensor:
        """What it costs to move one source domain's rows to the target."""
        if not source.any() or not target.any():
            return batch.features.new_zeros(())
        import ot

        x, y = batch.features[source], batch.features[target]
        apart = ((x[:, None] - y[None]) ** 2).mean(dim=2)
        cost = self.features * apart + self.labels * costs(batch.logits[target], batch.label[source], self.classes)
        plan = ot.emd([], [], cost.detach().double().cpu().numpy())
        return (torch.from_numpy(plan).to(cost) * cost).sum()
