"""Stand-ins: small, realistic files in a corpus's official layout, with a known effect in them."""

from datamodules.standin.amigos import StandInAmigos
from datamodules.standin.ceap import StandInCeap
from datamodules.standin.crema_d import StandInCremaD
from datamodules.standin.deap import StandInDeap
from datamodules.standin.dreamer import StandInDreamer
from datamodules.standin.eegmat import StandInEegmat
from datamodules.standin.emodb import StandInEmoDB
from datamodules.standin.london_faces import StandInLondonFaces
from datamodules.standin.nemo import StandInNemo
from datamodules.standin.own_folder import StandInFolder
from datamodules.standin.ravdess import StandInRavdess
from datamodules.standin.stress_predict import StandInStressPredict
from datamodules.standin.uci_har import StandInUciHar
from datamodules.standin.wesad import StandInWesad

__all__ = [
    "StandInAmigos",
    "StandInCeap",
    "StandInCremaD",
    "StandInDeap",
    "StandInDreamer",
    "StandInEegmat",
    "StandInEmoDB",
    "StandInFolder",
    "StandInLondonFaces",
    "StandInNemo",
    "StandInRavdess",
    "StandInStressPredict",
    "StandInUciHar",
    "StandInWesad",
]
