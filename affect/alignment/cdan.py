"""Conditional domain-adversarial networks (Long et al., NeurIPS 2018)."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from affect.alignment.adversary import domain_head, domain_loss, domains_of, even
from affect.alignment.base import AlignmentInput
from affect.alignment.domains import Between
from affect.alignment.outputs import beliefs, entropy
from affect.alignment.reversal import reverse_gradient
from affect.alignment.schedule import Schedule, Scheduled

LARGEST = 4096
"""D · O up to which the map is the outer product itself (the paper's threshold)."""
RANDOM = 1024
"""Outputs of the randomised map."""


class CDAN(Scheduled):
    """DANN whose domain head sees embeddings and predictions together (eq. 2, 5–8 of the paper).

    The head sees T(f, g) = f ⊗ g, D · O products, or, where these are more than 4096, the randomised
    T(f, g) = (R_f f) ⊙ (R_g g) / √1024 with fixed Gaussian R, whose inner products are those of f ⊗ g on average.
    g are the probabilities of all targets' classes and the standardised values of regressions, side by side; beside a
    value stands a 1, so that f is seen where the value is 0. As in the authors' code g carries no gradient; f's is
    reversed, times λ.

    With `entropy` (CDAN+E) a row weighs 1 + e^(−H(g)) in the domain loss, so that what is easily predicted is
    aligned first; with a mean of 1 over source rows and over target rows.

    Args:
        weight: λ at the end of training.
        entropy: CDAN+E.
        between: `subjects`: K source domains + the target; `source-target`: two, as in the paper.
        hidden: units of the domain head's hidden layer; 0 for a linear head.
        schedule: of λ.
    """

    def __init__(
        self,
        dim: int,
        classes: Sequence[int],
        domains: int,
        weight: float = 1.0,
        entropy: bool = False,
        between: Between = "source-target",
        hidden: int = 64,
        schedule: Schedule = "paper",
    ) -> None:
        super().__init__(dim, classes, domains, weight, schedule)
        if entropy and not any(classes):
            raise ValueError("entropy: no target has classes, set it to false")
        self.classes, self.entropy, self.between = tuple(classes), entropy, between
        outputs = sum(max(count, 1) for count in classes) + (0 in classes)
        self.randomised = dim * outputs > LARGEST
        if self.randomised:
            self.register_buffer("features_map", torch.randn(dim, RANDOM))
            self.register_buffer("outputs_map", torch.randn(outputs, RANDOM))
        mapped = RANDOM if self.randomised else dim * outputs
        self.head = domain_head(mapped, hidden, domains if between == "subjects" else 2)

    def forward(self, batch: AlignmentInput) -> tuple[Tensor, dict[str, Tensor]]:
        strength, predicted = self.strength(batch.progress), batch.logits.detach()
        logits = self.head(reverse_gradient(self.map(batch.features, beliefs(predicted, self.classes)), strength))
        weight = even(1 + torch.exp(-entropy(predicted, self.classes)), batch.source) if self.entropy else None
        loss, numbers = domain_loss(logits, domains_of(batch, self.between), weight)
        return loss, numbers | {"lambda": torch.tensor(strength)}

    def map(self, features: Tensor, predicted: Tensor) -> Tensor:
        """(B, D), (B, O) → T(f, g)."""
        if 0 in self.classes:
            predicted = torch.cat([predicted, torch.ones_like(predicted[:, :1])], dim=1)
        if self.randomised:
            features_map, outputs_map = self.get_buffer("features_map"), self.get_buffer("outputs_map")
            return torch.mul(features @ features_map, predicted @ outputs_map) / math.sqrt(RANDOM)
        return torch.flatten(features[:, :, None] * predicted[:, None], start_dim=1)
