"""People of noise in DEAP's full size: 40 trials, 40 channels, 8064 samples, float64, 103 MB each."""

from pathlib import Path

import numpy as np

from datamodules.standin.python2_pickle import dump


def synthetic_deap(root: Path, people: int) -> Path:
    """Write what is not there yet of `root/data_preprocessed_python/s01.dat` …; returns that folder."""
    folder = root / "data_preprocessed_python"
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(1, people + 1):
        path = folder / f"s{number:02d}.dat"
        if path.exists():
            continue
        rng = np.random.default_rng(number)
        data = rng.standard_normal((40, 40, 8064), dtype=np.float32).astype(np.float64) * 10
        labels = rng.uniform(1, 9, (40, 4))
        part = path.with_suffix(".part")
        with part.open("wb") as file:
            dump(file, {"labels": labels, "data": data}, 2)
        part.rename(path)
    return folder
