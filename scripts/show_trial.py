"""A picture per stream of one real trial: as it was recorded, as it was prepared, and where windows cut it.

uv run python scripts/show_trial.py --config experiments/configs/eegmat.yaml --data.corpus.root ~/eegmat
    [--subject Subject07] [--trial 2] [--out pictures] [--any.key=value …]
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from affect.batch import Signal, Video
from affect.errors import UserError

SHOWN = 12  # channels in a picture at most


def main(arguments: Sequence[str]) -> int:
    """Draw and say where."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form, allow_abbrev=False)
    parser.add_argument("--config", type=Path, required=True, help="the YAML of an experiment")
    parser.add_argument("--subject", help="default: the first")
    parser.add_argument("--trial", type=int, default=1, help="number of the person's trial, from 1")
    parser.add_argument("--out", type=Path, default=Path("pictures"), help="folder of the pictures")
    settings, overrides = parser.parse_known_args(arguments)
    try:
        for path in draw(settings.config, overrides, settings.subject, settings.trial, settings.out):
            print(path)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def draw(config: Path, overrides: list[str], subject: str | None, number: int, out: Path) -> list[Path]:
    """One PNG for each stream of the trial."""
    from experiments.check import check
    from experiments.data import build_corpora, build_recipes, prepared
    from experiments.load import load, pairs

    experiment = check(load(config, pairs(overrides)))
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
    out.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, recipe in chosen.items():
        if cache.streams[name].length[row] == 0:
            continue
        source = trial.streams[recipe.of]
        recorded = source() if callable(source) else source
        paths.append(out / f"{corpus.name}-{person}-{number}-{name}.png")
        title = f"{corpus.name} {person}, {facts['stimulus']}: {name}"
        _picture(paths[-1], title, recorded, cache, name, row)
    return paths


def _picture(path: Path, title: str, recorded: Signal | Video, cache: Any, name: str, row: int) -> None:
    """Rows: recorded; prepared, with windows; what was made of the windows."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    stream, onset = cache.streams[name], float(cache.trials["onset"].iloc[row])
    made = stream.features
    prepared = Signal(np.asarray(stream.signal(row)), stream.rate, stream.channels, stream.unit)
    count = int(cache.window.count(np.array([cache.trials["seconds"].iloc[row] - onset]))[0])
    starts = onset + np.arange(count) * cache.window.step
    figure, axes = pyplot.subplots(3 if made else 2, figsize=(11, 8 if made else 5.5), layout="constrained")
    figure.suptitle(title)
    _show(axes[0], recorded, "recorded", onset)
    _show(axes[1], prepared, "prepared", onset)
    if prepared.rate and prepared.data.ndim == 2:
        for i, start in enumerate(starts):
            end = min(start + cache.window.seconds, prepared.seconds)
            axes[1].axvspan(start, end, alpha=0.10 if i % 2 else 0.22, color="tab:green", lw=0)
        cuts = f"{count} window{'s' if count > 1 else ''} of {cache.window.seconds:g} s, every {cache.window.step:g} s"
        axes[1].set_xlabel(f"s; {cuts}{' (repeated until full)' if end - start < cache.window.seconds else ''}, shaded")
    if made:
        _features(figure, axes[2], made, made.of_trial(row)[1 : 1 + count])
    figure.savefig(path, dpi=90)
    pyplot.close(figure)


def _features(figure: Any, axis: Any, made: Any, values: NDArray[np.float32]) -> None:
    """Of several windows how each feature moves, of one its values, channel by channel."""
    names = ", ".join(made.names[:6]) + (" …" if len(made.names) > 6 else "")
    axis.set_title(f"{len(made.channels)} channels × {len(made.names)} features: {names}"[:110], fontsize=9)
    if len(values) > 1:
        flat = values.reshape(len(values), -1).T.astype(float)
        deviation = flat.std(axis=1, keepdims=True)
        shown = (flat - flat.mean(axis=1, keepdims=True)) / np.where(deviation > 0, deviation, 1)
        image = axis.imshow(shown, aspect="auto", interpolation="nearest", cmap="RdBu_r")
        axis.set_xlabel("window")
        axis.set_ylabel("feature")
    else:
        image = axis.imshow(values[0], aspect="auto", interpolation="nearest", cmap="viridis")
        axis.set_xlabel("feature")
        axis.set_ylabel("channel")
    figure.colorbar(image, ax=axis, label="z over windows" if len(values) > 1 else "value")


def _show(axis: Any, signal: Signal | Video, what: str, onset: float) -> None:
    if isinstance(signal, Video):
        frames = [frame for _, frame in zip(range(400), signal.frames(1.0), strict=False)]
        _strip(axis, np.stack(frames[:: max(1, len(frames) // 8)][:8]))
        kind = f"a video of {signal.seconds:.1f} s" if np.isfinite(signal.seconds) else "a still"
        axis.set_title(f"{what}: {kind}", fontsize=9)
        return
    if signal.data.ndim == 4:
        pictures = signal.data.transpose(1, 2, 3, 0)
        _strip(axis, pictures[:: max(1, len(pictures) // 10)][:10])
        size = f"{signal.data.shape[2]} × {signal.data.shape[3]} px"
        rate = f"{signal.data.shape[1]} pictures, {signal.rate:g} Hz" if signal.rate else "one picture"
        axis.set_title(f"{what}: {rate}, {size}", fontsize=9)
        return
    rate = f"{signal.rate:g} Hz" if signal.rate else "for the whole trial"
    count = f"{len(signal.channels)} channel{'s' if len(signal.channels) > 1 else ''}"
    axis.set_title(f"{what}: {count}, {rate}, {signal.unit}", fontsize=9)
    if signal.rate == 0:
        axis.bar(np.arange(len(signal.channels)), signal.data[:, 0])
        axis.set_xticks(np.arange(len(signal.channels)), signal.channels, rotation=90, fontsize=6)
        return
    seconds = np.arange(signal.data.shape[1]) / signal.rate
    if signal.data.shape[0] > 2 * SHOWN:
        low, high = np.percentile(signal.data, [2, 98])
        axis.imshow(
            signal.data, aspect="auto", origin="lower", extent=(0, signal.seconds, 0, len(signal.channels)),
            vmin=low, vmax=high, cmap="magma" if what == "prepared" else "RdBu_r",
        )  # fmt: skip
        axis.set_ylabel("channel")
        return
    step = np.median(np.ptp(signal.data, axis=1)) or 1.0
    centred = signal.data - np.median(signal.data, axis=1, keepdims=True)
    for i, (channel, values) in enumerate(zip(signal.channels, centred, strict=True)):
        axis.plot(seconds, values - i * step, lw=0.5)
        axis.text(0, -i * step, f"{channel} ", ha="right", va="center", fontsize=7)
    axis.set_yticks([])
    axis.set_xlim(0, signal.seconds)
    if onset:
        axis.axvline(onset, color="black", lw=1)
        axis.text(onset, axis.get_ylim()[1], " stimulus", fontsize=7, va="top")


def _strip(axis: Any, pictures: NDArray[Any]) -> None:
    """Pictures side by side."""
    axis.imshow(np.concatenate(list(pictures), axis=1))
    axis.axis("off")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
