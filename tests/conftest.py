"""What all tests share."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture
def real_data() -> Path:
    """Folder of the openly licensed corpora; skips where they are not there."""
    folder = Path(os.environ.get("AFFECT_DATA", "data")).expanduser()
    if not (folder / "eegmat").is_dir():
        pytest.skip(f"no open corpora under {folder.resolve()}: set AFFECT_DATA to the folder that holds eegmat/")
    return folder
