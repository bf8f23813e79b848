"""Prepare an experiment's data and say what was done: people, streams, sizes, and what was wrong in the files.

uv run python scripts/prepare.py --config experiments/configs/deap.yaml --data.corpus.root ~/DEAP [--dry-run]

--dry-run   say what would be read and made, and what is there already
--report F  also write the quality report as csv
--quiet     the last line only
--any.key=VALUE as for experiments/run.py, which uses what is prepared here
"""

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
for threads in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(threads, "1")  # people are prepared side by side, each on one core

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402

from affect.errors import UserError  # noqa: E402
from affect.reporting.words import counted  # noqa: E402
from datamodules.assemble import Cache  # noqa: E402
from datamodules.cache import survey  # noqa: E402
from experiments.config import Experiment  # noqa: E402
from experiments.data_facts import defects  # noqa: E402
from experiments.load import load, pairs  # noqa: E402

SHOWN = 12  # bad trials listed


def main(arguments: Sequence[str]) -> int:
    """Prepare; 0, 2 (something to put right) or 130 (interrupted)."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form, allow_abbrev=False)
    parser.add_argument("--config", type=Path, required=True, help="the YAML of an experiment")
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--quiet", action="store_true")
    parser.add_argument("--report", type=Path)
    settings, overrides = parser.parse_known_args(arguments)
    try:
        from experiments.check import check
        from experiments.data import prepared
        from experiments.session import Progress

        experiment = check(load(settings.config, pairs(overrides)))
        if settings.report and not settings.report.absolute().parent.is_dir():
            raise UserError("--report", f"{settings.report}", "a file in a folder that is there", "make the folder")
        if not settings.quiet or settings.dry_run:
            print(intention(experiment), flush=True)
        if settings.dry_run:
            return 0
        began = time.perf_counter()
        with Progress("people") as bar:
            cache = prepared(experiment, bar.stage)
        seconds = time.perf_counter() - began
        if not settings.quiet:
            print(outcome(cache))
            print(quality(cache.quality, cache.dropped))
        if settings.report:
            cache.quality.to_csv(settings.report, index=False)
        size = _size(cache.folders)
        trials, where = counted(len(cache.trials), "trial"), ", ".join(map(str, cache.folders))
        print(f"{trials} in {seconds:.1f} s; {size} on disk in {where}")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted: people who are finished are kept; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


def intention(experiment: Experiment) -> str:
    """What would be read, what is there already, and what will be made."""
    from experiments.data import build_corpora, build_recipes, windowing

    recipes, window = build_recipes(experiment), windowing(experiment)
    lines = []
    for corpus in build_corpora(experiment):
        found = survey(corpus, recipes, window, Path(experiment.data.cache).expanduser())
        size = sum(path.stat().st_size for path in found.files)
        todo = len(found.missing(corpus, recipes, window))
        lines.append(
            f"{corpus.name}: {counted(len(found.people), 'person', 'people')}, {counted(len(found.files), 'file')}, "
            f"{_bytes(size)} in {corpus.root}; "
            + (f"{counted(todo, 'person', 'people')} to prepare" if todo else "all people are prepared already")
        )
    for name, recipe in recipes.items():
        steps = " → ".join(type(part).__name__ for part in (*recipe.steps, recipe.features) if part) or "as recorded"
        lines.append(f"  {name} (from {recipe.of}): {steps}")
    return "\n".join(lines)


def outcome(cache: Cache) -> str:
    """Streams of the prepared trials: shape, presence, length."""
    rows = []
    for name, stream in cache.streams.items():
        there = stream.length > 0
        seconds = stream.length[there] / stream.rate if stream.rate else np.zeros(1)
        made = stream.features
        windows = int(made.count.sum()) if made else 0
        rows.append(
            {
                "stream": name,
                "channels": len(stream.channels),
                "Hz": f"{stream.rate:g}",
                "unit": stream.unit,
                "trials": int(there.sum()),
                "absent": int((~there).sum()),
                "seconds": f"{seconds.min():.1f} – {seconds.max():.1f}" if stream.rate else "–",
                "features": f"{len(made.channels)} × {len(made.names)}, {counted(windows, 'window')}" if made else "–",
            }
        )
    people = counted(cache.trials["subject"].nunique(), "person", "people")
    return f"{people}, {counted(len(cache.trials), 'trial')}\n{pd.DataFrame(rows).to_string(index=False)}"


def quality(found: pd.DataFrame, dropped: Sequence[str]) -> str:
    """What was wrong, a row a person and stream, and the trials left out with the reason."""
    if found.empty and not dropped:
        return "quality: nothing missing, dead or clipped in any trial"
    rows = defects(found)
    lines = (
        ["quality (trials that are not as they should be):", pd.DataFrame(rows).to_string(index=False)] if rows else []
    )
    if dropped:
        lines += [f"{counted(len(dropped), 'trial')} left out:", *(f"  {reason}" for reason in dropped[:SHOWN])]
        lines += [f"  … and {len(dropped) - SHOWN} more (--report FILE)"] if len(dropped) > SHOWN else []
    return "\n".join(lines)


def _size(folders: Sequence[Path]) -> str:
    return _bytes(sum(p.stat().st_size for folder in folders for p in folder.rglob("*") if p.is_file()))


def _bytes(size: float) -> str:
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main(sys.argv[1:]))
