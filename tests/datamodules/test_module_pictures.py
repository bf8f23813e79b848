"""Batches of pictures, and of what holds for a whole trial: normalised as signals are."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from affect.batch import Signal
from datamodules.cache import Recipe, Windowing, prepare
from datamodules.corpora.base import Corpus, Trial
from datamodules.module import FoldData
from datamodules.protocols import Fold, LeaveOneSubjectOut
from datamodules.windows import WindowSet, cut

PEOPLE, TRIALS, RATE, ONSET, SECONDS, SIZE = 3, 3, 4.0, 1.0, 3.0, (4, 5)


class Seen(Corpus):
    """Faces as small pictures of 4 a second, action units without time; person 1's second trial has no face."""

    name = "seen"
    streams = ("face", "au")
    ratings: ClassVar = {"valence": (1.0, 9.0)}

    def layout(self) -> str:
        return "one file"

    def _found(self) -> list[str]:
        return [f"s{n}" for n in range(PEOPLE)]

    def files(self, subject: str) -> list[Path]:
        return []

    def trials(self, subject: str, streams: Sequence[str]) -> Iterator[Trial]:
        person = int(subject[1:])
        for number in range(TRIALS):
            generator = np.random.default_rng([person, number])
            shape = (3, round(RATE * (ONSET + SECONDS)), *SIZE)
            face = generator.integers(40 * person, 40 * person + 100, shape, dtype=np.uint8)
            units = (10 * person + generator.standard_normal((2, 1))).astype(np.float32)
            signals = {
                "face": Signal(face, RATE, ("red", "green", "blue"), "8 bit"),
                "au": Signal(units, 0.0, ("AU01", "AU12"), "intensity"),
            }
            if (person, number) == (1, 1):
                del signals["face"]
            yield Trial(subject, f"video{number}", {"valence": 5.0}, signals, f"{subject}, {number}", onset=ONSET)


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory) -> WindowSet:
    folder = tmp_path_factory.mktemp("seen")
    recipes = {"face": Recipe("face"), "au": Recipe("au")}
    cache = prepare([Seen(str(folder))], recipes, Windowing(1.0, 1.0), folder / "cache", workers=1)
    return WindowSet(cache, cut(cache))


def data_of(windows: WindowSet, normalisation: Any) -> tuple[Fold, FoldData]:
    fold = LeaveOneSubjectOut().split(windows.trials)[0]
    labels = np.zeros((len(windows.table), 1), np.float32)
    return fold, FoldData(windows, labels, (2,), fold, normalisation, batch_size=2)


def pictures(windows: WindowSet) -> NDArray[np.float64]:
    return windows.streams["face"].gather(np.arange(len(windows.table))).astype(float)


@pytest.mark.parametrize("normalisation", ["none", "source", "subject", "baseline", "baseline+subject"])
def test_pictures_are_normalised_colour_by_colour(windows: WindowSet, normalisation: str) -> None:
    """(B, 3, T, H, W) float32, by the statistics of whom the normalisation names; an absent picture is black."""
    fold, data = data_of(windows, normalisation)
    raw, trial = pictures(windows), windows.table.trial
    here = windows.streams["face"].present
    if "baseline" in normalisation:
        for t in np.unique(trial[here]):
            before = windows.cache.streams["face"].signal(t)[:, : round(RATE * ONSET)]
            raw[trial == t] -= before.mean(axis=(1, 2, 3))[:, None, None, None]
    expected = np.zeros_like(raw)
    for person in range(PEOPLE):
        own = here & (windows.subject[trial] == person)
        fitted = own if "subject" in normalisation else here & np.isin(trial, fold.source_train)
        mean = 0.0 if normalisation in ("none", "baseline") else raw[fitted].mean(axis=(0, 2, 3, 4), keepdims=True)
        spread = 1.0 if normalisation == "none" else raw[fitted].std(axis=(0, 2, 3, 4), keepdims=True)
        expected[own] = ((raw - mean) / spread)[own]
    batch = data.gather(np.arange(len(trial)))
    assert batch.streams["face"].dtype == torch.float32
    np.testing.assert_allclose(batch.streams["face"].numpy(), expected, atol=1e-3)
    assert not batch.streams["face"][~torch.from_numpy(here)].any()


@pytest.mark.parametrize(("normalisation", "alike"), [("baseline", "source"), ("baseline+subject", "subject")])
def test_what_has_no_time_has_no_baseline(windows: WindowSet, normalisation: str, alike: str) -> None:
    rows = np.arange(len(windows.table))
    one, two = (data_of(windows, n)[1].gather(rows).streams["au"] for n in (normalisation, alike))
    assert one.isfinite().all()
    assert torch.equal(one, two)


def test_pictures_are_predicted_a_batch_at_a_time(windows: WindowSet) -> None:
    """Five hundred windows of pictures would not fit anywhere."""
    _, data = data_of(windows, "none")
    sizes = [len(batch.window) for batch in data.predict_dataloader()]
    assert max(sizes) == 2
    assert sum(sizes) == len(data.target_test)
