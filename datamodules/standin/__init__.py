"""Stand-ins: small, realistic files in a corpus's official layout, with a known effect in them."""

from datamodules.standin.deap import StandInDeap
from datamodules.standin.eegmat import StandInEegmat
from datamodules.standin.ravdess import StandInRavdess

__all__ = ["StandInDeap", "StandInEegmat", "StandInRavdess"]
