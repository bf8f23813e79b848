"""Fusion of decisions, also called late fusion."""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from affect.fusion.concatenation import Concatenation
from affect.fusion.presence import equal_shares, masked_softmax


class Decision(Concatenation):
    """Every stream has a head of its own; their probabilities are mixed by `shares` over the present streams.

    The heads belong to the network. Embeddings side by side, as in Concatenation, are what an alignment sees.

    Args:
        by: where the shares come from. `equal`: one over the number of present streams. `learned`: a softmax of one
            parameter per stream, learned from the label loss of the mixture. `validation`: proportional to how much
            better than chance each stream's own head is on held-out source people, as told to `score`; equal before
            that, and in rows whose present streams are no better than chance.
    """

    decides = True
    scores: Tensor

    def __init__(self, dims: Mapping[str, int], by: Literal["equal", "learned", "validation"] = "equal") -> None:
        super().__init__(dims)
        self.by = by
        if by == "learned":
            self.preference = nn.Parameter(torch.zeros(len(dims)))
        elif by == "validation":
            self.register_buffer("scores", torch.zeros(len(dims)))
        elif by != "equal":
            raise ValueError(f"decisions are weighed by 'equal', 'learned' or 'validation', not {by!r}")

    def score(self, scores: Tensor) -> None:
        """Set what `shares` are proportional to; kept in the state.

        Args:
            scores: (M,) ≥ 0 in the order of the streams, for example balanced accuracy minus chance, cut at 0.

        Raises:
            ValueError: not M finite numbers ≥ 0, or the shares are not by validation.
        """
        if self.by != "validation":
            raise ValueError(f"decisions weighed by {self.by!r} take no scores")
        if scores.shape != self.scores.shape or not bool((scores.isfinite() & (scores >= 0)).all()):
            raise ValueError(f"scores must be {len(self.dims)} finite numbers ≥ 0, not {scores.tolist()}")
        self.scores.copy_(scores.detach())

    def shares(self, embeddings: Mapping[str, Tensor], present: Tensor) -> Tensor:
        """(B, M) weights of the decisions; learned ones carry a gradient."""
        if self.by == "learned":
            return masked_softmax(self.preference.expand(present.shape), present, dim=1)
        if self.by == "equal":
            return equal_shares(present)
        scores = self.scores.expand(present.shape).masked_fill(~present, 0.0)
        total = scores.sum(dim=1, keepdim=True)
        return torch.where(total > 0, scores / torch.where(total > 0, total, 1.0), equal_shares(present))
