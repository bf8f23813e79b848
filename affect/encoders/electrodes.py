"""Electrodes: where they sit, which mirror each other, and encoders that use it."""

import re
from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import normalize

from affect.batch import StreamShape
from affect.encoders.base import Encoder, Share

_PLACE = re.compile(
    r"(N|FP|AFP|AF|AFF|F|FFC|FFT|FC|FT|FCC|FTT|C|T|CCP|TTP|CP|TP|CPP|TPP|P|PPO|PO|POO|O|OI|I|A|M)(\d+)(H?)"
)
"""A place of the 10–5 system off the midline: its row, its number, odd on the left, and h for half-way."""


def positions(channels: Sequence[str]) -> Tensor:
    """(C, 3) standard places on a sphere of radius 1: x to the right ear, y to the nose, z up.

    Args:
        channels: names of the 10–5 system (Oostenveld & Praamstra, Clin. Neurophysiol. 2001), in any case.

    Raises:
        ValueError: naming those that have no standard place.
    """
    known = _standard()
    if unknown := [name for name in channels if name.upper() not in known]:
        raise ValueError(
            f"no standard place is known of {', '.join(unknown)}: name channels by the 10–5 system (Fp1, Cz, PO4 …), "
            "or take an encoder that needs no places"
        )
    return torch.tensor([known[name.upper()] for name in channels])


def mirrored(channels: Sequence[str]) -> tuple[list[int], list[int]]:
    """Numbers of left electrodes and of their mirror images on the right, in the order of the left ones.

    By name: F3 mirrors F4. What lies on the midline, or lacks its partner, is in neither list.

    Raises:
        ValueError: no electrode has its partner.
    """
    number = {name.upper(): i for i, name in enumerate(channels)}
    pairs: list[tuple[int, int]] = []
    for name, left in number.items():
        place = _PLACE.fullmatch(name)
        if place and int(place[2]) % 2:
            right = number.get(f"{place[1]}{int(place[2]) + 1}{place[3]}")
            pairs += [(left, right)] if right is not None else []
    if not pairs:
        raise ValueError(f"no pair of left and right electrodes, as F3 and F4, among {', '.join(channels)}")
    return [left for left, _ in pairs], [right for _, right in pairs]


@cache
def montage() -> Any:
    """MNE's 10–5 system."""
    from mne.channels import get_builtin_montages, make_standard_montage

    return make_standard_montage("colin27_1005" if "colin27_1005" in get_builtin_montages() else "standard_1005")


@cache
def _standard() -> dict[str, list[float]]:
    places = montage().get_positions()["ch_pos"]
    units = normalize(torch.tensor(np.stack([*places.values()])).float(), dim=1).tolist()
    return dict(zip(map(str.upper, places), units, strict=True))


class ElectrodeAttention(Encoder):
    """Each electrode is a token that knows its place on the head; electrodes attend to each other.

    Pre-norm transformer blocks (Vaswani et al., NeurIPS 2017; Xiong et al., ICML 2020) over features or short samples
    of each channel; the embedding is the mean over electrodes. No weight belongs to one electrode, so weights from one
    cap fit any other with as many values a channel.

    Args:
        width: of a token.
        heads: of attention; they divide `width`.
        layers: blocks.
        out: D.
        dropout: of shares of attention, and behind each part of a block.
    """

    place: Tensor

    def __init__(
        self,
        shape: StreamShape,
        width: PositiveInt = 64,
        heads: PositiveInt = 4,
        layers: PositiveInt = 1,
        out: PositiveInt = 64,
        dropout: Share = 0.3,
    ) -> None:
        super().__init__(shape)
        if width % heads:
            raise ValueError(f"width {width} cannot be shared by {heads} heads")
        self.out_dim = out
        waves = positions(shape.channels)[:, :, None] * torch.pi * 2.0 ** torch.arange(-1, 3)
        self.register_buffer("place", torch.cat([waves.sin(), waves.cos()], 2).flatten(1), persistent=False)
        self.value = nn.Linear(shape.length, width)
        self.where = nn.Linear(self.place.shape[1], width, bias=False)
        self.attention = nn.ModuleList([_Block(width, heads, dropout) for _ in range(layers)])
        self.project = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, out), nn.GELU())

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, F) → (B, D)."""
        tokens = self.value(x) + self.where(self.place)
        for block in self.attention:
            tokens = block(tokens)
        embedding: Tensor = self.project(tokens.mean(dim=1))
        return embedding

    def blocks(self) -> list[nn.Module]:
        return [nn.ModuleList([self.value, self.where]), *self.attention, self.project]


class _Block(nn.Module):
    """Attention, then a perceptron, each on normalised tokens and added to them."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.ask = nn.Linear(width, 3 * width)
        self.answer = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.perceptron = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 2 * width),
            nn.GELU(),
            nn.Linear(2 * width, width),
            nn.Dropout(dropout),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, W) → (B, C, W)."""
        parts = self.ask(self.norm(x)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = parts[0], parts[1], parts[2]  # (B, heads, C, W / heads)
        share = (query @ key.transpose(2, 3) / query.shape[3] ** 0.5).softmax(dim=3)
        x = x + self.dropout(self.answer((self.dropout(share) @ value).transpose(1, 2).flatten(2)))
        out: Tensor = x + self.perceptron(x)
        return out


class ElectrodeGraph(Encoder):
    """A graph of electrodes whose edges are learned, in the spirit of DGCNN (Song et al., IEEE Trans. Affective
    Computing 2020).

    Chebyshev polynomials of the graph filter features, or short samples, of each channel. The adjacency starts from the
    distances between the electrodes' standard places and learns with everything else; its negative edges are none.

    Args:
        width: features of a node after the filter.
        order: terms of the polynomial; the first is the node itself.
        reach: in radii of the head: at this distance an edge starts at exp(−1/2).
        out: D.
        dropout: before and behind the perceptron on all nodes.
    """

    def __init__(
        self,
        shape: StreamShape,
        width: PositiveInt = 32,
        order: Annotated[int, Field(ge=2)] = 3,
        reach: PositiveFloat = 0.5,
        out: PositiveInt = 64,
        dropout: Share = 0.5,
    ) -> None:
        super().__init__(shape)
        self.out_dim, self.order = out, order
        places = positions(shape.channels)
        edges = torch.exp(-(torch.cdist(places, places) ** 2) / (2 * reach**2))
        self.adjacency = nn.Parameter(edges.fill_diagonal_(0.0))
        self.filter = nn.Linear(order * shape.length, width)
        self.project = nn.Sequential(
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(len(shape.channels) * width, out),
            nn.GELU(),
            nn.Dropout(dropout),
        )

    def laplacian(self) -> Tensor:
        """(C, C) normalised, symmetric, less the identity: its eigenvalues lie in −1 … 1."""
        edges = (self.adjacency + self.adjacency.T).relu() / 2
        degree = edges.sum(dim=1).clamp(min=1e-6).rsqrt()
        return -degree[:, None] * edges * degree

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, F) → (B, D)."""
        laplacian = self.laplacian()
        terms = [x, laplacian @ x]
        for _ in range(self.order - 2):
            terms.append(2 * laplacian @ terms[-1] - terms[-2])
        embedding: Tensor = self.project(self.filter(torch.cat(terms, dim=2)).relu())
        return embedding

    def blocks(self) -> list[nn.Module]:
        return [nn.ParameterList([self.adjacency, *self.filter.parameters()]), self.project]
