"""What makes domains alike: a loss or a transform, one contract."""

from affect.alignment.adda import ADDA
from affect.alignment.base import Alignment, AlignmentInput, Windows
from affect.alignment.cdan import CDAN
from affect.alignment.cmd import CMD
from affect.alignment.dan import DAN
from affect.alignment.dann import DANN
from affect.alignment.deep_coral import DeepCORAL
from affect.alignment.deep_jdot import DeepJDOT
from affect.alignment.jan import JAN
from affect.alignment.mcc import MCC
from affect.alignment.mcd import MCD

__all__ = [
    "ADDA",
    "CDAN",
    "CMD",
    "DAN",
    "DANN",
    "JAN",
    "MCC",
    "MCD",
    "Alignment",
    "AlignmentInput",
    "DeepCORAL",
    "DeepJDOT",
    "Windows",
]
