"""What all tests share."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture
def real_data() -> Path:
    """Folder of the openly licensed corpora. Absent, the test skips; absent though AFFECT_DATA names it, it fails."""
    named = os.environ.get("AFFECT_DATA")
    folder = Path(named or "data").expanduser()
    if not (folder / "eegmat").is_dir():
        assert named is None, f"AFFECT_DATA is {folder}, where there is no eegmat/"
        pytest.skip(f"no open corpora under {folder.resolve()}: set AFFECT_DATA to the folder that holds eegmat/")
    return folder
