"""Targets: what is predicted, made from ratings. One class each; named in YAML by its class path."""

from datamodules.targets.annotation import Continuous
from datamodules.targets.base import Target, TrialTarget
from datamodules.targets.classes import Classes, Quadrants, Threshold
from datamodules.targets.personal import Median, Tertiles
from datamodules.targets.value import Value

__all__ = [
    "Classes",
    "Continuous",
    "Median",
    "Quadrants",
    "Target",
    "Tertiles",
    "Threshold",
    "TrialTarget",
    "Value",
]
