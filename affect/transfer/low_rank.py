"""Adapters: a low-rank change beside weights that stay as they are."""

import math

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn.utils import parametrize

from affect.encoders.base import Encoder
from affect.transfer.base import Part, Transfer


class LowRankChange(nn.Module):
    """W ↦ W + scale · U V, with V drawn at random and U zero: at first nothing changes.

    Args:
        weight: (out, …) whose shape the change has; all but the first dimension are taken as one.
        rank: of U (out, rank) and V (rank, …).
        scale: of the change.
    """

    def __init__(self, weight: Tensor, rank: int, scale: float) -> None:
        super().__init__()
        out, rest = weight.shape[0], weight[0].numel()
        self.scale = scale
        self.up = nn.Parameter(torch.zeros(out, rank))
        self.down = nn.Parameter(torch.randn(rank, rest) / math.sqrt(rest))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.scale * (self.up @ self.down).view_as(weight)


class LowRankAdapters(Transfer):
    """LoRA (Hu et al., ICLR 2022): published weights stay, a change of low rank beside each matrix learns.

    Of every weight with two dimensions or more that is larger than the rank on both sides: linear layers, the
    projections of attention, convolutions (as matrices out × the rest).

    Args:
        rank: of the change.
        scale: of the change; α / r in the paper.
    """

    def __init__(self, rank: PositiveInt = 4, scale: PositiveFloat = 2.0) -> None:
        self.rank, self.scale = rank, scale

    def attach(self, encoder: Encoder) -> Encoder:
        encoder.requires_grad_(False)
        found = [
            (module, name)
            for module in list(encoder.modules())
            if not isinstance(module, parametrize.ParametrizationList)  # computed from others already
            for name, weight in list(module.named_parameters(recurse=False))
            if weight.ndim >= 2 and min(weight.shape[0], weight[0].numel()) > self.rank
        ]
        if not found:
            raise ValueError(
                f"{type(encoder).__name__} has no matrix of a rank above {self.rank}: lower the rank, or fine-tune it"
            )
        for module, name in found:
            change = LowRankChange(getattr(module, name), self.rank, self.scale)
            parametrize.register_parametrization(module, name, change, unsafe=True)
        return encoder

    def parts(self, encoder: Encoder) -> list[Part]:
        changes = [module for module in encoder.modules() if isinstance(module, LowRankChange)]
        return [Part([p for change in changes for p in change.parameters()])]
