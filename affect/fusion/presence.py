"""What every fusion does with the presence mask."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor


def visible(embeddings: Mapping[str, Tensor], present: Tensor, streams: Iterable[str]) -> list[Tensor]:
    """M × (B, D_m), zeros where a stream is missing.

    Chosen, not multiplied: 0 · NaN is NaN, in the result and in the gradient.
    """
    return [embeddings[name].masked_fill(~present[:, i : i + 1], 0.0) for i, name in enumerate(streams)]


def equal_shares(present: Tensor) -> Tensor:
    """(B, M) → (B, M): one over the number of present streams; zeros where none is."""
    return present / present.sum(dim=1, keepdim=True).clamp(min=1)


def present_mean(x: Tensor, present: Tensor) -> Tensor:
    """(B, M, …) finite everywhere → (B, …): mean over the present streams; zeros where none is."""
    return torch.einsum("bm,bm...->b...", equal_shares(present).to(x.dtype), x)


def masked_softmax(scores: Tensor, allowed: Tensor, dim: int) -> Tensor:
    """Softmax over the allowed entries, exact zeros at the others, also where nothing is allowed."""
    # The smallest number, not −∞, whose softmax is NaN where nothing is allowed: masked, but anomaly detection stops.
    hidden = scores.masked_fill(~allowed, torch.finfo(scores.dtype).min)
    return hidden.softmax(dim=dim).masked_fill(~allowed, 0.0)
