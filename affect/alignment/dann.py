"""Domain-adversarial training of neural networks (Ganin et al., JMLR 17(59), 2016)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from affect.alignment.adversary import domain_head, domain_loss, domains_of, even
from affect.alignment.base import AlignmentInput
from affect.alignment.domains import Between
from affect.alignment.outputs import split
from affect.alignment.reversal import reverse_gradient
from affect.alignment.schedule import Schedule, Scheduled


class DANN(Scheduled):
    """A domain head learns to tell the domains apart; the encoder learns, through a reversed gradient, to stop it.

    Loss: L = L_label + L_domain, where the gradient of L_domain reaches the encoder times −λ. λ grows with the
    global step as weight · (2 / (1 + e^(−10 p)) − 1); it acts on the encoder only, the domain head always trains
    with weight 1.

    Where classes are not as frequent in the target as in the source, domains that look the same must not be made
    alike: `class_weighted` weighs each source row of class c in L_domain by P_T(c) / P_S(c) (Tachet des Combes et
    al., NeurIPS 2020, with a simpler estimate). P_T is the mean predicted probability of the batch's target rows,
    without gradient, P_S the share of the batch's labelled source rows.

    Args:
        weight: λ at the end of training.
        between: `subjects`: K source domains + the target, K + 1 classes; `source-target`: two classes, as in
            the paper.
        hidden: units of the domain head's hidden layer; 0 for the paper's single linear unit.
        schedule: `paper` as above, or `constant`.
        class_weighted: as above; rows without a label weigh 1, several targets multiply their weights, and
            regressions have none.
    """

    def __init__(
        self,
        dim: int,
        classes: Sequence[int],
        domains: int,
        weight: float = 1.0,
        between: Between = "subjects",
        hidden: int = 64,
        schedule: Schedule = "paper",
        class_weighted: bool = False,
    ) -> None:
        super().__init__(dim, classes, domains, weight, schedule)
        if class_weighted and not any(classes):
            raise ValueError("class_weighted: no target has classes, set it to false")
        self.classes, self.between, self.class_weighted = tuple(classes), between, class_weighted
        self.head = domain_head(dim, hidden, domains if between == "subjects" else 2)

    def forward(self, batch: AlignmentInput) -> tuple[Tensor, dict[str, Tensor]]:
        strength = self.strength(batch.progress)
        logits = self.head(reverse_gradient(batch.features, strength))
        weight = self._class_weights(batch) if self.class_weighted else None
        loss, numbers = domain_loss(logits, domains_of(batch, self.between), weight)
        return loss, numbers | {"lambda": torch.tensor(strength)}

    def _class_weights(self, batch: AlignmentInput) -> Tensor:
        """(B,) P_T(c) / P_S(c) of the row's class, 1 in target rows; with a mean of 1 over source rows."""
        target = (~batch.source).to(batch.logits.dtype)
        weight = torch.ones_like(target)
        for i, (out, count) in enumerate(zip(split(batch.logits.detach(), self.classes), self.classes, strict=True)):
            if count:
                named = (batch.label[:, i : i + 1] == torch.arange(count, device=out.device)) & batch.source[:, None]
                named = named.to(out.dtype)
                predicted = (out.softmax(dim=1) * target[:, None]).sum(dim=0) / target.sum().clamp(min=1)
                share = named.sum(dim=0) / named.sum().clamp(min=1)
                ratio = predicted / share.clamp(min=1e-12)  # of a class without rows, nobody asks for it
                weight = weight * torch.where(named.sum(dim=1) > 0, named @ ratio, 1.0)
        return even(weight, batch.source)
