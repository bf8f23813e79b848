"""Windows → other windows that mean the same: for self-supervision, and against learning by heart."""

from affect.augmentation.base import Augmentation

__all__ = ["Augmentation"]
