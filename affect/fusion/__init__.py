"""Embeddings and a presence mask → one embedding."""

from affect.fusion.base import Fusion
from affect.fusion.concatenation import Concatenation

__all__ = ["Concatenation", "Fusion"]
