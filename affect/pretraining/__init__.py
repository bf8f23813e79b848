"""What encoders are trained by without labels."""

from affect.pretraining.base import Objective
from affect.pretraining.contrastive import Contrastive
from affect.pretraining.cross_stream import CrossStream
from affect.pretraining.masked import MaskedReconstruction

__all__ = ["Contrastive", "CrossStream", "MaskedReconstruction", "Objective"]
