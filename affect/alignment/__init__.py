"""What makes domains alike: a loss or a transform, one contract."""

from affect.alignment.base import Alignment, AlignmentInput, Windows
from affect.alignment.dann import DANN

__all__ = ["DANN", "Alignment", "AlignmentInput", "Windows"]
