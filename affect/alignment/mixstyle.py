"""MixStyle (Zhou et al., ICLR 2021), on the input."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import torch
from pydantic import Field, PositiveFloat
from torch import Tensor

from affect.alignment.base import Alignment
from affect.batch import Batch


class MixStyle(Alignment):
    """Gives windows a style between that of two source people: new people, made up in training.

    The style of a window is mean μ and deviation σ of each of its channels, over time or over a channel's features (of
    a picture, over its pixels and time). With λ ~ Beta(α, α) for each window x and another, x', of another source
    domain, drawn for each stream: x̃ = (λσ + (1 − λ)σ') · (x − μ) / σ + λμ + (1 − λ)μ' (eq. 3–5 of the paper).

    The paper mixes after the first blocks of a ResNet. Here it is the input, because encoders are anything, and because
    in physiology offset and amplitude of a channel are what a person's style is in the first place. It takes away what
    labels there are in them.

    Args:
        weight: how far the mixture goes, 0 not at all, 1 as above: λ becomes 1 − weight · (1 − λ).
        alpha: α; small values mostly keep one of the two styles.
        probability: of a batch to be mixed.
    """

    sees = "nothing"
    joint = False
    source_domains = 2

    def __init__(
        self,
        dim: int,
        classes: Sequence[int],
        domains: int,
        weight: float = 1.0,
        alpha: PositiveFloat = 0.1,
        probability: Annotated[float, Field(ge=0, le=1)] = 0.5,
    ) -> None:
        super().__init__(dim, classes, domains, weight)
        if weight > 1:
            raise ValueError(f"weight {weight}: 0, no mixture, to 1, the paper's")
        self.alpha, self.probability = alpha, probability

    def change(self, batch: Batch) -> Batch:
        if float(torch.rand(())) >= self.probability:
            return batch
        share = torch.distributions.Beta(self.alpha, self.alpha).sample((len(batch.domain),)).to(batch.weight)
        share = 1 - self.weight * (1 - share)
        streams = {
            name: mixed(x, share, _partners(batch, batch.present[:, i]))
            for i, (name, x) in enumerate(batch.streams.items())
        }
        return replace(batch, streams=streams)


def mixed(x: Tensor, share: Tensor, partner: Tensor) -> Tensor:
    """(B, C, …) windows with their own style by the (B,) `share` and that of their (B,) `partner` by the rest."""
    flat = x.flatten(2)
    mean, deviation = flat.mean(dim=2, keepdim=True), (flat.var(dim=2, correction=0, keepdim=True) + 1e-6).sqrt()
    share = share[:, None, None]
    scale = deviation.lerp(deviation[partner], 1 - share)
    styled = scale * (flat - mean) / deviation + mean.lerp(mean[partner], 1 - share)
    alone = partner == torch.arange(len(x), device=x.device)  # to the bit as it was
    return torch.where(alone[:, None, None], flat, styled).view_as(x)


def _partners(batch: Batch, present: Tensor) -> Tensor:
    """(B,) a labelled-domain row of another domain that has the stream, at random; the row itself if there is none."""
    takes = batch.source & present
    fits = takes[:, None] & takes & (batch.domain[:, None] != batch.domain)
    drawn = torch.where(fits, torch.rand(fits.shape, device=fits.device), -1.0).argmax(dim=1)
    return torch.where(fits.any(dim=1), drawn, torch.arange(len(drawn), device=drawn.device))
