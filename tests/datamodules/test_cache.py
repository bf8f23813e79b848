"""The cache: prepared once, whatever interrupts it, and never mistaken for that of other files or other steps."""

import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from affect.batch import Signal
from affect.errors import UserError
from affect.preprocessing import Resample, Step
from datamodules import cache as cache_module
from datamodules.atomic import replacing
from datamodules.cache import Cache, prepare
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

    def __call__(self, signal: Signal) -> Signal:
        return Signal(signal.data * np.float32(self.factor), signal.rate, signal.channels, signal.unit)


STEPS: dict[str, list[Step]] = {"eeg": [Gain(2.0)], "eda": []}


def samples(subject: str) -> np.ndarray:
    """Ragged: the n-th person's trials are n samples longer."""
    number = int(subject[1:])
    return np.random.default_rng(number).standard_normal((3, 3, 100 + number)).astype(np.float32)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    for subject in SUBJECTS:
        np.save(folder / f"{subject}.npy", samples(subject))
    return folder


def write(path: Path, content: Any) -> None:
    """Change a file; its time moves on by a second, as clocks of file systems are coarse."""
    later = path.stat().st_mtime_ns + 10**9 if path.exists() else None
    path.write_text(json.dumps(content)) if path.suffix == ".json" else np.save(path, content)
    if later:
        os.utime(path, ns=(later, later))


def files_of(cache: Cache) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(cache.folder.rglob("*")) if p.is_file() and p.suffix != ".lock"}


def read_in(log: Path) -> list[str]:
    return log.read_text().split() if log.exists() else []


