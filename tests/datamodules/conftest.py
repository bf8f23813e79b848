"""What tests of the data share."""

from pathlib import Path

import numpy as np
import pytest
from small_corpus import SUBJECTS, samples


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    for subject in SUBJECTS:
        np.save(folder / f"{subject}.npy", samples(subject))
    return folder
