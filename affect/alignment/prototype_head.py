"""Calibration: classes by their prototypes (Snell et al., NeurIPS 2017), moved to the tested person."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import torch
from pydantic import Field
from torch import Tensor

from affect.alignment.base import Alignment, Windows
from affect.batch import Batch

if TYPE_CHECKING:
    from affect.learners.network import Network

NEVER = -1e4
"""Bias of a class that nobody has: exp of it is 0 beside any other."""


class PrototypeHead(Alignment):
    """After training, a window's class is that of the nearest prototype, and prototypes are the tested person's own.

    With mean embeddings c_k of class k in the source and t_k in the calibration windows, the prototype is
    p_k = c_k + share · (t_k − c_k); a class without calibration windows moves as the others do on average. Logits are
    −‖f − p_k‖² up to ‖f‖², which all classes share, and so those of a linear head (section 2.4 of the paper): weights
    2 p_k, bias −‖p_k‖². A class that never occurs is never named.

    Args:
        weight: 0, the trained head, to 1, prototypes: weights and biases are mixed, and with them the outputs.
        share: of the calibration windows in the prototypes.
    """

    sees = "nothing"
    joint = False
    calibrates = True

    def __init__(
        self,
        dim: int,
        classes: Sequence[int],
        domains: int,
        weight: float = 1.0,
        share: Annotated[float, Field(ge=0, le=1)] = 0.5,
    ) -> None:
        super().__init__(dim, classes, domains, weight)
        if weight > 1:
            raise ValueError(f"weight {weight}: 0, the trained head, to 1, prototypes")
        if 0 in classes:
            raise ValueError("PrototypeHead for values: only classes have prototypes")
        self.classes, self.share = tuple(classes), share

    def check(self, network: "Network") -> None:
        if network.head is None:
            raise ValueError("PrototypeHead with a fusion of decisions, which has no head of its own")

    @torch.no_grad()
    def after(self, network: "Network", windows: Windows) -> None:
        self.check(network)
        network.eval()
        assert network.head is not None
        own = self._means(network, windows.calibration(0), calibration=True)
        source = self._means(network, windows.source(0), calibration=False)
        rows, biases = [], []
        for (before, seen), (after, known) in zip(source, own, strict=True):
            move = torch.where((seen & known)[:, None], after - before, torch.nan)
            average = move.nanmean(dim=0).nan_to_num() if bool((seen & known).any()) else torch.zeros_like(before[0])
            moved = before + self.share * torch.where(known[:, None], after - before, average)
            prototypes = torch.where(seen[:, None], moved, torch.where(known[:, None], after, 0.0))
            rows.append(2 * prototypes)
            biases.append(torch.where(seen | known, -prototypes.square().sum(dim=1), NEVER))
        network.head.weight.lerp_(torch.cat(rows).to(network.head.weight), self.weight)
        network.head.bias.lerp_(torch.cat(biases).to(network.head.bias), self.weight)

    def _means(self, network: "Network", batches: Iterator[Batch], calibration: bool) -> list[tuple[Tensor, Tensor]]:
        """For each target (K, D) mean embeddings of its classes, and (K,) whether they occur; of the calibration
        windows among these batches, or of all others."""
        device = next(network.parameters()).device
        sums: list[Tensor] = [torch.zeros(())] * len(self.classes)
        counts: list[Tensor] = [torch.zeros(())] * len(self.classes)
        for batch in batches:
            here = batch.to(device)
            features = network.read(here).features.double()
            side = (here.domain == self.domains - 1) == calibration
            for i, count in enumerate(self.classes):
                named = (here.label[:, i, None] == torch.arange(count, device=device)) & side[:, None]
                sums[i] = sums[i] + named.double().T @ features
                counts[i] = counts[i] + named.sum(dim=0)
        return [(total / n.clamp(min=1)[:, None], n > 0) for total, n in zip(sums, counts, strict=True)]
