"""Domain-adversarial training of neural networks (Ganin et al., JMLR 17(59), 2016)."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from affect.alignment.base import Alignment, AlignmentInput


class GradientReversal(torch.autograd.Function):
    """Identity forward; the gradient times −λ backward (eq. 9–10 of the paper)."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, strength: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (strength,) = ctx.saved_tensors
        return -strength * gradients[0], None


def reverse_gradient(x: Tensor, strength: float | Tensor) -> Tensor:
    """x, with its gradient reversed and scaled by `strength` (λ ≥ 0)."""
    reversed_: Tensor = GradientReversal.apply(x, torch.as_tensor(strength, dtype=x.dtype, device=x.device))
    return reversed_


class DANN(Alignment):
    """A domain head learns to tell the domains apart; the encoder learns, through a reversed gradient, to stop it.

    Loss: L = L_label + L_domain, where the gradient of L_domain reaches the encoder times −λ. λ grows with the
    global step as weight · (2 / (1 + e^(−10 p)) − 1); it acts on the encoder only, the domain head always trains
    with weight 1.

    Args:
        weight: λ at the end of training.
        between: `subjects`: K source domains + the target, K + 1 classes; `source-target`: two classes, as in
            the paper.
        hidden: units of the domain head's hidden layer; 0 for the paper's single linear unit.
        schedule: `paper` as above, or `constant`.
    """

    def __init__(
        self,
        dim: int,
        classes: Sequence[int],
        domains: int,
        weight: float = 1.0,
        between: Literal["subjects", "source-target"] = "subjects",
        hidden: int = 64,
        schedule: Literal["paper", "constant"] = "paper",
    ) -> None:
        super().__init__(dim, classes, domains, weight)
        self.between = between
        self.schedule = schedule
        out = domains if between == "subjects" else 2
        self.head = (
            nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, out)) if hidden else nn.Linear(dim, out)
        )

    def strength(self, progress: float) -> float:
        """λ at p."""
        rise = 1.0 if self.schedule == "constant" else 2 / (1 + math.exp(-10 * progress)) - 1
        return self.weight * rise

    def forward(self, batch: AlignmentInput) -> tuple[Tensor, dict[str, Tensor]]:
        strength = self.strength(batch.progress)
        logits = self.head(reverse_gradient(batch.features, strength))
        domain = batch.domain if self.between == "subjects" else (~batch.source).long()
        loss = F.cross_entropy(logits, domain)
        with torch.no_grad():
            correct = (logits.argmax(dim=1) == domain).float().mean()
            chance = torch.bincount(domain).max() / len(domain)  # always naming the most frequent domain
        return loss, {
            "domain_loss": loss.detach(),
            "domain_accuracy": correct,
            "domain_chance": chance,
            "lambda": torch.tensor(strength),
        }
