"""A cache never serves one recording for another: whatever was repaired, added, cut off or still being written."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from small_corpus import STEPS, Small, prepare, prepare_corpora, read_in, samples, write

from affect.batch import Signal, StreamShape
from affect.errors import SetupError, UserError
from affect.preprocessing import Features, Functionals, Step
from datamodules.cache import Recipe, Windowing
from datamodules.corpora.base import Trial
from datamodules.windows import StreamWindows, cut


class Listed(Small):
    """A table says which trials there are, and their order; the samples of each are in files of their own."""

    def files(self, subject: str) -> list[Path]:
        return [self.root / "table.json"]

    def files_of(self, subject: str, stream: str) -> list[Path]:
        return [self.root / f"{subject}.npy"]

    def trials(self, subject: str, streams: Sequence[str]) -> Iterator[Trial]:
        found = {trial.stimulus: trial for trial in super().trials(subject, streams)}
        for stimulus in json.loads((self.root / "table.json").read_text()):
            yield found[stimulus]


def test_trials_in_another_order_keep_their_own_samples(root: Path, tmp_path: Path) -> None:
    write(root / "table.json", ["video0", "video1", "video2"])
    prepare(Listed(root), STEPS, tmp_path / "cache")
    write(root / "table.json", ["video2", "video0"])
    cache = prepare(Listed(root), STEPS, tmp_path / "cache")
    assert cache.trials["stimulus"].tolist()[:2] == ["video2", "video0"]
    np.testing.assert_array_equal(cache.streams["eeg"].signal(0), samples("s1")[2, :2] * 2)
    np.testing.assert_array_equal(cache.streams["eeg"].signal(3), samples("s2")[0, :2] * 2)


def test_a_person_with_other_channels_shifts_nobody_elses(root: Path, tmp_path: Path) -> None:
    """Refused, then left out as the message says: who was written after them is still read right."""

    class Odd(Small):
        def trials(self, subject: str, streams: Sequence[str]) -> Iterator[Trial]:
            for trial in super().trials(subject, streams):
                if subject == "s2":
                    eeg = trial.streams["eeg"]
                    one = Signal(eeg.data[:1, :-1], eeg.rate, eeg.channels[:1], eeg.unit)
                    trial = replace(trial, streams={**trial.streams, "eeg": one})
                yield trial

    with pytest.raises(UserError, match="Resample or Channels"):
        prepare(Odd(root), STEPS, tmp_path / "cache")
    rest = Odd(root, tmp_path / "log")
    rest.chosen = ["s1", "s3", "s4", "s5"]
    cache = prepare(rest, STEPS, tmp_path / "cache")
    assert read_in(tmp_path / "log") == []
    windows = StreamWindows(cache, "eeg", cut(cache))
    gathered, raw = windows.gather(np.arange(len(windows.table))), windows.raw(np.arange(len(windows.table)))
    for values, signal, trial in zip(gathered, raw, windows.table.trial, strict=True):
        person = cache.trials["subject"][trial]
        first = 25  # the baseline
        expected = samples(person)[trial % 3, :2, first : first + 50] * 2
        if windows.table.number[np.flatnonzero(windows.table.trial == trial)[0]] == 0 and np.array_equal(
            signal, expected
        ):
            np.testing.assert_allclose(values, Functionals()(expected[None], StreamShape(("a", "b"), 50, 50.0))[0])
    np.testing.assert_array_equal(raw[0], samples("s1")[0, :2, 25:75] * 2)
    last = int(np.flatnonzero(windows.table.trial == 11)[0])
    np.testing.assert_array_equal(raw[last], samples("s5")[2, :2, 25:75] * 2)
    expected = Functionals()(raw[last][None], StreamShape(("a", "b"), 50, 50.0))[0]
    np.testing.assert_allclose(gathered[last], expected, rtol=1e-6)


def test_a_person_who_could_not_be_read_is_tried_again(root: Path, tmp_path: Path) -> None:
    class Broken(Small):
        def trials(self, subject: str, streams: Sequence[str]) -> Iterator[Trial]:
            if subject == "s2" and (self.root / "broken").exists():
                raise UserError(self.root / "s2.npy", "a csv that does not fit", "one that does", "repair it")
            yield from super().trials(subject, streams)

    (root / "broken").touch()
    assert "s2" not in set(prepare(Broken(root), STEPS, tmp_path / "cache", "drop").trials["subject"])
    (root / "broken").unlink()
    assert "s2" in set(prepare(Broken(root), STEPS, tmp_path / "cache").trials["subject"])


@dataclass(frozen=True)
class Weightless(Features):
    """Features whose weights are not there."""

    def names(self) -> tuple[str, ...]:
        return ("none",)

    def __call__(self, windows: np.ndarray, stream: StreamShape) -> np.ndarray:
        raise UserError("weights", "no such file", "a file of weights", "give its path")


def test_what_no_recording_could_cure_is_said_and_drops_nobody(root: Path, tmp_path: Path) -> None:
    recipes = {"eeg": Recipe("eeg", features=Weightless())}
    with pytest.raises(SetupError, match="a file of weights"):
        prepare_corpora([Small(root)], recipes, Windowing(1.0, 1.0), tmp_path / "cache", "drop")
    assert len(prepare(Small(root), STEPS, tmp_path / "cache").trials) == 15


@pytest.mark.parametrize("left", [b"", b"half a sample of rubbish.", b"x" * 4001])
def test_what_is_not_committed_is_nobodys(root: Path, tmp_path: Path, left: bytes) -> None:
    """The tail of another process that is writing, or was killed: opening neither reads it nor stumbles over it."""
    prepare(Small(root), STEPS, tmp_path / "cache")
    for data in (tmp_path / "cache").rglob("data.bin"):
        with data.open("ab") as file:
            file.write(left)
    cache = prepare(Small(root), STEPS, tmp_path / "cache")
    np.testing.assert_array_equal(cache.streams["eeg"].signal(14), samples("s5")[2, :2] * 2)
    assert np.isfinite(StreamWindows(cache, "eeg", cut(cache)).gather(np.arange(15))).all()


def test_a_file_shorter_than_its_journal_is_refused(root: Path, tmp_path: Path) -> None:
    prepare(Small(root), STEPS, tmp_path / "cache")
    (data,) = (tmp_path / "cache").glob("small/eda-*/data.bin")
    data.write_bytes(data.read_bytes()[:-40])
    with pytest.raises(SetupError, match="delete the folder"):
        prepare(Small(root), STEPS, tmp_path / "cache")


@dataclass(frozen=True)
class Lesser(Step):
    """The signal less the mean of the skin channel beside it."""

    beside = ("eda",)

    def __call__(self, signal: Signal, **beside: Signal | None) -> Signal:
        eda = beside["eda"]
        assert eda is not None
        return replace(signal, data=signal.data - eda.data.mean())


def test_a_stream_is_made_anew_when_the_one_beside_it_changes(root: Path, tmp_path: Path) -> None:
    class Apart(Small):
        def files_of(self, subject: str, stream: str) -> list[Path]:
            return [self.root / f"{subject}.{'json' if stream == 'eda' else 'npy'}"]

        def files(self, subject: str) -> list[Path]:
            return []

        def trials(self, subject: str, streams: Sequence[str]) -> Iterator[Trial]:
            level = json.loads((self.root / f"{subject}.json").read_text())["level"]
            for trial in super().trials(subject, streams):
                eda = trial.streams["eda"]
                moved = replace(eda, data=np.full_like(eda.data, level))
                yield replace(trial, streams={**trial.streams, "eda": moved})

    for subject in ("s1", "s2", "s3", "s4", "s5"):
        write(root / f"{subject}.json", {"level": 1.0})
    recipes = {"eeg": Recipe("eeg", (Lesser(),))}
    window = Windowing(1.0, 1.0)
    first = prepare_corpora([Apart(root)], recipes, window, tmp_path / "cache")
    write(root / "s1.json", {"level": 5.0})
    other = prepare_corpora([Apart(root)], recipes, window, tmp_path / "cache")
    assert other.fingerprint != first.fingerprint
    np.testing.assert_allclose(other.streams["eeg"].signal(0), samples("s1")[0, :2] - 5, rtol=1e-5)


def test_which_stream_has_which_steps_is_in_the_fingerprint(root: Path, tmp_path: Path) -> None:
    from small_corpus import Gain

    a, b = Recipe("eeg", (Gain(2.0),)), Recipe("eeg", (Gain(3.0),))
    window = Windowing(1.0, 1.0)
    one = prepare_corpora([Small(root)], {"a": a, "b": b}, window, tmp_path / "cache")
    two = prepare_corpora([Small(root)], {"a": b, "b": a}, window, tmp_path / "cache")
    assert one.fingerprint != two.fingerprint
