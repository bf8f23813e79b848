"""Group distributionally robust optimisation (Sagawa et al., ICLR 2020), with source domains as groups."""

from collections.abc import Sequence

import torch
from pydantic import PositiveFloat
from torch import Tensor

from affect.alignment.base import Alignment, AlignmentInput
from affect.alignment.domain_risks import domain_risks, label_risk


class GroupDRO(Alignment):
    """Trains for the worst of the source domains, so that no person is left behind.

    L = L_label + weight · (Σ_d q_d R_d − L_label): at weight 1 the label loss is replaced. R_d is the label loss of
    domain d, and q, on the simplex, follows the losses by exponentiated gradient ascent (algorithm 1 of the paper):
    q_d ← q_d e^(η R_d) / Σ_d' q_d' e^(η R_d'). In a batch only the domains that are there move, their sum of q is
    kept, and the loss is their mean by q. q is in the checkpoint.

    Args:
        weight: 0, every window alike, to 1, the paper's loss.
        rate: η, of the step of q.
    """

    sees = "nothing"
    joint = False
    source_domains = 2
    by_outputs = True
    q: Tensor

    def __init__(
        self, dim: int, classes: Sequence[int], domains: int, weight: float = 1.0, rate: PositiveFloat = 0.01
    ) -> None:
        super().__init__(dim, classes, domains, weight)
        self.rate = rate
        self.register_buffer("q", torch.full((domains,), 1 / domains))

    def forward(self, batch: AlignmentInput) -> tuple[Tensor, dict[str, Tensor]]:
        risks = domain_risks(batch.risk, batch.weight, batch.domain, self.domains)
        with torch.no_grad():
            before = self.q * risks.here
            grown = before * (self.rate * risks.each).exp()
            q = torch.where(risks.here > 0, grown * before.sum() / grown.sum().clamp(min=1e-12), self.q)
            self.q.copy_(q)
        share = q * risks.here
        robust = (share * risks.each).sum() / share.sum().clamp(min=1e-12)
        loss = self.weight * (robust - label_risk(batch.risk, batch.weight))
        return loss, {"worst_domain_risk": risks.each.detach().amax(), "q_max": q.amax()}
