"""Source hypothesis transfer (Liang et al., ICML 2020): adaptation without the source's data."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from affect.alignment.base import Alignment, Windows
from affect.alignment.descent import descend, embedding, learning
from affect.alignment.outputs import entropy, split

if TYPE_CHECKING:
    from affect.learners.network import Network


class SHOT(Alignment):
    """After training, the heads stand still and the encoder learns to give them target windows they are sure of.

    L = L_ent + L_div + β L_pseudo over batches of unlabelled target windows, with outputs g. L_ent = mean H(g(x)) (eq.
    2). L_div = Σ_k ĝ_k log ĝ_k of the mean ĝ of g over the batch (eq. 3): all classes are to occur. L_pseudo is the
    cross-entropy of pseudo-labels, found anew before each epoch: the class of the nearest centroid by cosine,
    c_k = Σ g_k(x) f(x) / Σ g_k(x) of embeddings f, then c_k of those labels, and the nearest again (eq. 4–6). SGD with
    momentum .9; encoders are in training mode, with dropout and what BatchNorm they have.

    L_div takes classes to be about as frequent in the target: on one where they are not, it moves windows over.

    Args:
        weight: times L.
        pseudo: β.
        epochs: over the target's windows.
        learning_rate: of SGD.
    """

    joint = False

    def __init__(
        self,
        dim: int,
        classes: Sequence[int],
        domains: int,
        weight: float = 1.0,
        pseudo: NonNegativeFloat = 0.3,
        epochs: PositiveInt = 15,
        learning_rate: PositiveFloat = 0.01,
    ) -> None:
        super().__init__(dim, classes, domains, weight)
        if 0 in classes:
            raise ValueError("SHOT for values: it needs classes to be sure of")
        self.classes = tuple(classes)
        self.pseudo, self.epochs, self.learning_rate = pseudo, epochs, learning_rate

    def check(self, network: "Network") -> None:
        if not embedding(network):
            raise ValueError("SHOT on frozen encoders: it has nothing to move")

    def after(self, network: "Network", windows: Windows) -> None:
        self.check(network)
        device = next(network.parameters()).device

        def losses() -> Iterator[Tensor]:
            for epoch in range(self.epochs):
                network.eval()
                labels = self._pseudo_labels(network, windows, epoch)
                network.encoders.train(len(labels) > 1)  # BatchNorm cannot learn from one window
                at = 0
                for batch in windows.target(epoch):
                    outputs = network(batch.to(device))
                    yield self.weight * self.objective(outputs, labels[at : at + len(outputs)])
                    at += len(outputs)

        parameters = embedding(network)
        with learning(network, parameters):
            descend(parameters, self.learning_rate, losses())

    def objective(self, outputs: Tensor, label: Tensor) -> Tensor:
        """L of (B, O) outputs with (B, Q) pseudo-labels, the mean over targets."""
        loss = entropy(outputs, self.classes).mean()
        for i, out in enumerate(split(outputs, self.classes)):
            mean = out.softmax(dim=1).mean(dim=0)
            diversity = (mean * mean.clamp(min=1e-12).log()).sum()
            loss = loss + (diversity + self.pseudo * F.cross_entropy(out, label[:, i])) / len(self.classes)
        return loss

    @torch.no_grad()
    def _pseudo_labels(self, network: "Network", windows: Windows, epoch: int) -> Tensor:
        """(n, Q) of the target's windows in the order of this epoch."""
        device = next(network.parameters()).device
        readings = [network.read(batch.to(device)) for batch in windows.target(epoch)]
        features = torch.cat([reading.features for reading in readings])
        outputs = torch.cat([reading.outputs for reading in readings])
        return torch.stack([pseudo_labels(features, o.softmax(dim=1)) for o in split(outputs, self.classes)], dim=1)


def pseudo_labels(features: Tensor, shares: Tensor) -> Tensor:
    """(n, D) embeddings, (n, K) probabilities → (n,) class of the nearest centroid, found twice."""
    label = _nearest(features, shares)
    named = F.one_hot(label, shares.shape[1]).to(shares.dtype)
    empty = named.sum(dim=0) == 0  # nobody is nearest: the soft centroid stays
    return _nearest(features, torch.where(empty, shares, named))


def _nearest(features: Tensor, shares: Tensor) -> Tensor:
    centroids = shares.T @ features / shares.sum(dim=0).clamp(min=1e-12)[:, None]
    return (F.normalize(features, dim=1) @ F.normalize(centroids, dim=1).T).argmax(dim=1)
