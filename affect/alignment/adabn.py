"""Adaptive batch normalisation (Li et al., Pattern Recognition 80, 2018)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from affect.alignment.base import Alignment, Windows
from affect.alignment.batch_statistics import batch_norms, re_estimate
from affect.transfer.frozen import FrozenEncoder

if TYPE_CHECKING:
    from affect.learners.network import Network


class AdaBN(Alignment):
    """After training, every BatchNorm layer takes the target's mean and variance in place of the source's.

    y = γ (x − μ_t) / √(σ²_t + ε) + β, with γ and β as they were learnt. μ_t and σ²_t are those of all unlabelled target
    windows, measured exactly, layer by layer. For networks with BatchNorm: BandMLP and TemporalCNN with `norm: batch`,
    most of braindecode's and timm's; a frozen encoder stays frozen.

    Args:
        weight: 0, the source's statistics, to 1, the target's.
    """

    sees = "statistics"
    joint = False

    def __init__(self, dim: int, classes: Sequence[int], domains: int, weight: float = 1.0) -> None:
        super().__init__(dim, classes, domains, weight)
        if weight > 1:
            raise ValueError(f"weight {weight}: 0, the source's statistics, to 1, the target's")

    def check(self, network: "Network") -> None:
        learning = [encoder for encoder in network.encoders.values() if not isinstance(encoder, FrozenEncoder)]
        if not any(map(batch_norms, learning)):
            raise ValueError(
                "AdaBN on encoders without BatchNorm, or frozen: take BandMLP or TemporalCNN with norm: batch, or "
                "DomainBatchNorm"
            )

    def after(self, network: "Network", windows: Windows) -> None:
        self.check(network)
        re_estimate(network, lambda: windows.target(0), self.weight)
