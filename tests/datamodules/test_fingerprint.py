"""What a class from outside the project is known by."""

import subprocess
import sys
from pathlib import Path

ASK = "from datamodules.fingerprint import foreign; {first}print(foreign('somebodys.encoders'))"


def test_a_foreign_module_has_one_hash_loaded_or_not(tmp_path: Path) -> None:
    """Workers ask before they import it; changed, it has another; the project's own have none."""
    module = tmp_path / "somebodys" / "encoders.py"
    module.parent.mkdir()
    module.write_text("x = 1\n")

    def told(first: str) -> str:
        environment = {"PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[2]}", "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-c", ASK.format(first=first)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()

    before = told("")
    assert before not in ("", "None")
    assert told("import somebodys.encoders; ") == before
    module.write_text("x = 2\n")
    assert told("") not in ("None", before)
