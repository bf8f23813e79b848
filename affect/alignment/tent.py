"""Test-time entropy minimisation (Wang et al., ICLR 2021)."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from affect.alignment.base import Alignment, Windows
from affect.alignment.batch_statistics import re_estimate
from affect.alignment.descent import descend, learning
from affect.alignment.outputs import entropy

if TYPE_CHECKING:
    from affect.learners.network import Network


class TENT(Alignment):
    """After training, scale γ and shift β of the normalisation layers learn to make the outputs sure of themselves.

    L = mean H(g(x)) over batches of unlabelled target windows; nothing but γ and β moves, by SGD with momentum .9. All
    windows are predicted in the end, where the paper predicts each batch on its way. BatchNorm layers take the
    target's statistics first, of all its windows where the paper takes each batch's.

    For networks with LayerNorm, GroupNorm or BatchNorm: BandMLP with `norm`, ResidualNet, TemporalCNN and others.

    Args:
        weight: times L.
        epochs: over the target's windows; 1 in the paper.
        learning_rate: of SGD.
    """

    joint = False

    def __init__(
        self,
        dim: int,
        classes: Sequence[int],
        domains: int,
        weight: float = 1.0,
        epochs: PositiveInt = 1,
        learning_rate: PositiveFloat = 0.01,
    ) -> None:
        super().__init__(dim, classes, domains, weight)
        if 0 in classes:
            raise ValueError("TENT for values: it needs classes to be sure of")
        self.classes, self.epochs, self.learning_rate = tuple(classes), epochs, learning_rate

    def check(self, network: "Network") -> None:
        if not affine_parameters(network):
            raise ValueError(
                "TENT on a network without a normalisation layer that scales and shifts: take BandMLP with norm: layer"
            )

    def after(self, network: "Network", windows: Windows) -> None:
        self.check(network)
        device = next(network.parameters()).device
        parameters = affine_parameters(network)

        def losses() -> Iterator[Tensor]:
            for epoch in range(self.epochs):
                for batch in windows.target(epoch):
                    yield self.weight * entropy(network(batch.to(device)), self.classes).mean()

        re_estimate(network, lambda: windows.target(0))
        with learning(network, parameters):
            descend(parameters, self.learning_rate, losses())


def affine_parameters(network: "Network") -> list[nn.Parameter]:
    """γ and β of the normalisation layers of encoders and fusion that are not frozen."""
    layers = [m for part in (network.encoders, network.fusion) for m in part.modules() if _normalises(m)]
    return [parameter for layer in layers for parameter in layer.parameters(recurse=False) if parameter.requires_grad]


def _normalises(module: nn.Module) -> bool:
    return isinstance(module, (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, _BatchNorm))
