"""Maximum classifier discrepancy (Saito et al., CVPR 2018)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from affect.alignment.base import AlignmentInput
from affect.alignment.outputs import label_loss, split
from affect.alignment.reversal import reverse_gradient
from affect.alignment.schedule import Schedule, Scheduled


class MCD(Scheduled):
    """Two further label heads seek where they differ on the target; the encoder learns to leave no such place.

    L = ½ (L_label(F₁) + L_label(F₂)) − d(F₁, F₂), d = mean over target rows of mean_c |F₁(f)_c − F₂(f)_c|, F softmax
    outputs (eq. 2–6 of the paper). The heads raise d; through a reversed gradient times λ the encoder lowers it.

    Where it differs from the paper: its three steps (label loss; heads raise d; the encoder lowers d, n times) are
    one, by gradient reversal; and the network's own head, trained by its own label loss, decides, not F₁. As in the
    paper the encoder learns from the label losses of F₁ and F₂, too, whatever λ is. With several targets d and the
    label losses are means over those that have classes: the difference of two values has no bound to seek, so that
    regressions are not served.

    Args:
        weight: λ at the end of training.
        hidden: units of the heads' hidden layers; 0 for linear heads.
        schedule: of λ; `paper` is DANN's.
    """

    def __init__(
        self,
        dim: int,
        classes: Sequence[int],
        domains: int,
        weight: float = 1.0,
        hidden: int = 64,
        schedule: Schedule = "paper",
    ) -> None:
        super().__init__(dim, classes, domains, weight, schedule)
        if not any(classes):
            raise ValueError("MCD compares the probabilities of classes, and no target has any: take DANN, DAN or JAN")
        self.classes = tuple(classes)
        outputs = sum(max(count, 1) for count in classes)
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, outputs))
            if hidden
            else nn.Linear(dim, outputs)
            for _ in range(2)
        )

    def forward(self, batch: AlignmentInput) -> tuple[Tensor, dict[str, Tensor]]:
        strength = self.strength(batch.progress)
        outputs = [head(batch.features) for head in self.heads]
        known = torch.stack([label_loss(out, batch.label, batch.weight, self.classes) for out in outputs]).mean()
        reversed_ = reverse_gradient(batch.features, strength)
        one, other = (head(reversed_) for head in self.heads)
        apart = self._apart(one, other, (~batch.source).to(known.dtype))
        numbers = {"heads_label_loss": known.detach(), "heads_apart": apart.detach(), "lambda": torch.tensor(strength)}
        return known - apart, numbers

    def _apart(self, one: Tensor, other: Tensor, target: Tensor) -> Tensor:
        """d, the mean over target rows and over targets with classes; 0 without target rows."""
        pairs = zip(split(one, self.classes), split(other, self.classes), self.classes, strict=True)
        each = [(a.softmax(dim=1) - b.softmax(dim=1)).abs().mean(dim=1) for a, b, count in pairs if count]
        return (torch.stack(each).mean(dim=0) * target).sum() / target.sum().clamp(min=1)