def test_a_cache_holds_what_the_corpus_gives(root: Path, tmp_path: Path) -> None:
    cache = prepare(Small(root), STEPS, tmp_path / "cache")
    assert cache.trials["subject"].tolist() == [s for s in SUBJECTS for _ in range(3)]
    assert cache.trials["stimulus"].tolist() == ["video0", "video1", "video2"] * 5
    assert set(cache.trials["rating.valence"]) == {5.0}
    assert set(cache.trials["group.age"]) == {20.0}
    assert set(cache.trials["onset"]) == {0.5}
    for name, channels, rows, gain in (("eeg", ("left", "right"), slice(0, 2), 2), ("eda", ("skin",), slice(2, 3), 1)):
        stream = cache.streams[name]
        assert (stream.rate, stream.channels) == (RATE, channels)
        for trial, (first, length) in enumerate(zip(stream.offset, stream.length, strict=True)):
            expected = samples(SUBJECTS[trial // 3])[trial % 3, rows] * gain
            np.testing.assert_array_equal(stream.data[first : first + length].T, expected)
            assert cache.trials["seconds"][trial] == length / RATE
    assert cache.dropped == []


def test_a_finished_cache_is_opened_without_reading_the_corpus(root: Path, tmp_path: Path) -> None:
    first = prepare(Small(root), STEPS, tmp_path / "cache")
    before = files_of(first)
    again = prepare(Small(root, log=tmp_path / "log"), STEPS, tmp_path / "cache")
    assert read_in(tmp_path / "log") == []
    assert again.folder == first.folder
    assert files_of(again) == before


def test_an_interrupted_preparation_goes_on_where_it_stopped(root: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with pytest.raises(Interrupted):
        prepare(Small(root, log, fail_at="s3"), STEPS, tmp_path / "cache")
    assert read_in(log) == ["s1", "s2", "s3"]
    log.unlink()
    resumed = prepare(Small(root, log), STEPS, tmp_path / "cache")
    assert read_in(log) == ["s3", "s4", "s5"]
    assert files_of(resumed) == files_of(prepare(Small(root), STEPS, tmp_path / "uninterrupted"))


@pytest.mark.parametrize("subject", SUBJECTS)
def test_leftovers_of_an_interrupted_append_are_overwritten(
    root: Path, tmp_path: Path, subject: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after the samples of a person were appended, before the journal named them."""

    def interrupt(path: Path, text: str) -> None:
        if path.name == f"{subject}.json":
            raise Interrupted
        write_text(path, text)

    write_text = cache_module.write_text
    monkeypatch.setattr(cache_module, "write_text", interrupt)
    with pytest.raises(Interrupted):
        prepare(Small(root), STEPS, tmp_path / "cache")
    monkeypatch.undo()
    (folder,) = (tmp_path / "cache").glob("small-*")
    with (folder / "eda.f32").open("ab") as file:
        file.write(b"half a sample of rubbish")
    resumed = prepare(Small(root), STEPS, tmp_path / "cache")
    assert files_of(resumed) == files_of(prepare(Small(root), STEPS, tmp_path / "uninterrupted"))


@pytest.mark.parametrize("missing", ["trials.parquet", "cache.json"])
def test_an_interruption_at_the_very_end_costs_no_reading(
    root: Path, tmp_path: Path, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = files_of(prepare(Small(root), STEPS, tmp_path / "uninterrupted"))

    def interrupt(path: Path, text: str) -> None:
        if path.name == "cache.json":
            raise Interrupted
        write_text(path, text)

    write_text = cache_module.write_text
    monkeypatch.setattr(cache_module, "write_text", interrupt)
    with pytest.raises(Interrupted):
        prepare(Small(root), STEPS, tmp_path / "cache")
    monkeypatch.undo()
    for path in (tmp_path / "cache").glob(f"small-*/{missing}"):
        path.unlink()
    assert files_of(prepare(Small(root, log=tmp_path / "log"), STEPS, tmp_path / "cache")) == whole
    assert read_in(tmp_path / "log") == []


def test_changed_content_is_another_cache(root: Path, tmp_path: Path) -> None:
    first = prepare(Small(root), STEPS, tmp_path / "cache")
    write(root / "s4.npy", samples("s4") + 1)
    other = prepare(Small(root), STEPS, tmp_path / "cache")
    assert other.fingerprint != first.fingerprint
    assert other.folder != first.folder
    write(root / "s4.npy", samples("s4"))
    assert prepare(Small(root), STEPS, tmp_path / "cache").fingerprint == first.fingerprint


@pytest.mark.parametrize(
    "steps",
    [
        {"eeg": [Gain(3.0)], "eda": []},
        {"eeg": [], "eda": [Gain(2.0)]},
        {"eeg": [Gain(2.0), Gain(1.0)], "eda": []},
        {"eeg": [Gain(2.0)]},
        {"eeg": [Resample(2.0)], "eda": []},
    ],
)
def test_changed_steps_are_another_cache(root: Path, tmp_path: Path, steps: dict[str, list[Step]]) -> None:
    first = prepare(Small(root), STEPS, tmp_path / "cache")
    assert prepare(Small(root), steps, tmp_path / "cache").folder != first.folder


def test_other_people_are_another_cache(root: Path, tmp_path: Path) -> None:
    some = Small(root)
    some.chosen = ["s1", "s2"]
    first = prepare(some, STEPS, tmp_path / "cache")
    assert first.trials["subject"].nunique() == 2
    assert prepare(Small(root), STEPS, tmp_path / "cache").folder != first.folder


def test_a_copied_corpus_is_the_same_cache(root: Path, tmp_path: Path) -> None:
    first = prepare(Small(root), STEPS, tmp_path / "cache")
    copied = shutil.copytree(root, tmp_path / "elsewhere" / "corpus", copy_function=shutil.copyfile)
    again = prepare(Small(copied, log=tmp_path / "log"), STEPS, tmp_path / "cache")
    assert again.folder == first.folder
    assert read_in(tmp_path / "log") == []


def _prepare(root: Path, cache: Path, log: Path) -> None:
    prepare(Small(root, log, pause=0.02), STEPS, cache)


@pytest.mark.parametrize("pool", [ThreadPoolExecutor, partial(ProcessPoolExecutor, mp_context=get_context("spawn"))])
def test_two_may_prepare_at_once(root: Path, tmp_path: Path, pool: Callable[[int], Executor]) -> None:
    """The second waits for the first and reads nothing again."""
    log = tmp_path / "log"
    with pool(1) as other:
        first = other.submit(_prepare, root, tmp_path / "cache", log)
        while not (log.exists() or first.done()):
            time.sleep(0.01)
        _prepare(root, tmp_path / "cache", log)
        first.result()
    assert sorted(read_in(tmp_path / "log")) == SUBJECTS
    (folder,) = (tmp_path / "cache").glob("small-*")
    prepared = files_of(prepare(Small(root), STEPS, tmp_path / "cache"))
    assert prepared == files_of(prepare(Small(root), STEPS, tmp_path / "alone"))
    assert not list(folder.parent.rglob("*.tmp"))


def test_two_threads_may_replace_one_file_at_once(tmp_path: Path) -> None:
    """The last wins, and neither fails: so the memo of fingerprints and kept features are written."""
    both_inside, errors = threading.Barrier(2, timeout=10), []

    def replace(text: str) -> None:
        try:
            with replacing(tmp_path / "file") as temporary:
                temporary.write_text(text)
                both_inside.wait()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=replace, args=(text,)) for text in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert (tmp_path / "file").read_text() in ("one", "two")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def spoil(kind: str) -> tuple[Any, str]:
    """Content of s2 with one bad trial, and what the message calls it."""
    data = samples("s2")
    if kind == "nan":
        data[1, 0, 7] = np.nan
        return data, "1 NaN or infinite samples in eeg channels ['left']"
    if kind == "infinite":
        data[1, 2, 7:9] = np.inf
        return data, "2 NaN or infinite samples in eda channels ['skin']"
    data[1, 1] = 3.0
    return data, "constant (dead) eeg channels ['right']"


@pytest.mark.parametrize("kind", ["nan", "infinite", "dead"])
def test_a_bad_trial_stops_or_is_left_out(root: Path, tmp_path: Path, kind: str) -> None:
    data, found = spoil(kind)
    write(root / "s2.npy", data)
    with pytest.raises(UserError) as caught:
        prepare(Small(root), STEPS, tmp_path / "cache")
    assert caught.value.where == f"{root}/s2.npy, trial 1"
    assert caught.value.found == found
    assert "bad_trials=drop" in caught.value.remedy

    cache = prepare(Small(root), STEPS, tmp_path / "cache", bad_trials="drop")
    assert cache.dropped == [f"s2.npy, trial 1: {found}"]
    rest = cache.trials[cache.trials["subject"] == "s2"]
    assert rest["stimulus"].tolist() == ["video0", "video2"]
    stream = cache.streams["eeg"]
    first, length = stream.offset[rest.index[1]], stream.length[rest.index[1]]
    np.testing.assert_array_equal(stream.data[first : first + length].T, data[2, :2] * 2)


@pytest.mark.parametrize("valence", [0.5, 9.5])
def test_an_impossible_rating_stops_or_is_left_out(root: Path, tmp_path: Path, valence: float) -> None:
    write(root / "s2.json", {"valence": valence})
    with pytest.raises(UserError, match=f"valence rating {valence}"):
        prepare(Small(root), STEPS, tmp_path / "cache")
    cache = prepare(Small(root), STEPS, tmp_path / "cache", bad_trials="drop")
    assert len(cache.dropped) == 3
    assert "s2" not in set(cache.trials["subject"])


def test_a_rating_that_was_not_given_is_kept_as_unknown(root: Path, tmp_path: Path) -> None:
    write(root / "s2.json", {"valence": float("nan")})
    cache = prepare(Small(root), STEPS, tmp_path / "cache")
    assert cache.trials["rating.valence"].isna().sum() == 3


def test_when_every_trial_is_bad_it_says_so(root: Path, tmp_path: Path) -> None:
    for subject in SUBJECTS:
        write(root / f"{subject}.json", {"valence": 10.0})
    with pytest.raises(UserError, match="no usable trial") as caught:
        prepare(Small(root), STEPS, tmp_path / "cache", bad_trials="drop")
    assert "valence rating 10.0" in caught.value.found


def test_nothing_is_written_beside_the_corpus(root: Path, tmp_path: Path) -> None:
    def state() -> list[tuple[str, int, bytes]]:
        return [(p.name, p.stat().st_mtime_ns, p.read_bytes()) for p in sorted(root.iterdir())]

    for path in [*root.iterdir(), root]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = state()
    try:
        prepare(Small(root), STEPS, tmp_path / "cache")
        assert state() == before
    finally:
        root.chmod(0o755)


@pytest.mark.parametrize(
    ("facts", "found", "expected"),
    [
        ({"rate": 25.0}, "25 Hz", "50 Hz"),
        ({"unit": "V"}, "in V", "in µV"),
        ({"names": ["left", "top"]}, "top", "right"),
        ({"names": ["right", "left"]}, "right", "left"),
    ],
)
def test_people_recorded_otherwise_are_refused(
    root: Path, tmp_path: Path, facts: dict[str, Any], found: str, expected: str
) -> None:
    """Says which person, what is there and what was expected, which must not read alike."""
    write(root / "s3.json", facts)
    with pytest.raises(UserError) as caught:
        prepare(Small(root), STEPS, tmp_path / "cache")
    error = caught.value
    assert "s3.npy" in error.where
    assert found in error.found
    assert expected in error.expected


def test_resampling_brings_rates_together(root: Path, tmp_path: Path) -> None:
    write(root / "s3.json", {"rate": 25.0})
    steps: dict[str, list[Step]] = {"eeg": [Resample(50.0)], "eda": [Resample(50.0)]}
    cache = prepare(Small(root), steps, tmp_path / "cache")
    assert cache.streams["eeg"].length[6] == pytest.approx(206, abs=1)
