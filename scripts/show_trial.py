"""A picture per stream of one real trial: as it was recorded, as it was prepared, and where windows cut it.

uv run python scripts/show_trial.py --config experiments/configs/eegmat.yaml --data.corpus.root ~/eegmat
    [--subject Subject07] [--trial 2] [--out pictures] [--mosaic 12] [--any.key=value …]
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import argparse
from collections.abc import Sequence

import numpy as np

from affect.batch import Signal
from affect.errors import UserError
from affect.reporting import trial as picture
from affect.reporting.window_features import Windows
from datamodules.cache import Cache


def main(arguments: Sequence[str]) -> int:
    """Draw and say where."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form, allow_abbrev=False)
    parser.add_argument("--config", type=Path, required=True, help="the YAML of an experiment")
    parser.add_argument("--subject", help="default: the first")
    parser.add_argument("--trial", type=int, default=1, help="number of the person's trial, from 1")
    parser.add_argument("--out", type=Path, default=Path("pictures"), help="folder of the pictures")
    parser.add_argument(
        "--mosaic", type=int, default=0, help="show faces in so many tiles a side: for people who may not be recognised"
    )
    settings, overrides = parser.parse_known_args(arguments)
    try:
        for path in draw(
            settings.config, overrides, settings.subject, settings.trial, settings.out, max(0, settings.mosaic)
        ):
            print(path)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def draw(
    config: Path, overrides: Sequence[str], subject: str | None, number: int, out: Path, mosaic: int = 0
) -> list[Path]:
    """One PNG for each stream of the trial."""
    from experiments.check import check
    from experiments.data import build_corpora, build_recipes, prepared
    from experiments.load import load, pairs

    experiment = check(load(config, pairs([*overrides])))
    cache = prepared(experiment)
    people = list(dict.fromkeys(cache.trials["subject"]))
    subject = subject or people[0]
    rows = np.flatnonzero(cache.trials["subject"] == subject)
    if not 1 <= number <= len(rows):
        raise UserError("--subject, --trial", f"{subject}, {number}", f"one of {people}, 1 … {len(rows)}", "choose one")
    row = int(rows[number - 1])
    facts = cache.trials.iloc[row]
    corpus = next(c for c in build_corpora(experiment) if c.name == facts["corpus"])
    chosen = {name: recipe for name, recipe in build_recipes(experiment).items() if recipe.input}
    person = str(facts["subject"]).removeprefix(f"{corpus.name}/")
    trials = corpus.trials(person, list(dict.fromkeys(r.of for r in chosen.values())))
    trial = next(t for t in trials if not isinstance(t, UserError) and t.where == facts["where"])
    paths = []
    for name, recipe in chosen.items():
        stream = cache.streams[name]
        if stream.length[row] == 0:
            continue
        source = trial.streams[recipe.of]
        shown: picture.Trial = {
            "title": f"{corpus.name} {person}, {facts['stimulus']}: {name}",
            "recorded": source() if callable(source) else source,
            "prepared": Signal(np.asarray(stream.signal(row)), stream.rate, stream.channels, stream.unit),
            "steps": tuple(type(step).__name__ for step in recipe.steps),
            "onset": float(facts["onset"]),
            "windows": _windows(cache, name, row),
            "mosaic": mosaic,
        }
        paths.append(picture.draw(shown, out / f"{corpus.name}-{person}-{number}-{name}.png"))
    return paths


def _windows(cache: Cache, name: str, row: int) -> Windows:
    """How the trial was cut, and what was made of the stream's windows."""
    cut, made = cache.window, cache.streams[name].features
    onset = float(cache.trials["onset"].iloc[row])
    count = int(cut.count(np.array([cache.trials["seconds"].iloc[row] - onset]))[0])
    return {
        "starts": onset + cut.step * np.arange(count, dtype=np.float64),
        "seconds": cut.seconds,
        "step": cut.step,
        "channels": made.channels if made else (),
        "names": made.names if made else (),
        "features": made.of_trial(row)[1 : 1 + count] if made else None,
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
