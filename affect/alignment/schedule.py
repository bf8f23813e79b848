"""How the strength of a loss grows over training."""

import math
from collections.abc import Sequence
from typing import Literal

from affect.alignment.base import Alignment

Schedule = Literal["paper", "constant"]
"""`paper`: λ = weight · (2 / (1 + e^(−10 p)) − 1), of DANN's paper, from 0 to the weight, so that early, noisy features
are left alone; `constant`: λ = weight."""


class Scheduled(Alignment):
    """An alignment whose strength λ follows the share p of training that is done, and so the global step.

    Args:
        weight: λ at the end of training.
        schedule: of λ.
    """

    def __init__(
        self, dim: int, classes: Sequence[int], domains: int, weight: float = 1.0, schedule: Schedule = "paper"
    ) -> None:
        super().__init__(dim, classes, domains, weight)
        self.schedule = schedule

    def strength(self, progress: float) -> float:
        """λ at p."""
        rise = 1.0 if self.schedule == "constant" else 2 / (1 + math.exp(-10 * progress)) - 1
        return self.weight * rise
