"""Raw stream → model-ready stream or features. Steps run once per trial, features once per window."""

from affect.preprocessing.artefacts import BadChannels, RemoveEyes
from affect.preprocessing.audio import MFCC, LogMel, TrimSilence
from affect.preprocessing.channels import Channels, Reference
from affect.preprocessing.eeg import BandAsymmetry, BandPower, DifferentialEntropy, FilteredDifferentialEntropy
from affect.preprocessing.face import FaceCrops
from affect.preprocessing.filters import BandPass, Notch, Resample
from affect.preprocessing.functionals import Functionals, Trend
from affect.preprocessing.gaps import FillGaps
from affect.preprocessing.heart import Beats, HeartRate, HeartRateVariability
from affect.preprocessing.peripheral import Clean, MuscleActivity, Respiration
from affect.preprocessing.pictures import HOG, TimmEmbedding
from affect.preprocessing.skin import Conductance, PhasicTonic, SkinConductance
from affect.preprocessing.step import Features, Step, VideoStep
from affect.preprocessing.voice import EGeMAPS, Prosody

__all__ = [
    "HOG",
    "MFCC",
    "BadChannels",
    "BandAsymmetry",
    "BandPass",
    "BandPower",
    "Beats",
    "Channels",
    "Clean",
    "Conductance",
    "DifferentialEntropy",
    "EGeMAPS",
    "FaceCrops",
    "Features",
    "FillGaps",
    "FilteredDifferentialEntropy",
    "Functionals",
    "HeartRate",
    "HeartRateVariability",
    "LogMel",
    "MuscleActivity",
    "Notch",
    "PhasicTonic",
    "Prosody",
    "Reference",
    "RemoveEyes",
    "Resample",
    "Respiration",
    "SkinConductance",
    "Step",
    "TimmEmbedding",
    "Trend",
    "TrimSilence",
    "VideoStep",
]
