"""Run a sweep without a server; the same file works with `wandb sweep`.

uv run python scripts/sweep.py experiments/sweeps/dann.yaml [--trials N] [--dry-run] [--any.key=VALUE …]

--trials N       in all, those of earlier commands included; default: the file's run_cap, or its whole grid
--dry-run        checks the sweep, prints the command of its first trial and stops
--any.key=VALUE  changes one leaf of the experiment, for every trial

Prints the trials as they end, and their ranking; leaves ranking.json, .png and .svg beside the results. A trial is
chosen by what reads no target label. Interrupted, the same command goes on, and redoes nothing.
"""

import argparse
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
for threads in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(threads, "1")

from affect.errors import UserError  # noqa: E402
from experiments.load import pairs  # noqa: E402


def main(arguments: Sequence[str]) -> int:
    """Search; 0, 1 (a trial failed), 2 (something to put right) or 130 (interrupted)."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form, allow_abbrev=False)
    parser.add_argument("sweep", type=Path)
    parser.add_argument("--trials", type=int)
    parser.add_argument("--dry-run", action="store_true")
    settings, rest = parser.parse_known_args(arguments)
    overrides = pairs(rest)
    try:
        from experiments.sweep import load_sweep, written

        checked = load_sweep(settings.sweep, overrides)
        if settings.dry_run:
            first = checked.grid()[0] if checked.sweep.method == "grid" else checked.drawn(0)
            command = ["python", checked.sweep.program, f"--config={checked.config}", *checked.overrides]
            print(shlex.join([*command, *written(first)]))
            return 0
        from affect.evaluation.selection import READS_TARGET
        from affect.reporting.sweep import draw, text
        from experiments.trials import folder_of, search

        rows = search(settings.sweep, overrides, settings.trials, lambda line: print(line, flush=True))
        metric, folder = checked.objective.name, folder_of(checked)
        print(text(rows, metric, checked.objective.validator in READS_TARGET))
        draw(rows, metric, f"{checked.sweep.name}: {len(rows)} trials, a ring around the best", folder / "ranking")
        print(f"\n{folder / 'ranking.json'}")
        return int(any(row["state"] == "failed" for row in rows))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted: finished trials and runs are kept; the same command goes on from here", file=sys.stderr)
        return 130


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main(sys.argv[1:]))
