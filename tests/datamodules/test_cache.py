"""The cache: prepared once, whatever interrupts it, and never mistaken for that of other files or other steps."""

import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from small_corpus import RATE, STEPS, SUBJECTS, Gain, Interrupted, Small, prepare, read_in, samples, write

from affect.preprocessing import Step
from datamodules import fingerprint as fingerprint_module
from datamodules import store as store_module
from datamodules import workers as workers_module
from datamodules.atomic import replacing


def files_in(root: Path) -> dict[str, bytes]:
    """Everything a preparation leaves, but for the memo of fingerprints."""
    return {
        str(p.relative_to(root)): p.read_bytes()
        for p in sorted(root.rglob("*"))
        if p.is_file() and p.name not in (".lock", "fingerprints.json")
    }


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
        for trial in range(15):
            expected = samples(SUBJECTS[trial // 3])[trial % 3, rows] * gain
            np.testing.assert_array_equal(stream.signal(trial), expected)
            assert cache.trials["seconds"][trial] == expected.shape[1] / RATE
    assert cache.dropped == []
    assert len(cache.quality) == 0


def test_what_is_prepared_is_opened_without_reading_the_corpus(root: Path, tmp_path: Path) -> None:
    first = prepare(Small(root), STEPS, tmp_path / "cache")
    before = files_in(tmp_path / "cache")
    again = prepare(Small(root, log=tmp_path / "log"), STEPS, tmp_path / "cache")
    assert read_in(tmp_path / "log") == []
    assert again.fingerprint == first.fingerprint
    assert files_in(tmp_path / "cache") == before


def test_a_file_that_streams_share_is_read_once_to_be_known(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[Path] = []

    def slowly(path: Path) -> str:
        hashed.append(path)
        time.sleep(0.02)  # whoever wants the same hash meanwhile must wait for it
        return content(path)

    content = fingerprint_module._hash
    monkeypatch.setattr(fingerprint_module, "_hash", slowly)
    prepare(Small(root), STEPS, tmp_path / "cache")
    assert len(hashed) == len(set(hashed)) == len(SUBJECTS)


def test_an_interrupted_preparation_goes_on_where_it_stopped(root: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with pytest.raises(Interrupted):
        prepare(Small(root, log, fail_at="s3"), STEPS, tmp_path / "cache")
    assert read_in(log) == ["s1", "s2", "s3"]
    log.unlink()
    prepare(Small(root, log), STEPS, tmp_path / "cache")
    assert read_in(log) == ["s3", "s4", "s5"]
    prepare(Small(root), STEPS, tmp_path / "uninterrupted")
    assert files_in(tmp_path / "cache") == files_in(tmp_path / "uninterrupted")


@pytest.mark.parametrize("subject", SUBJECTS)
@pytest.mark.parametrize("before", ["eeg-", "features-", "eda-", "trials-"])
def test_leftovers_of_an_interrupted_append_are_overwritten(
    root: Path, tmp_path: Path, subject: str, before: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after the samples of a person were appended, before this or that journal named them."""

    def interrupt(path: Path, text: str) -> None:
        if path.name.startswith(f"{subject}-") and path.parent.parent.name.startswith(before):
            raise Interrupted
        write_text(path, text)

    write_text = store_module.write_text
    monkeypatch.setattr(store_module, "write_text", interrupt)
    with pytest.raises(Interrupted):
        prepare(Small(root), STEPS, tmp_path / "cache")
    monkeypatch.undo()
    (data,) = (tmp_path / "cache").glob("small/eda-*/data.bin")
    if before != "trials-":  # the last journal: nobody's samples are half written any more
        with data.open("ab") as file:
            file.write(b"half a sample of rubbish")
    prepare(Small(root), STEPS, tmp_path / "cache")
    prepare(Small(root), STEPS, tmp_path / "uninterrupted")
    assert files_in(tmp_path / "cache") == files_in(tmp_path / "uninterrupted")


def test_a_repaired_person_is_prepared_again_and_nobody_else(root: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    first = prepare(Small(root), STEPS, tmp_path / "cache")
    write(root / "s4.npy", samples("s4") + 1)
    other = prepare(Small(root, log), STEPS, tmp_path / "cache")
    assert read_in(log) == ["s4"]
    assert other.fingerprint != first.fingerprint
    np.testing.assert_array_equal(other.streams["eeg"].signal(9), (samples("s4")[0, :2] + 1) * 2)
    np.testing.assert_array_equal(other.streams["eeg"].signal(12), samples("s5")[0, :2] * 2)
    np.testing.assert_array_equal(first.streams["eeg"].signal(9), samples("s4")[0, :2] * 2)  # still open, still true
    write(root / "s4.npy", samples("s4"))
    assert prepare(Small(root), STEPS, tmp_path / "cache").fingerprint == first.fingerprint


@pytest.mark.parametrize(
    ("steps", "again"),
    [
        ({"eeg": [Gain(3.0)], "eda": []}, SUBJECTS),
        ({"eeg": [Gain(2.0), Gain(1.0)], "eda": []}, SUBJECTS),
        ({"eeg": [Gain(2.0)], "eda": [Gain(2.0)]}, SUBJECTS),
        ({"eeg": [Gain(2.0)]}, []),
        ({"eda": []}, []),
    ],
)
def test_only_what_changed_is_prepared_again(
    root: Path, tmp_path: Path, steps: dict[str, list[Step]], again: list[str]
) -> None:
    first = prepare(Small(root), STEPS, tmp_path / "cache")
    other = prepare(Small(root, tmp_path / "log"), steps, tmp_path / "cache")
    assert read_in(tmp_path / "log") == again
    assert other.fingerprint != first.fingerprint


def test_some_people_are_found_among_all(root: Path, tmp_path: Path) -> None:
    everybody = prepare(Small(root), STEPS, tmp_path / "cache")
    some = Small(root, tmp_path / "log")
    some.chosen = ["s4", "s2"]
    first = prepare(some, STEPS, tmp_path / "cache")
    assert read_in(tmp_path / "log") == []
    assert first.trials["subject"].tolist() == ["s2"] * 3 + ["s4"] * 3
    assert first.fingerprint != everybody.fingerprint
    np.testing.assert_array_equal(first.streams["eda"].signal(3), everybody.streams["eda"].signal(9))


def test_a_copied_corpus_is_the_same_cache(root: Path, tmp_path: Path) -> None:
    first = prepare(Small(root), STEPS, tmp_path / "cache")
    copied = shutil.copytree(root, tmp_path / "elsewhere" / "corpus", copy_function=shutil.copyfile)
    again = prepare(Small(copied, log=tmp_path / "log"), STEPS, tmp_path / "cache")
    assert again.fingerprint == first.fingerprint
    assert read_in(tmp_path / "log") == []


def test_people_prepared_in_parallel_are_the_same_bytes(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(Small(root), STEPS, tmp_path / "alone", workers=1)
    monkeypatch.setattr(workers_module, "_WORTH", 0.0)
    prepare(Small(root, tmp_path / "log"), STEPS, tmp_path / "shared", workers=3)
    assert sorted(read_in(tmp_path / "log")) == SUBJECTS
    assert files_in(tmp_path / "shared") == files_in(tmp_path / "alone")


def test_what_fails_in_a_worker_costs_no_finished_person(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers_module, "_WORTH", 0.0)
    with pytest.raises(Interrupted):
        prepare(Small(root, fail_at="s4"), STEPS, tmp_path / "cache", workers=2)
    log = tmp_path / "log"
    prepare(Small(root, log), STEPS, tmp_path / "cache", workers=1)
    assert read_in(log) == ["s4", "s5"]
    prepare(Small(root), STEPS, tmp_path / "alone", workers=1)
    leftovers = {name for name in files_in(tmp_path / "cache") if "/parts/" in name}
    assert {k: v for k, v in files_in(tmp_path / "cache").items() if k not in leftovers} == files_in(tmp_path / "alone")


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
    prepare(Small(root), STEPS, tmp_path / "alone")
    assert files_in(tmp_path / "cache") == files_in(tmp_path / "alone")


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
