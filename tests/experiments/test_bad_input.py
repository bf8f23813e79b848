"""Every bad input gets one clear message through the door, and costs nothing that was finished."""

from __future__ import annotations

import json
import os
import pickle
import resource
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import soundfile

from datamodules.standin import python2_pickle
from datamodules.standin.eegmat import write_eegmat
from datamodules.standin.ravdess import write_ravdess

if TYPE_CHECKING:
    from tests.experiments.conftest import Door, Place, Start

Spoil = Callable[[Path], object]
INNER = "data_preprocessed_python"
AGAIN = "download the file again"
DROP = "--data.bad_trials=drop"
EEGMAT = (
    "--data.corpus.class_path=datamodules.corpora.Eegmat",
    "--data.target={class_path: datamodules.targets.Classes, init_args: {rating: task, classes: [rest, arithmetic]}}",
)
RAVDESS = (
    "--data.corpus.class_path=datamodules.corpora.Ravdess",
    "--data.target={class_path: datamodules.targets.Classes, init_args: {rating: emotion, classes: [happy, sad]}}",
    "--data.streams={audio: {steps: [affect.preprocessing.LogMel]}}",
    "--model.encoders={audio: affect.encoders.LogMelCNN}",
)


class Exploit:
    """Pickled, it makes a folder when it is loaded."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., None], tuple[str]]:
        return os.mkdir, (str(self.marker),)


def read(path: Path) -> dict[str, np.ndarray]:
    content: dict[str, np.ndarray] = pickle.loads(path.read_bytes(), encoding="latin1")
    return {name: array.copy() for name, array in content.items()}


def write(path: Path, **arrays: np.ndarray) -> None:
    """Replace a person's file by one with these arrays, in the official form."""
    path.unlink()
    with path.open("wb") as file:
        python2_pickle.dump(file, arrays, protocol=2)


def put(name: str, index: Any, value: float) -> Spoil:
    """A change of some numbers of `data` or `labels`."""

    def spoil(path: Path) -> None:
        arrays = read(path)
        arrays[name][index] = value
        write(path, **arrays)

    return spoil


