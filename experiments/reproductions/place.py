"""Where openly licensed data lies."""

from pathlib import Path

from affect.errors import UserError
from datamodules.corpora.base import placed


def open_data(name: str, root: str | None = None) -> Path:
    """`root`, or the folder `name` in the one AFFECT_DATA names, or in data/ here.

    Raises:
        UserError: it is not there.
    """
    folder = placed(root or f"data/{name}")
    if not folder.is_dir():
        raise UserError(folder, "no folder", f"the files of {name}", "set AFFECT_DATA to the folder that holds it")
    return folder
