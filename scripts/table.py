"""Print a table of experiments/tables: our figures beside published ones.

uv run python scripts/table.py experiments/tables/ravdess_streams.yaml [--run] [--format latex] [--any.key=VALUE …]

--run             do what is missing first; what is done is not done again
--format          md (default), latex, html (a fragment for any page), or csv, a line for each figure
--stand-in        on invented people in the layout of its corpora, marked so
--allow-mixed     results of different code or data in one table, marked so
--output FOLDER   of the results of studies; default runs/reproductions
--workers N       runs, or units of a study, at a time, each in a process with one thread; default: one for each core
--any.key=VALUE   changes one leaf of the table, as for experiments/run.py: --study.seeds=[0]

Without --run the table shows what is there. The exit code is 1 where something is missing. Corpora whose root is
`data/…` are looked for in the folder that AFFECT_DATA names, if it does, then here.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
for threads in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(threads, "1")

from affect.errors import UserError  # noqa: E402
from affect.reporting.formats import FORMATS  # noqa: E402
from experiments.load import pairs  # noqa: E402


def main(arguments: Sequence[str]) -> int:
    """Print; 0, 1 (something is missing), 2 (something to put right) or 130 (interrupted)."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form, allow_abbrev=False)
    parser.add_argument("table", type=Path)
    parser.add_argument("--run", action="store_true")
    parser.add_argument("--stand-in", action="store_true")
    parser.add_argument("--allow-mixed", action="store_true")
    parser.add_argument("--format", choices=FORMATS, default="md")
    parser.add_argument("--output", type=Path, default=Path("runs/reproductions"))
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    settings, overrides = parser.parse_known_args(arguments)
    try:
        from experiments.comparison import collect, load_table

        table = load_table(settings.table, pairs(overrides))
        comparison, missing = collect(
            table, settings.output, settings.run, max(1, settings.workers), settings.stand_in, settings.allow_mixed
        )
        if comparison.figures:
            print(FORMATS[settings.format](comparison))
        for what in missing:
            print(f"missing: {what}", file=sys.stderr)
        if missing and not settings.run:
            print("the same command with --run makes them", file=sys.stderr)
        return 1 if missing else 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted: the same command goes on from here", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
