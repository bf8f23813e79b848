"""One encoder per stream: (B, C, T) or (B, C, F) → (B, D)."""

from affect.encoders.audio import LogMelCNN
from affect.encoders.base import Encoder
from affect.encoders.eeg import SpatialFirstEEGNet
from affect.encoders.features import BandMLP

__all__ = ["BandMLP", "Encoder", "LogMelCNN", "SpatialFirstEEGNet"]