def cut_off(path: Path) -> None:
    whole = path.read_bytes()
    path.unlink()
    path.write_bytes(whole[: len(whole) // 2])


def lose_a_channel(path: Path) -> None:
    arrays = read(path)
    write(path, labels=arrays["labels"], data=arrays["data"][:, :39])


def stamps(folder: Path) -> dict[Path, tuple[int, int]]:
    """When every file was written, and how large it is."""
    return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*") if path.is_file()}


# ---- the files of a corpus


@pytest.mark.parametrize(
    ("spoil", "where", "found", "expected", "do"),
    [
        pytest.param(cut_off, "s03.dat", "bytes", "a whole pickle", AGAIN, id="truncated"),
        pytest.param(lose_a_channel, "s03.dat", "(4, 39, 896)", "(4, 40, 896)", AGAIN, id="shape"),
        pytest.param(
            put("data", np.s_[2, 5, 100], np.nan),
            "s03.dat, video 3",
            "1 NaN or infinite samples in eeg channels ['FC1']",
            "finite",
            DROP,
            id="nan",
        ),
        pytest.param(
            put("data", np.s_[0, 7], -np.inf),
            "s03.dat, video 1",
            "896 NaN or infinite samples in eeg channels ['T7']",
            "finite",
            DROP,
            id="infinite",
        ),
        pytest.param(
            put("data", np.s_[1, 0, 0], 1e300),
            "s03.dat, video 2",
            "1 NaN or infinite samples in eeg channels ['Fp1']",
            "finite",
            DROP,
            id="beyond-float32",
        ),
        pytest.param(
            put("data", np.s_[1, [2, 4]], 7.5),
            "s03.dat, video 2",
            "constant (dead) eeg channels ['F3', 'FC5']",
            "vary",
            DROP,
            id="dead",
        ),
        pytest.param(
            put("labels", np.s_[3, 0], 9.5), "s03.dat, video 4", "valence rating 9.5", "1 to 9", DROP, id="rating-high"
        ),
        pytest.param(
            put("labels", np.s_[0, 1], 0.0), "s03.dat, video 1", "arousal rating 0", "1 to 9", DROP, id="rating-low"
        ),
    ],
)
def test_a_bad_file_is_named(
    spoilt: Place, finished: Place, door: Door, spoil: Spoil, where: str, found: str, expected: str, do: str
) -> None:
    spoil(spoilt.root / INNER / "s03.dat")
    before = stamps(finished.output)
    arguments = spoilt.arguments(f"--output={finished.output}")
    door(arguments).refused(where, found, expected, do)
    prepared = spoilt.prepared()
    # a person who cannot be read ends the preparation; one bad trial may have company, and is told when all are read
    assert [*prepared] == (["s01", "s02"] if do == AGAIN else ["s01", "s02", "s03", "s04"])
    door(arguments).refused(where, found, expected, do)
    assert spoilt.prepared() == prepared  # nobody was prepared twice
    assert stamps(finished.output) == before


def test_a_bad_file_is_named_by_a_command_with_workers(spoilt: Place, start: Start) -> None:
    cut_off(spoilt.root / INNER / "s03.dat")
    answer = start(spoilt.arguments("--launcher.local.workers=2")).answer()  # whoever still holds stderr is waited for
    answer.refused("s03.dat", "bytes", "a whole pickle", AGAIN)
    assert answer.out == ""
    assert [*spoilt.prepared()] == ["s01", "s02"]


def test_a_pickle_that_would_run_code_does_not(spoilt: Place, door: Door, tmp_path: Path) -> None:
    path, marker = spoilt.root / INNER / "s03.dat", tmp_path / "ran"
    content = {**read(path), "more": Exploit(marker)}
    path.unlink()
    path.write_bytes(pickle.dumps(content, protocol=2))
    asked = f"'{os.mkdir.__module__}.mkdir'; nothing in it was run"
    door(spoilt.arguments()).refused(
        "s03.dat", asked, "numpy arrays", "download the file again from the corpus's own site"
    )
    assert not marker.exists()
    pickle.loads(path.read_bytes())  # the proof that it would have
    assert marker.exists()


def test_a_person_missing_in_the_middle(spoilt: Place, door: Door) -> None:
    (spoilt.root / INNER / "s02.dat").unlink()
    chosen = "--data.corpus.subjects='['s01', 's03', 's04']'"
    door(spoilt.arguments()).refused(str(spoilt.root), "['s02']", "every subject", chosen)
    answer = door(spoilt.arguments("--data.corpus.subjects=['s01', 's03', 's04']", "--dry-run"))
    assert answer.code == 0
    assert "3 people, 12 trials" in answer.out


@pytest.mark.parametrize("corpus", [(), EEGMAT, RAVDESS], ids=["deap", "eegmat", "ravdess"])
def test_a_root_without_a_corpus(place: Place, door: Door, corpus: tuple[str, ...], tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    arguments = place.arguments(*corpus, f"--data.corpus.root={nowhere}")
    door(arguments).refused(str(nowhere), "no such folder", "official", "--data.corpus.root")
    nowhere.touch()
    door(arguments).refused(str(nowhere), "not a folder", "official", "--data.corpus.root")
    assert not place.cache.exists()
    nowhere.unlink()
    nowhere.mkdir()
    name = corpus[0].rpartition(".")[2].lower() if corpus else "deap"
    door(arguments).refused(str(nowhere), f"no {name} recording", "", "--data.corpus.root")


def test_an_edf_with_other_channels(place: Place, door: Door, tmp_path: Path) -> None:
    root = tmp_path / "eegmat"
    root.mkdir()
    write_eegmat(root, subjects=2, seconds=4)
    path = root / "Subject00_1.edf"
    content = path.read_bytes()
    assert content.count(b"EEG T3 ") == 1
    path.write_bytes(content.replace(b"EEG T3 ", b"EEG T7 "))
    arguments = place.arguments(*EEGMAT, f"--data.corpus.root={root}")
    door(arguments).refused(str(path), "no channel ['T3'] among", "'T3'", AGAIN)


def test_audio_of_zero_length(place: Place, door: Door, tmp_path: Path) -> None:
    root = tmp_path / "ravdess"
    root.mkdir()
    write_ravdess(root, actors=2, repetitions=1, seconds=0.5)
    path = min((root / "Actor_01").iterdir())
    arguments = place.arguments(*RAVDESS, f"--data.corpus.root={root}")
    path.write_bytes(b"")
    door(arguments).refused(str(path), "no readable sound", "clip", AGAIN)
    soundfile.write(path, np.zeros(0), 16_000)
    door(arguments).refused(str(path), "a sound file without samples", "clip", AGAIN)
    soundfile.write(path, 0.1 * np.sin(np.arange(100)), 16_000)
    door(arguments).refused(str(path), "shorter than one frame", "a recording", DROP)


def test_nobody_to_choose_an_epoch_with(place: Place, door: Door) -> None:
    alone = ("--data.corpus.subjects=[s01, s02]", "--selection=source-validation", "--protocol.validation=0.2")
    door(place.arguments(*alone)).refused(
        "fold s01", "no labelled window of held-out", "at least one", "selection=last"
    )


def test_one_class_in_training(place: Place, door: Door) -> None:
    answer = door(place.arguments("--data.target.above=8.99"))
    answer.refused("fold s01", "no training window of class ['high']", "['low', 'high']", "threshold")
    assert not place.output.exists()


def test_a_bad_trial_can_be_left_out(spoilt: Place, door: Door) -> None:
    path = spoilt.root / INNER / "s02.dat"
    put("data", np.s_[2, 5, 100], np.nan)(path)
    put("labels", np.s_[0, 0], 12.0)(path)
    arguments = spoilt.arguments("--data.bad_trials=drop", "--methods={}")
    answer = door(arguments)
    assert answer.code == 0, answer.err
    assert answer.err == ""
    assert f"left out: {path.relative_to(spoilt.root)}, video 1: valence rating 12.0\n" in answer.out
    assert (
        f"left out: {path.relative_to(spoilt.root)}, video 3: 1 NaN or infinite samples in eeg channels ['FC1']\n"
        in answer.out
    )
    assert "2 trials left out" in answer.out
    summary = json.loads(spoilt.summary())
    assert (summary["subjects"], summary["trials"], summary["windows"]) == (4, 14, 28)
    assert len(summary["trials_left_out"]) == 2
    tested = pd.concat(pd.read_parquet(done.parent / "predictions.parquet") for done in spoilt.done())
    assert sorted(tested[tested["subject"] == "s02"]["stimulus"].unique()) == ["video02", "video04"]
    assert len(tested) == 28


def test_the_plan_says_which_trials_are_left_out(spoilt: Place, door: Door) -> None:
    path = spoilt.root / INNER / "s02.dat"
    put("data", np.s_[2, 5, 100], np.nan)(path)
    answer = door(spoilt.arguments("--data.bad_trials=drop", "--dry-run"))
    assert "4 people, 15 trials" in answer.out
    assert f"{path.relative_to(spoilt.root)}, video 3: 1 NaN or infinite samples in eeg channels ['FC1']" in answer.out


def test_what_was_finished_outlives_a_bad_file(spoilt: Place, door: Door) -> None:
    arguments = spoilt.arguments("--methods={}", "--trainer.max_epochs=1")
    assert door(arguments).code == 0
    before = stamps(spoilt.output / "runs")
    summary = spoilt.summary()
    path, aside = spoilt.root / INNER / "s03.dat", spoilt.folder / "aside"
    path.rename(aside)
    path.write_bytes(aside.read_bytes()[:-1])
    door(arguments).refused("s03.dat", "bytes", "a whole pickle", AGAIN)
    assert stamps(spoilt.output / "runs") == before
    aside.replace(path)
    again = door(arguments)
    assert "4 runs, 4 done" in again.out
    assert stamps(spoilt.output / "runs") == before
    assert spoilt.summary() == summary


# ---- disks


class Disk:
    """A file system of its own, of any size."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def mount(self, size: str, how: str = "size") -> None:
        folder = str(self.folder)
        command = ["mount", "-t", "tmpfs", "-o", f"{how}={size}", "tmpfs", folder]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"no small disk to fill: {getattr(error, 'stderr', '') or error}")

    def grow(self) -> None:
        self.mount("64m", "remount,size")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    yield Disk(folder)
    if folder.is_mount():
        subprocess.run(["umount", "-l", str(folder)], check=True)


def at_most(size: int) -> Callable[[], None]:
    """Let no file of this process grow beyond `size` bytes."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def test_files_may_not_grow_during_preparation(place: Place, finished: Place, start: Start, door: Door) -> None:
    samples = 4 * 7 * 128 * 32 * 4  # bytes a person
    answer = start(place.arguments(), preexec_fn=at_most(2 * samples + 1000)).answer()
    answer.refused(str(place.cache), "while writing", "room", "--data.cache")
    prepared = place.prepared()
    assert [*prepared] == ["s01", "s02"]
    assert door(place.arguments()).code == 0
    assert prepared.items() <= place.prepared().items()
    assert place.summary() == finished.summary()


def test_a_disk_fills_up_during_preparation(place: Place, finished: Place, disk: Disk, door: Door) -> None:
    disk.mount("1m")
    arguments = place.arguments(f"--data.cache={disk.folder}")
    door(arguments).refused(str(disk.folder), "No space left", "room", "--data.cache")
    prepared = stamps(disk.folder)
    people = [path for path in prepared if path.parent.name == "people" and "trials-" in str(path)]
    assert sorted(path.stem.partition("-")[0] for path in people) == ["s01", "s02"]
    disk.grow()
    assert door(arguments).code == 0
    now = stamps(disk.folder)
    assert all(prepared[path] == now[path] for path in people)
    assert place.summary() == finished.summary()


def test_a_disk_fills_up_during_the_runs(config: Path, people: Path, finished: Place, disk: Disk, door: Door) -> None:
    disk.mount("300k")
    place = type(finished)(config, people, disk.folder)
    arguments = place.arguments(f"--data.cache={finished.cache}", "--trainer.checkpoint_every=10")
    answer = door(arguments)
    assert "Traceback" not in answer.err
    assert answer.code != 0
    assert "No space left" in answer.err
    assert "free some space" in answer.err
    done = place.done()
    before = [path.stat().st_mtime_ns for path in done]
    assert 0 < len(done) < place.runs
    disk.grow()
    again = door(arguments)
    assert f"{place.runs} runs, {len(done)} done" in again.out
    assert [path.stat().st_mtime_ns for path in done] == before
    assert place.summary() == finished.summary()


@pytest.mark.parametrize("checkpoint_every", [1, 10], ids=["checkpoint", "weights"])
def test_files_may_not_grow_during_the_runs(place: Place, finished: Place, door: Door, checkpoint_every: int) -> None:
    arguments = place.arguments(
        f"--data.cache={finished.cache}", "--methods={}", f"--trainer.checkpoint_every={checkpoint_every}"
    )
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    at_most(50_000)()
    try:
        answer = door(arguments)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert answer.code != 0
    assert "Traceback" not in answer.err
    assert "File too large" in answer.err
    assert "free some space" in answer.err
    assert place.done() == []
