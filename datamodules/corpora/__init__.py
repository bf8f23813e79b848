"""One file per corpus: its official layout on disk → trials."""

from datamodules.corpora.base import Corpus, Trial
from datamodules.corpora.deap import Deap
from datamodules.corpora.eegmat import Eegmat
from datamodules.corpora.ravdess import Ravdess

__all__ = ["Corpus", "Deap", "Eegmat", "Ravdess", "Trial"]
