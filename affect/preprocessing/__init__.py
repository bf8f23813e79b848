"""Raw stream → model-ready stream or features. Steps run once per trial, features once per window."""

from affect.preprocessing.audio import LogMel, Resample, TrimSilence
from affect.preprocessing.eeg import DifferentialEntropy
from affect.preprocessing.functionals import Functionals
from affect.preprocessing.step import Features, Step

__all__ = ["DifferentialEntropy", "Features", "Functionals", "LogMel", "Resample", "Step", "TrimSilence"]
