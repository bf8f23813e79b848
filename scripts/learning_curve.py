"""Run an experiment once for each value of one key, and draw what every method gets: a learning curve.

uv run python scripts/learning_curve.py --config experiments/configs/ravdess_from_nemo.yaml \\
    --over=protocol.source_people=2,4,8 [--out curve] [--any.key=VALUE …]

--over KEY=A,B,C  a key that counts something: protocol.source_people (labelled source people), or
                  protocol.calibration (labelled trials of the tested person; all values are scored on the same trials)
--metric NAME     default: the first of the target
--out PATH        of the figures (.png, .svg) and the table (.csv); default: <output>/<name>-<last part of the key>
--any.key=VALUE   as for experiments/run.py, which makes the runs: what is done is not done again
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
for threads in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(threads, "1")

from affect.errors import UserError  # noqa: E402
from experiments.config import Experiment  # noqa: E402
from experiments.load import load, pairs  # noqa: E402

LABELS = {"source_people": "labelled source people", "calibration": "labelled trials of the tested person"}


def main(arguments: Sequence[str]) -> int:
    """Run and draw; 0, 1 (runs failed), 2 (something to put right) or 130 (interrupted)."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form, allow_abbrev=False)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--over", required=True, metavar="KEY=A,B,C")
    parser.add_argument("--metric")
    parser.add_argument("--out", type=Path)
    settings, overrides = parser.parse_known_args(arguments)
    try:
        key, counts = _over(settings.over)
        if key.endswith("calibration"):
            overrides = [*overrides, f"--{key}_reserve={max(counts)}"]
        summaries = {}
        for count in counts:
            experiment = load(settings.config, [*pairs(overrides), f"--{key}={count}"])
            print(f"\n{key} = {count}", flush=True)
            summaries[count] = _summary(experiment)
            if summaries[count] is None:
                return 1
        out = settings.out or Path(experiment.output) / f"{experiment.name}-{key.rpartition('.')[2]}"
        for target, curve in curves(summaries, key, settings.metric).items():
            own = out if len(summaries[counts[0]]["targets"]) == 1 else out.with_name(f"{out.name}-{target}")
            _leave(curve, own)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted: the same command goes on from here", file=sys.stderr)
        return 130
    return 0


def _over(text: str) -> tuple[str, list[int]]:
    key, _, values = text.partition("=")
    try:
        counts = [int(value) for value in values.split(",")]
        if len(counts) < 2 or len(set(counts)) < len(counts):
            raise ValueError
    except ValueError:
        raise UserError("--over", repr(text), "KEY=A,B,C with two whole numbers or more", "correct it") from None
    return key, counts


def _summary(experiment: Experiment) -> Any:
    """Of an experiment, run where it is not done; None when a run failed."""
    from experiments.check import check
    from experiments.plan import make
    from experiments.session import run
    from experiments.summary import summarise

    if run(experiment):
        return None
    return summarise(make(check(experiment)))


def curves(summaries: dict[int, Any], key: str, metric: str | None = None) -> dict[str, Any]:
    """Target → what is drawn: a line for each method under each normalisation."""
    from affect.evaluation.metrics import metrics_of

    found = {}
    first = next(iter(summaries.values()))
    for target, block in first["targets"].items():
        known = metrics_of(block["classes"])
        chosen = metric or known[0]
        if chosen not in known:
            raise UserError("--metric", repr(chosen), f"one of {', '.join(known)}", "correct it")
        several = len({row["normalisation"] for row in block["methods"].values()}) > 1
        lines = {}
        for row, about in block["methods"].items():
            name = row if several else about["method"]
            lines[name] = {
                count: score
                for count, summary in summaries.items()
                if (score := summary["targets"][target]["methods"][row]["window"][chosen])
            }
        setting = next(iter(block["methods"].values()))["normalisation"]
        found[target] = {
            "title": f"{first['experiment']}: {target}" + ("" if several else f", normalised by {setting}"),
            "metric": f"{chosen.replace('_', ' ')}, mean over {first['subjects']} people, 95 % interval",
            "chance": block["chance"].get(chosen, 0.0),
            "x_label": LABELS.get(key.rpartition(".")[2], key),
            "lines": lines,
        }
    return found


def _leave(curve: Any, out: Path) -> None:
    """The table in the terminal and as csv, and the figure."""
    import pandas as pd

    from affect.reporting.figures.learning_curve import draw
    from affect.reporting.style import save

    rows = [
        {"method": name, curve["x_label"]: count, **{part: score[part] for part in ("mean", "low", "high", "people")}}
        for name, line in curve["lines"].items()
        for count, score in line.items()
    ]
    table = pd.DataFrame(rows)
    cells = table.assign(cell=[f"{r['mean']:.3f} [{r['low']:.3f}, {r['high']:.3f}]" for r in rows])
    print(f"\n{curve['title']}\n{curve['metric']}; chance {curve['chance']:.3f}")
    print(cells.pivot(index="method", columns=curve["x_label"], values="cell").reindex(curve["lines"]).to_string())
    out.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(out.with_name(f"{out.name}.csv"), index=False)
    for path in save(draw(curve), out):
        print(path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
