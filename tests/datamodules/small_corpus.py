"""A corpus of five people for the tests of the cache, and how they prepare it."""

import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from affect.batch import Signal
from affect.preprocessing import Functionals, Step
from datamodules.cache import Cache, Recipe, Windowing
from datamodules.cache import prepare as prepare_corpora
from datamodules.corpora.base import Corpus, Trial

RATE = 50.0
SUBJECTS = [f"s{n}" for n in range(1, 6)]


class Small(Corpus):
    """`sN.npy`: (trials, 2 EEG + 1 skin channels, samples); `sN.json`, where it is: other facts than the usual.

    Every reading of a person is noted in `log`, and `fail_at` is a person that cannot be read this time.
    """

    name = "small"
    streams = ("eeg", "eda")
    ratings: ClassVar = {"valence": (1.0, 9.0)}

    def __init__(self, root: Path, log: Path | None = None, fail_at: str = "", pause: float = 0.0) -> None:
        super().__init__(str(root))
        self.log, self.fail_at, self.pause = log, fail_at, pause

    def layout(self) -> str:
        return "s1.npy …"

    def _found(self) -> list[str]:
        return sorted(path.stem for path in self.root.glob("*.npy"))

    def files(self, subject: str) -> list[Path]:
        return sorted(self.root.glob(f"{subject}.*"))

    def trials(self, subject: str, streams: Sequence[str]) -> Iterator[Trial]:
        if self.log:
            with self.log.open("a") as log:
                log.write(f"{subject}\n")
        facts = {"rate": RATE, "names": ["left", "right"], "unit": "µV", "valence": 5.0}
        extra = self.root / f"{subject}.json"
        facts |= json.loads(extra.read_text()) if extra.exists() else {}
        for number, data in enumerate(np.load(self.root / f"{subject}.npy")):
            time.sleep(self.pause)
            if number == 1 and subject == self.fail_at:
                raise Interrupted
            signals = {
                "eeg": Signal(data[:2], facts["rate"], tuple(facts["names"]), facts["unit"]),
                "eda": Signal(data[2:], facts["rate"], ("skin",), "Ohm"),
            }
            yield Trial(
                subject,
                f"video{number}",
                {"valence": facts["valence"]},
                {name: signals[name] for name in streams},
                f"{self.root}/{subject}.npy, trial {number}",
                onset=0.5,
                group={"age": 20.0},
            )


class Interrupted(Exception):
    """What the tests throw into a preparation."""


@dataclass(frozen=True)
class Gain(Step):
    """Scales a signal."""

    factor: float

    def __call__(self, signal: Signal, **beside: Signal | None) -> Signal:
        return Signal(signal.data * np.float32(self.factor), signal.rate, signal.channels, signal.unit)


STEPS: dict[str, list[Step]] = {"eeg": [Gain(2.0)], "eda": []}


def prepare(corpus: Corpus, steps: dict[str, list[Step]], root: Path, bad_trials: Any = "error", **more: Any) -> Cache:
    """Into windows of a second, with two numbers of each window beside the samples of the EEG."""
    features = {"eeg": Functionals()}
    recipes = {name: Recipe(name, tuple(chosen), features.get(name)) for name, chosen in steps.items()}
    return prepare_corpora([corpus], recipes, Windowing(1.0, 0.5), root, bad_trials, **more)


def samples(subject: str) -> np.ndarray:
    """Ragged: the n-th person's trials are n samples longer."""
    number = int(subject[1:])
    return np.random.default_rng(number).standard_normal((3, 3, 100 + number)).astype(np.float32)


def write(path: Path, content: Any) -> None:
    """Change a file; its time moves on by a second, as clocks of file systems are coarse."""
    later = path.stat().st_mtime_ns + 10**9 if path.exists() else None
    path.write_text(json.dumps(content)) if path.suffix == ".json" else np.save(path, content)
    if later:
        os.utime(path, ns=(later, later))


def read_in(log: Path) -> list[str]:
    return log.read_text().split() if log.exists() else []
