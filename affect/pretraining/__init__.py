"""What encoders are trained by without labels."""

from affect.pretraining.base import Objective

__all__ = ["Objective"]
