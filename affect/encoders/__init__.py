"""One encoder per stream: (B, C, T) or (B, C, F) → (B, D)."""

from affect.encoders.audio import LogMelCNN
from affect.encoders.base import Encoder
from affect.encoders.braindecode import Braindecode
from affect.encoders.eeg import SpatialFirstEEGNet
from affect.encoders.electrodes import ElectrodeAttention, ElectrodeGraph
from affect.encoders.face import TimmFace
from affect.encoders.features import BandMLP
from affect.encoders.peripheral import ResidualNet
from affect.encoders.spectrogram import TimmSpectrogram
from affect.encoders.speech import SpeechTransformer
from affect.encoders.temporal import TemporalCNN
from affect.encoders.tsception import TSception

__all__ = [
    "BandMLP",
    "Braindecode",
    "ElectrodeAttention",
    "ElectrodeGraph",
    "Encoder",
    "LogMelCNN",
    "ResidualNet",
    "SpatialFirstEEGNet",
    "SpeechTransformer",
    "TSception",
    "TemporalCNN",
    "TimmFace",
    "TimmSpectrogram",
]
