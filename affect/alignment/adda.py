"""Adversarial discriminative domain adaptation (Tzeng et al., CVPR 2017)."""

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import torch
import torch.nn.functional as F
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from affect.alignment.adversary import domain_head
from affect.alignment.base import Alignment, Windows
from affect.alignment.descent import embedding

if TYPE_CHECKING:
    from affect.learners.network import Network


class ADDA(Alignment):
    """After training on the source, the encoder goes on learning, on target windows, to look like what it was.

    With the source encoder M_S kept as it is, and the target encoder M_T starting from it (eq. 7–9 of the paper), in
    turns: the domain head D minimises −E log D(M_S(x_s)) − E log(1 − D(M_T(x_t))), and M_T, labels inverted,
    −E log D(M_T(x_t)). The label head is M_S's. Nothing but D's judgement holds M_T to the classes: few epochs and a
    small rate are part of the method. Dropout and the statistics of normalising layers stay as in testing.

    Args:
        weight: the encoder's learning rate is `weight` times the domain head's.
        epochs: passes over the target or the source, whichever has fewer windows, in batches of both.
        learning_rate: of Adam, for the domain head.
        hidden: units of the domain head's hidden layer; 0 for a linear head.
    """

    joint: ClassVar[bool] = False

    def __init__(
        self,
        dim: int,
        classes: Sequence[int],
        domains: int,
        weight: float = 1.0,
        epochs: PositiveInt = 10,
        learning_rate: PositiveFloat = 1e-4,
        hidden: int = 64,
    ) -> None:
        super().__init__(dim, classes, domains, weight)
        self.dim, self.epochs, self.learning_rate, self.hidden = dim, epochs, learning_rate, hidden

    def check(self, network: "Network") -> None:
        if not embedding(network):
            raise ValueError("ADDA on frozen encoders: it has nothing to move")

    def after(self, network: "Network", windows: Windows) -> None:
        self.check(network)
        was_training = network.training
        network.eval()
        kept = copy.deepcopy(network)
        device = next(network.parameters()).device
        head = domain_head(self.dim, self.hidden, 1).to(device)
        of_head = torch.optim.Adam(head.parameters(), self.learning_rate, betas=(0.5, 0.999))
        of_encoder = torch.optim.Adam(embedding(network), self.weight * self.learning_rate, betas=(0.5, 0.999))
        for epoch in range(self.epochs):
            for source, target in zip(windows.source(epoch), windows.target(epoch), strict=False):
                with torch.no_grad():
                    real = kept.read(source.to(device)).features
                fake = network.read(target.to(device)).features
                loss = _cost(head(real), 1.0) + _cost(head(fake.detach()), 0.0)
                of_head.zero_grad()
                torch.autograd.backward(loss)
                of_head.step()
                of_encoder.zero_grad()
                torch.autograd.backward(_cost(head(fake), 1.0))
                of_encoder.step()
        network.zero_grad()
        network.train(was_training)


def _cost(logits: Tensor, of: float) -> Tensor:
    """How far the head is from naming (n, 1) rows source, `of` 1, or target, `of` 0."""
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, of))
