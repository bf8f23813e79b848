"""Tables in text files as people save them: comma, semicolon or tab, with or without BOM, decimal point or comma."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from affect.errors import UserError

AGAIN = "download the file again"


def read_table(
    path: Path,
    columns: Sequence[str],
    expected: str | None = None,
    only: Callable[[str], bool] = lambda column: True,
) -> pd.DataFrame:
    """All cells as stripped text, column names stripped and in lower case, rows without a first column left out.

    Args:
        columns: that must be there, in lower case; the first one identifies a row.
        expected: what the file should look like, for messages.
        only: whether a column, by its name in lower case, is read at all.

    Raises:
        UserError: no file, no table, no such column.
    """
    expected = expected or f"columns {', '.join(columns)}, separated by commas, semicolons or tabs"
    if not path.is_file():
        raise UserError(path, "no such file", expected, "download it beside the recordings")
    try:
        with path.open(encoding="utf-8-sig") as file:
            head = file.readline()
        separator = max(",;\t", key=head.count)
        with path.open(encoding="utf-8-sig") as file, warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # rows longer than the head: columns would shift
            table: pd.DataFrame = pd.read_csv(
                file,
                sep=separator,
                dtype=str,
                skipinitialspace=True,
                index_col=False,
                usecols=lambda name: only(str(name).strip().lower()),
            )
    except Exception as error:  # the decoder and the parser raise each their own
        raise UserError(path, f"not a table ({error})", expected, AGAIN) from error
    table.columns = table.columns.str.strip().str.lower()
    if absent := [c for c in columns if c not in table.columns]:
        raise UserError(path, f"no column {absent} among {list(table.columns)[:20]}", expected, AGAIN)
    table = table.dropna(subset=columns[0]).apply(lambda column: column.str.strip())
    tidy: pd.DataFrame = table.reset_index(drop=True)
    return tidy


def numbers(table: pd.DataFrame, columns: Sequence[str], path: Path) -> pd.DataFrame:
    """These columns as float64; empty cells are NaN, a decimal comma is read as one.

    Raises:
        UserError: a cell that is no number.
    """
    result = {}
    for name in columns:
        text = table[name]
        values = pd.to_numeric(text.str.replace(",", ".", regex=False), errors="coerce")
        bad = values.isna() & text.notna() & ~text.str.lower().isin(["", "nan", "na"])
        if bad.any():
            row = int(bad.to_numpy().argmax())
            raise UserError(
                f"{path}, row {row + 2}", f"{name} {text[row]!r}", "a number", "correct the cell, or " + AGAIN
            )
        result[name] = values.astype(float)
    return pd.DataFrame(result)


def coded(text: str | float, codes: Mapping[str, str]) -> str:
    """The meaning of a code such as F or M; `unknown` for any other."""
    return codes.get(str(text).strip().lower(), "unknown")
