"""A table of experiments/tables → its page, from what is finished."""

from collections.abc import Sequence
from pathlib import Path

from affect.errors import UserError
from affect.reporting.formats import html
from affect.reporting.page import Block, Code, Fragment, Page, Section, Text, render
from datamodules.atomic import write_text
from experiments.comparison import collect, load_table
from experiments.report.figures import brief
from experiments.report.folder import ExperimentFolder


def write_table_page(path: Path, overrides: Sequence[str], output: Path, out: Path | None = None) -> Path:
    """Write the page; nothing is run.

    Args:
        path: YAML of the table.
        output: folder of the results of studies.
        out: where; default: the table's name in `output`'s parent.

    Raises:
        UserError: nothing of the table is finished yet.
    """
    comparison, missing = collect(load_table(path, list(overrides)), output, make=False, workers=1)
    command = f"uv run python scripts/table.py {path}"
    if not comparison.figures:
        raise UserError(path, "no finished results", "a table with results", f"make them: {command} --run")
    sections = [
        Section("Table", [Fragment(html(comparison))]),
        Section("Figures", figures_of(comparison.folders)),
        Section("Missing", [Text(missing)] if missing else []),
        Section("How to make it again", [Code(f"{command} --run"), Code(path.read_text(encoding="utf-8"), path.name)]),
    ]
    page = out or output.parent / f"{path.stem}.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    write_text(page, render(Page(comparison.title, [], sections)))
    return page


def figures_of(folders: Sequence[Path]) -> list[Block]:
    """Of every experiment the figures that say most; the rest is on its own page."""
    blocks: list[Block] = []
    for path in folders:
        try:
            shown = list(brief(ExperimentFolder(path)))
        except UserError:  # a summary that was brought here without its runs
            continue
        blocks += [one.picture() for one in shown]
        blocks.append(Code(f"uv run python scripts/report.py {path}  # all figures of {path.name}"))
    return blocks
