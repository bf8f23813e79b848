"""Learning to generalise by meta-learning (Li et al., AAAI 2018)."""

from collections.abc import Sequence

import torch
from pydantic import PositiveFloat
from torch import Tensor

from affect.alignment.base import Alignment, AlignmentInput
from affect.alignment.domain_risks import domain_risks


class MLDG(Alignment):
    """A step that helps some source people must help the others, too: domain shift, played through in every step.

    The domains of a batch are split at random into meta-train and meta-test. With F and G the mean risk of either and
    θ' = θ − α ∇F(θ): L = L_label + weight · G(θ') (eq. 1–3 of the paper; L_label, over all domains, takes the place of
    F). First-order: ∇F counts as a constant, so the gradient of the second term is that of G at θ'. A batch of one
    domain has the label loss alone.

    Args:
        weight: β, of the meta-test risk.
        step: α, of the inner step.
        held_out: share of the domains that are meta-test; one at least.
    """

    sees = "nothing"
    joint = False
    source_domains = 2
    by_outputs = True

    def __init__(
        self,
        dim: int,
        classes: Sequence[int],
        domains: int,
        weight: float = 1.0,
        step: PositiveFloat = 0.01,
        held_out: PositiveFloat = 0.3,
    ) -> None:
        super().__init__(dim, classes, domains, weight)
        if held_out >= 1:
            raise ValueError(f"held_out {held_out}: a share below 1, so that domains are left to train on")
        self.step, self.held_out = step, held_out

    def forward(self, batch: AlignmentInput) -> tuple[Tensor, dict[str, Tensor]]:
        assert batch.risk_under is not None
        risks = domain_risks(batch.risk, batch.weight, batch.domain, self.domains)
        count = risks.here.sum()
        # Those that are here, in random order; the first few are meta-test.
        place = torch.where(risks.here > 0, torch.rand(self.domains, device=count.device), 2.0).argsort().argsort()
        wanted = (self.held_out * count).round().clamp(min=1).minimum((count - 1).clamp(min=0))
        test = (place < wanted).to(risks.here) * risks.here
        train = risks.here - test
        risk = (risks.each * train).sum() / train.sum().clamp(min=1)
        learns = {name: value for name, value in batch.parameters.items() if value.requires_grad}
        gradients = torch.autograd.grad(risk, list(learns.values()), retain_graph=True, allow_unused=True)
        ahead = {
            name: value if gradient is None else value - self.step * gradient
            for (name, value), gradient in zip(learns.items(), gradients, strict=True)
        }
        found = domain_risks(batch.risk_under(ahead), batch.weight, batch.domain, self.domains)
        after = (found.each * test).sum() / test.sum().clamp(min=1)
        return self.weight * after, {"meta_train_risk": risk.detach(), "meta_test_risk": after.detach()}
