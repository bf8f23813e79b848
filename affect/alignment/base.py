"""The contract of an alignment: what makes domains alike."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass
class AlignmentInput:
    """One training batch as an alignment sees it; source and target are told apart by `source` alone.

    Args:
        features: (B, D) fused embeddings, with gradient.
        logits: (B, O), with gradient: the outputs of all targets side by side, a logit for each class or one
            standardised value.
        label: (B, Q) class number or value of source rows for each target; NaN where unknown and in target rows.
        source: (B,) bool.
        domain: (B,) 0 … K−1 for the source domains, K for the target.
        weight: (B, Q) row weights for each target.
        progress: p = step / total steps, 0 … 1.
    """

    features: Tensor
    logits: Tensor
    label: Tensor
    source: Tensor
    domain: Tensor
    weight: Tensor
    progress: float


class Alignment(nn.Module, ABC):
    """A loss over source and unlabelled target rows. To add one: subclass this, name it in YAML by its class path.

    Args:
        dim: D of the fused embedding; given by the model.
        classes: number of classes of each of the Q targets, 0 for a regression, which has one output; given by them.
        domains: K + 1; given by the fold.
        weight: strength; 0 is source-only, bit for bit, and loads no target rows.
    """

    def __init__(self, dim: int, classes: Sequence[int], domains: int, weight: float = 1.0) -> None:
        super().__init__()
        if not 0 <= weight < float("inf"):
            raise ValueError(f"weight {weight}: 0 or a positive number")
        self.weight = weight

    @abstractmethod
    def forward(self, batch: AlignmentInput) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss to add to the label loss, and numbers for the reader (each a scalar, averaged over an epoch)."""
