"""Windows → other windows that mean the same: for self-supervision, and against learning by heart."""

from affect.augmentation.base import Augmentation
from affect.augmentation.channels import ChannelDrop, Noise, Scale
from affect.augmentation.picture import PictureJitter
from affect.augmentation.spectrum import SpecAugment
from affect.augmentation.time import TimeMask, TimeShift

__all__ = [
    "Augmentation",
    "ChannelDrop",
    "Noise",
    "PictureJitter",
    "Scale",
    "SpecAugment",
    "TimeMask",
    "TimeShift",
]
