"""Of every corpus with a stand-in: a stream that is quickly prepared, and a file that holds recordings."""

STREAM = {
    **{"Amigos": "eda", "Ceap": "head", "CremaD": "audio", "Deap": "eda", "Dreamer": "ecg", "Eegmat": "ecg"},
    **{"EmoDB": "audio", "Folder": "eda", "LondonFaces": "face", "Nemo": "audio", "Ravdess": "audio"},
    **{"StressPredict": "eda", "UciHar": "motion", "Wesad": "ecg"},
}
"""Corpus → a stream of it that is cheap to prepare."""

MAIN = {
    "Amigos": "Data_Preprocessed/*/*P02.mat",
    "Ceap": "signals/P02_V3.npz",
    "CremaD": "AudioWAV/1002*",
    "Deap": "data_preprocessed_python/s02.dat",
    "Dreamer": "DREAMER.mat",
    "Eegmat": "Subject01_2.edf",
    "EmoDB": "wav/08*",
    "Folder": "P02/*_eeg.npy",
    "LondonFaces": "smiling_front/002*",
    "Nemo": "samples/B*",
    "Ravdess": "Actor_02/03*",
    "StressPredict": "Raw_data/S03/EDA.csv",
    "UciHar": "*.npz",
    "Wesad": "S3/S3.pkl",
}
"""Corpus → a file that is missed, or spoilt, as a glob."""
