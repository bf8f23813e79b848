"""The data section of a config → corpora, recipes and the prepared cache."""

from collections.abc import Callable
from pathlib import Path

from affect.preprocessing import Features
from affect.preprocessing.step import Step, VideoStep
from datamodules.cache import Cache, Recipe, Windowing, prepare
from datamodules.corpora.base import Corpus
from datamodules.targets import Target
from experiments.components import build
from experiments.config import Experiment, Stream

STEPS: tuple[type[Step | VideoStep], ...] = (Step, VideoStep)
Progress = Callable[[str, int, int], None]


def build_corpora(experiment: Experiment) -> list[Corpus]:
    """The corpora of an experiment, in its order."""
    listed = experiment.data.corpus
    return [build(corpus, Corpus, key_of("corpus", i, len(listed))) for i, corpus in enumerate(listed)]


def build_targets(experiment: Experiment) -> list[Target]:
    """What is predicted."""
    listed = experiment.data.target
    return [build(target, Target, key_of("target", i, len(listed))) for i, target in enumerate(listed)]


def key_of(name: str, number: int, count: int) -> str:
    """Key of an entry as the user wrote it: one alone has no number."""
    return f"data.{name}" if count == 1 else f"data.{name}.{number}"


def build_recipes(experiment: Experiment) -> dict[str, Recipe]:
    """Name of a stream in the experiment → how it is made; those that only targets look at come first."""
    looked_at = {name: Recipe(name, input=False) for target in build_targets(experiment) for name in target.streams}
    return looked_at | {name: _recipe(name, stream) for name, stream in experiment.data.streams.items()}


def _recipe(name: str, stream: Stream) -> Recipe:
    key = f"data.streams.{name}"
    steps: list[Step | VideoStep] = [build(step, STEPS, f"{key}.steps.{i}") for i, step in enumerate(stream.steps)]
    features = build(stream.features, Features, f"{key}.features") if stream.features else None
    return Recipe(stream.stream or name, tuple(steps), features)


def windowing(experiment: Experiment) -> Windowing:
    """How trials are cut."""
    window = experiment.data.window
    return Windowing(window.seconds, window.step or window.seconds, window.short == "repeat")


def prepared(experiment: Experiment, progress: Progress = lambda what, done, total: None) -> Cache:
    """The cache of an experiment's data, prepared where it is not there yet."""
    data = experiment.data
    return prepare(
        build_corpora(experiment),
        build_recipes(experiment),
        windowing(experiment),
        Path(data.cache).expanduser(),
        data.bad_trials,
        data.scale,
        local.workers if (local := experiment.launcher.local) else 0,
        progress,
    )
