"""One file per corpus: its official layout on disk → trials."""

from datamodules.corpora.amigos import Amigos
from datamodules.corpora.base import Corpus, Trial
from datamodules.corpora.ceap import Ceap
from datamodules.corpora.crema_d import CremaD
from datamodules.corpora.deap import Deap
from datamodules.corpora.dreamer import Dreamer
from datamodules.corpora.eegmat import Eegmat
from datamodules.corpora.emodb import EmoDB
from datamodules.corpora.folder import Folder
from datamodules.corpora.london_faces import LondonFaces
from datamodules.corpora.nemo import Nemo
from datamodules.corpora.ravdess import Ravdess
from datamodules.corpora.stress_predict import StressPredict
from datamodules.corpora.uci_har import UciHar
from datamodules.corpora.wesad import Wesad

__all__ = [
    "Amigos",
    "Ceap",
    "Corpus",
    "CremaD",
    "Deap",
    "Dreamer",
    "Eegmat",
    "EmoDB",
    "Folder",
    "LondonFaces",
    "Nemo",
    "Ravdess",
    "StressPredict",
    "Trial",
    "UciHar",
    "Wesad",
]
