"""Where openly licensed data lies."""

import os
from pathlib import Path

from affect.errors import UserError


def open_data(name: str, root: str | None = None) -> Path:
    """`root`, or the folder `name` in the one AFFECT_DATA names (default data/).

    Raises:
        UserError: it is not there.
    """
    folder = Path(root or Path(os.environ.get("AFFECT_DATA", "data")) / name).expanduser()
    if not folder.is_dir():
        raise UserError(folder, "no folder", f"the files of {name}", "set AFFECT_DATA to the folder that holds it")
    return folder
