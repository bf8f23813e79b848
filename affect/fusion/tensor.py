"""Fusion by products of embeddings."""

import math
from collections.abc import Mapping
from functools import reduce

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from affect.fusion.base import Fusion
from affect.fusion.presence import visible


class LowRankTensor(Fusion):
    """Low-rank multimodal fusion (Liu et al., ACL 2018): all products of features of different streams, weighed.

    A linear map of the outer product of all [1; e_m] (tensor fusion, Zadeh et al., EMNLP 2017) whose weights are a sum
    of `rank` outer products, so that the tensor itself is never built: h = Σ_r Π_m (b_mr + W_mr e_m) + c, entry by
    entry. A missing stream contributes the factor of its constant 1 alone, b_mr: every product it takes part in drops
    out, those of the other streams stay.

    Weights begin with b_mr = 1, small W_mr and c = −rank: at first h is the sum of all streams' projections plus small
    products, of about the scale of the embeddings however many streams there are.

    Args:
        out: D.
        rank: of the weights.
    """

    def __init__(self, dims: Mapping[str, int], out: PositiveInt = 64, rank: PositiveInt = 8) -> None:
        super().__init__(dims)
        self.out_dim, self.rank = out, rank
        self.factors = nn.ModuleDict()
        for name, dim in dims.items():
            factor = nn.Linear(dim, rank * out)
            nn.init.normal_(factor.weight, std=1 / math.sqrt(rank * dim * len(dims)))
            nn.init.ones_(factor.bias)
            self.factors[name] = factor
        self.constant = nn.Parameter(torch.full((out,), -float(rank)))

    def forward(self, embeddings: Mapping[str, Tensor], present: Tensor) -> Tensor:
        """{stream: (B, D_m)}, (B, M) bool → (B, D)."""
        seen = visible(embeddings, present, self.dims)
        product: Tensor = reduce(torch.mul, [factor(e) for factor, e in zip(self.factors.values(), seen, strict=True)])
        return product.reshape(-1, self.rank, self.out_dim).sum(dim=1) + self.constant
