"""Batch normalisation with statistics of each domain's own (Chang et al., CVPR 2019; Li et al., 2018)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from affect.alignment.base import Alignment, Windows
from affect.alignment.batch_statistics import Moments
from affect.alignment.domains import Between

if TYPE_CHECKING:
    from affect.learners.network import Network

EPSILON = 1e-5


class DomainBatchNorm(Alignment):
    """Every domain's embeddings are normalised by that domain's own statistics, before the heads.

    f ↦ (f − μ_d) / √(σ²_d + ε) for a row of domain d. Domains share γ and β, which are in the linear heads: so they
    do in Li et al.; Chang et al. learn them for each domain, in every BatchNorm layer, and train once more on pseudo-
    labels. In training μ_d and σ²_d are of the domain's rows in the batch, so a batch should hold some of each; with
    none but one, that row becomes 0. Afterwards they are of all source windows for source rows and of all unlabelled
    target windows for target rows. In between, in validation, of the batch's source rows.

    Args:
        weight: 0, the embedding as it is, to 1, normalised.
        between: in training, `source-target`: all source domains have one statistic; `subjects`: each has its own.
            Afterwards the source has one.
    """

    sees = "statistics"
    joint = False
    mean: Tensor
    variance: Tensor
    known: Tensor

    def __init__(
        self,
        dim: int,
        classes: Sequence[int],
        domains: int,
        weight: float = 1.0,
        between: Between = "source-target",
    ) -> None:
        super().__init__(dim, classes, domains, weight)
        if weight > 1:
            raise ValueError(f"weight {weight}: 0, the embedding as it is, to 1, normalised")
        self.between = between
        self.register_buffer("mean", torch.zeros(2, dim))  # source, target
        self.register_buffer("variance", torch.ones(2, dim))
        self.register_buffer("known", torch.tensor(False))

    def check(self, network: "Network") -> None:
        if network.fusion.decides:
            raise ValueError("DomainBatchNorm with a fusion of decisions, which has no embedding before a head")

    def transform(self, features: Tensor, domain: Tensor, source: Tensor) -> Tensor:
        target = domain == self.domains - 1  # a calibration window is the target's
        if self.training or not self.known:
            each = self.training and self.between == "subjects"
            number, count = (domain, self.domains) if each else (target.long(), 2)
            member = (number[:, None] == torch.arange(count, device=domain.device)).to(features.dtype)
            rows = member.sum(dim=0).clamp(min=1)[:, None]
            mean = member.T @ features / rows
            variance = member.T @ (features - member @ mean).square() / rows
        else:
            member = torch.stack([~target, target], dim=1).to(features.dtype)
            mean, variance = self.mean.to(features), self.variance.to(features)
        normal = (features - member @ mean) / (member @ variance + EPSILON).sqrt()
        return features.lerp(normal, self.weight)

    @torch.no_grad()
    def after(self, network: "Network", windows: Windows) -> None:
        network.eval()
        self.eval()
        device = self.mean.device
        # Embeddings must be seen before they are normalised.
        source, target = Moments(), Moments()
        for batches in (windows.source(0), windows.target(0)):
            for batch in batches:
                here = batch.to(device)
                features = network.fusion(network.embed(here), here.present)
                belongs = here.domain == self.domains - 1
                source.add(features[~belongs])
                target.add(features[belongs])
        for i, moments in enumerate((source, target)):
            self.mean[i] = moments.mean().to(self.mean)
            self.variance[i] = moments.variance().to(self.variance)
        self.known.fill_(True)
