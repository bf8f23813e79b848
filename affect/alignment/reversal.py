"""The gradient reversal layer (Ganin et al., JMLR 17(59), 2016)."""

from typing import Any

import torch
from torch import Tensor


class GradientReversal(torch.autograd.Function):
    """Identity forward; the gradient times −λ backward (eq. 9–10 of the paper)."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, strength: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (strength,) = ctx.saved_tensors
        return -strength * gradients[0], None


def reverse_gradient(x: Tensor, strength: float | Tensor) -> Tensor:
    """x, with its gradient reversed and scaled by `strength` (λ ≥ 0)."""
    reversed_: Tensor = GradientReversal.apply(x, torch.as_tensor(strength, dtype=x.dtype, device=x.device))
    return reversed_
