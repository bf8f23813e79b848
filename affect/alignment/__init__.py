"""What makes domains alike: a loss or a transform, one contract."""

from affect.alignment.adabn import AdaBN
from affect.alignment.adda import ADDA
from affect.alignment.base import Alignment, AlignmentInput, Windows
from affect.alignment.calibration_fine_tuning import CalibrationFineTuning
from affect.alignment.cdan import CDAN
from affect.alignment.cmd import CMD
from affect.alignment.coral import CORAL
from affect.alignment.dan import DAN
from affect.alignment.dann import DANN
from affect.alignment.deep_coral import DeepCORAL
from affect.alignment.deep_jdot import DeepJDOT
from affect.alignment.domain_batch_norm import DomainBatchNorm
from affect.alignment.euclidean_alignment import EuclideanAlignment
from affect.alignment.group_dro import GroupDRO
from affect.alignment.irm import IRM
from affect.alignment.jan import JAN
from affect.alignment.mcc import MCC
from affect.alignment.mcd import MCD
from affect.alignment.mixstyle import MixStyle
from affect.alignment.mldg import MLDG
from affect.alignment.optimal_transport import OptimalTransport
from affect.alignment.prototype_head import PrototypeHead
from affect.alignment.shot import SHOT
from affect.alignment.subspace_alignment import SubspaceAlignment
from affect.alignment.tca import TCA
from affect.alignment.tent import TENT
from affect.alignment.vrex import VREx

__all__ = [
    "ADDA",
    "CDAN",
    "CMD",
    "CORAL",
    "DAN",
    "DANN",
    "IRM",
    "JAN",
    "MCC",
    "MCD",
    "MLDG",
    "SHOT",
    "TCA",
    "TENT",
    "AdaBN",
    "Alignment",
    "AlignmentInput",
    "CalibrationFineTuning",
    "DeepCORAL",
    "DeepJDOT",
    "DomainBatchNorm",
    "EuclideanAlignment",
    "GroupDRO",
    "MixStyle",
    "OptimalTransport",
    "PrototypeHead",
    "SubspaceAlignment",
    "VREx",
    "Windows",
]
