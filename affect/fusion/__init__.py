"""Embeddings and a presence mask → one embedding."""

from affect.fusion.attention import CrossModalAttention
from affect.fusion.base import Fusion
from affect.fusion.bottleneck import AttentionBottleneck
from affect.fusion.concatenation import Concatenation
from affect.fusion.decision import Decision
from affect.fusion.gated import Gated
from affect.fusion.tensor import LowRankTensor

__all__ = [
    "AttentionBottleneck",
    "Concatenation",
    "CrossModalAttention",
    "Decision",
    "Fusion",
    "Gated",
    "LowRankTensor",
]
