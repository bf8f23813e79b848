"""What is left of an experiment's models when streams are missing, as a figure for each target, method, normalisation.

uv run python scripts/missing_streams.py runs/deap_multimodal-… [--out FOLDER]

The experiment must have been run with `missing_streams: true`; the figures are made from its summary.json alone.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from affect.errors import UserError


def main(arguments: Sequence[str]) -> int:
    """Draw; 0, or 2 (something to put right)."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("folder", type=Path, help="of an experiment, with its summary.json")
    parser.add_argument("--out", type=Path, help="where the figures go; default: that folder")
    settings = parser.parse_args(arguments)
    from affect.reporting.figures.missing_streams import draw
    from affect.reporting.style import save

    try:
        for name, curve in curves(read_summary(settings.folder)).items():
            for path in save(draw(curve), (settings.out or settings.folder) / f"missing-{name}"):
                print(path)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def read_summary(folder: Path) -> dict[str, Any]:
    """The summary in an experiment's folder."""
    path = folder if folder.suffix == ".json" else folder / "summary.json"
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        remedy = "finish the experiment with its own command"
        raise UserError(path, str(error), "the summary of an experiment", remedy) from None
    return found


def curves(summary: dict[str, Any]) -> dict[str, Any]:
    """Name → figure for each target and row that was tested with streams missing."""
    from affect.reporting.figures.missing_streams import of_summary

    if found := of_summary(summary):
        return found
    raise UserError(
        "summary.json",
        "no model that was tested with streams missing",
        "an experiment of several streams with `missing_streams: true`",
        "run it again with --missing_streams=true",
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
