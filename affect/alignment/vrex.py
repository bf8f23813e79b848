"""Risk extrapolation (Krueger et al., ICML 2021)."""

from collections.abc import Sequence

from torch import Tensor

from affect.alignment.base import Alignment, AlignmentInput
from affect.alignment.domain_risks import domain_risks
from affect.encoders.base import Share


class VREx(Alignment):
    """Asks that every source domain be learnt equally well, so that what serves some people only is unlearnt.

    L = L_label + weight · Var_d(R_d), the variance (eq. 8 of the paper, divided by the number of domains) of the label
    losses of the source domains in the batch.

    Args:
        weight: β, of the variance.
        start: share of training without it; the paper begins it late.
    """

    sees = "nothing"
    joint = False
    source_domains = 2
    by_outputs = True

    def __init__(self, dim: int, classes: Sequence[int], domains: int, weight: float = 1.0, start: Share = 0.0) -> None:
        super().__init__(dim, classes, domains, weight)
        self.start = start

    def forward(self, batch: AlignmentInput) -> tuple[Tensor, dict[str, Tensor]]:
        risks = domain_risks(batch.risk, batch.weight, batch.domain, self.domains)
        deviation = (risks.each - risks.mean()) * risks.here
        variance = deviation.square().sum() / risks.here.sum().clamp(min=1)
        weight = self.weight if batch.progress >= self.start else 0.0
        return weight * variance, {"risk_variance": variance.detach()}
