"""A corpus of the trials it is told, and cases of them, for the tests of windows."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from hypothesis import assume, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from affect.batch import Signal, StreamShape
from affect.preprocessing import Features
from datamodules.cache import Cache, Recipe, Windowing, prepare
from datamodules.corpora.base import Corpus, Trial

quick = settings(max_examples=40, deadline=None)
CHANNELS = {"fast": ("a", "b"), "slow": ("c",)}


class Told(Corpus):
    """The trials it is given, one person each."""

    name = "told"
    streams = ("fast", "slow")
    ratings: ClassVar = {"valence": (1.0, 9.0)}

    def __init__(self, root: Path, told: Sequence[Trial]) -> None:
        super().__init__(str(root))
        self.told = {trial.subject: trial for trial in told}
        for subject in self.told:
            (root / subject).write_text(subject)

    def layout(self) -> str:
        return "a file a person"

    def _found(self) -> list[str]:
        return list(self.told)

    def files(self, subject: str) -> list[Path]:
        return [self.root / subject]

    def trials(self, subject: str, streams: Sequence[str]) -> Iterator[Trial]:
        yield self.told[subject]


@contextmanager
def prepared(
    trials: Sequence[Trial],
    window: tuple[float, float] = (1.0, 1.0),
    streams: Sequence[str] = ("fast", "slow"),
    features: Features | None = None,
    short: str = "drop",
) -> Iterator[Cache]:
    """The trials cut into windows of (seconds, step); every stream through the same features."""
    with tempfile.TemporaryDirectory() as folder:
        corpus, cache = Path(folder, "corpus"), Path(folder, "cache")
        corpus.mkdir()
        recipes = {name: Recipe(name, features=features) for name in streams}
        yield prepare([Told(corpus, trials)], recipes, Windowing(*window, short == "repeat"), cache, "drop")


def numbered(trial: int, stream: str, samples: int) -> NDArray[np.float32]:
    """(C, samples) whose every value tells the trial, the channel and the sample."""
    channels = len(CHANNELS[stream])
    return (trial * 2**15 + np.arange(channels)[:, None] * 2**13 + np.arange(samples)).astype(np.float32)


def noise(trial: int, stream: str, samples: int) -> NDArray[np.float32]:
    generator = np.random.default_rng([trial, samples])
    return (7.0 + trial + generator.standard_normal((len(CHANNELS[stream]), samples))).astype(np.float32)


def trial_of(number: int, rates: dict[str, float], seconds: float, onset: float = 0.0, make: Any = numbered) -> Trial:
    signals = {
        name: Signal(make(number, name, max(2, round(seconds * rate))), rate, CHANNELS[name], "µV")
        for name, rate in rates.items()
    }
    return Trial(f"s{number}", "video", {"valence": 5.0}, signals, f"trial {number}", onset=onset)


@dataclass(frozen=True)
class Case:
    """Trials and how they are cut; lengths and rates that do not divide each other are meant."""

    trials: list[Trial]
    seconds: float
    step: float


def twentieths(low: float, high: float) -> st.SearchStrategy[float]:
    return st.integers(round(low * 20), round(high * 20)).map(lambda n: n / 20)


@st.composite
def cases(draw: st.DrawFn, make: Any = numbered) -> Case:
    rates = {
        "fast": draw(st.sampled_from([10.0, 33.3, 50.0, 64.0])),
        "slow": draw(st.sampled_from([3.7, 4.0, 10.0])),
    }
    trials = []
    for number in range(draw(st.integers(2, 4))):
        there = [n for n in rates if number == 0 or n == "fast" or draw(st.booleans())]
        seconds, onset = draw(twentieths(1, 6)), draw(st.one_of(st.just(0.0), twentieths(0, 1.5)))
        trials.append(trial_of(number, {n: rates[n] for n in there}, seconds, onset, make))
    assume(any(end > onset for onset, end in map(expected_span, trials)))  # else there is nothing to cut
    order = draw(st.permutations(range(len(trials))))
    step = draw(st.one_of(twentieths(0.1, 2), st.floats(0.1, 2)))
    return Case([trials[i] for i in order], draw(twentieths(0.2, 3)), step)


def expected_span(trial: Trial) -> tuple[float, float]:
    """(onset, end) in seconds, of the stream that ends first."""
    return trial.onset, min(signal.seconds for signal in trial.streams.values())


@dataclass(frozen=True)
class Extent(Features):
    """Smallest and largest sample of each channel."""

    calls: ClassVar[list[int]] = []

    def names(self) -> tuple[str, ...]:
        return ("smallest", "largest")

    def __call__(self, windows: NDArray[np.float32], stream: StreamShape) -> NDArray[np.float32]:
        self.calls.append(len(windows))
        return np.stack([windows.min(axis=-1), windows.max(axis=-1)], axis=-1)


@dataclass(frozen=True)
class Apart(Features):
    """How far each channel's mean is from the first one's: channels are mixed."""

    def names(self) -> tuple[str, ...]:
        return ("distance",)

    def channels(self, given: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(f"{name}-{given[0]}" for name in given[1:])

    def __call__(self, windows: NDArray[np.float32], stream: StreamShape) -> NDArray[np.float32]:
        mean = windows.mean(axis=-1, keepdims=True)
        return (mean[:, 1:] - mean[:, :1]).astype(np.float32)
