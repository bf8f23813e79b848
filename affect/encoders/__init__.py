"""One encoder per stream: (B, C, T) or (B, C, F) → (B, D)."""

from affect.encoders.audio import LogMelCNN
from affect.encoders.base import Encoder
from affect.encoders.eeg import SpatialFirstEEGNet
from affect.encoders.face import TimmFace
from affect.encoders.features import BandMLP
from affect.encoders.spectrogram import TimmSpectrogram
from affect.encoders.speech import SpeechTransformer

__all__ = [
    "BandMLP",
    "Encoder",
    "LogMelCNN",
    "SpatialFirstEEGNet",
    "SpeechTransformer",
    "TimmFace",
    "TimmSpectrogram",
]
