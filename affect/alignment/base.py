"""The contract of an alignment: what makes domains alike."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass
class AlignmentInput:
    """One training batch as an alignment sees it; source and target are told apart by `source` alone.

    Args:
        features: (B, D) fused embeddings, with gradient.
        logits: (B, classes), with gradient.
        label: (B,) class of source rows, −1 for target rows.
        source: (B,) bool.
        domain: (B,) 0 … K−1 for the source domains, K for the target.
        weight: (B,) row weights.
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
        classes: number of classes; given by the target.
        domains: K + 1; given by the fold.
        weight: strength; 0 is source-only, bit for bit, and loads no target rows.
    """

    def __init__(self, dim: int, classes: int, domains: int, weight: float = 1.0) -> None:
        super().__init__()
        if not 0 <= weight < float("inf"):
            raise ValueError(f"weight {weight}: 0 or a positive number")
        self.weight = weight

    @abstractmethod
    def forward(self, batch: AlignmentInput) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss to add to the label loss, and numbers for the reader (each a scalar, averaged over an epoch)."""
