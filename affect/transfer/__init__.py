"""From a source to a target: weights, whose recordings made them, and how an encoder goes on from them."""

from affect.transfer.base import FineTune, Part, Transfer
from affect.transfer.frozen import Frozen, FrozenEncoder, LinearProbe
from affect.transfer.gradual import GradualUnfreezing
from affect.transfer.low_rank import LowRankAdapters

__all__ = [
    "FineTune",
    "Frozen",
    "FrozenEncoder",
    "GradualUnfreezing",
    "LinearProbe",
    "LowRankAdapters",
    "Part",
    "Transfer",
]
