"""How fast DEAP becomes windows, against TorchEEG 1.1.3 on the same files in the same run, one process each.

uv run python scripts/bench/speed.py --torcheeg ~/torcheeg/bin/python [--folder /tmp/bench] [--people 4]

Makes 4 people of noise in DEAP's full size (0.4 GB), then prints windows a second, ratios and the machine. TorchEEG
lives in an environment of its own (see torcheeg_side.py) and needs minutes; without --torcheeg only ours is measured.
"""

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

for threads in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[threads] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np  # noqa: E402
import torch  # noqa: E402

from affect.preprocessing import DifferentialEntropy  # noqa: E402
from datamodules.cache import Cache, Recipe, Windowing, prepare  # noqa: E402
from datamodules.corpora import Deap  # noqa: E402
from datamodules.module import FoldData  # noqa: E402
from datamodules.protocols import LeaveOneSubjectOut  # noqa: E402
from datamodules.windows import WindowSet, cut  # noqa: E402
from scripts.bench.synthetic_deap import synthetic_deap  # noqa: E402

WINDOW = Windowing(1.0, 1.0)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("bench"), help="for the files and caches of this benchmark")
    parser.add_argument("--people", type=int, default=4)
    parser.add_argument("--torcheeg", type=Path, help="Python of TorchEEG's environment")
    parser.add_argument("--torcheeg-people", type=int, default=4, help="fewer take less long; the rate is the same")
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    files = synthetic_deap(arguments.folder, arguments.people)
    ours = measure(files, arguments.folder / "cache", arguments.repeats)
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}")
    print(f"{arguments.people} people, {ours['windows']:.0f} windows of 1 s, 32 channels, 128 Hz; windows a second\n")
    names = {
        "touch": "the 32 channels summed where they lie",
        "touch32": "the 32 channels read into memory as float32",
        "prepare_de": "DE prepared: files checked, signal and features kept",
        "prepare_de_unchecked": "  the same, files' fingerprints known",
        "load_de": "DE in shuffled batches of 64",
        "load_raw": "raw in shuffled batches of 64",
    }
    for name, text in names.items():
        print(f"{text:55s} {ours[name]:14,.0f}")
    for name in ("prepare_de", "prepare_de_unchecked"):
        print(f"{names[name].strip()}: {ours['touch'] / ours[name]:.1f} × the time of summing,", end=" ")
        print(f"{ours['touch32'] / ours[name]:.1f} × that of reading into memory", flush=True)
    if arguments.torcheeg:
        print("\nTorchEEG, which needs minutes:", flush=True)
        for name, rate in _theirs(arguments.torcheeg, files, arguments.torcheeg_people).items():
            print(f"{names[name].partition(':')[0]:55s} {rate:14,.0f}   affect {ours[name] / rate:,.0f} ×")
    return 0


def measure(files: Path, scratch: Path, repeats: int) -> dict[str, float]:
    """Windows a second, the best of some repeats: the machine's noise only ever slows."""
    corpus = Deap(str(files))
    recipes = {"eeg": Recipe("eeg", features=DifferentialEntropy())}
    raw = {"eeg": Recipe("eeg")}

    def fresh(unchecked: bool) -> Callable[[], None]:
        def clear() -> None:
            for path in scratch.glob("*"):
                if path.is_dir():
                    shutil.rmtree(path)
                elif not unchecked:
                    path.unlink()

        return clear

    def prepared(chosen: dict[str, Recipe]) -> Cache:
        return prepare([corpus], chosen, WINDOW, scratch, workers=1)

    windows = WindowSet(cache := prepared(recipes), cut(cache))
    count = len(windows.table)
    seconds = {
        "touch": _best(lambda: _touch(files), repeats),
        "touch32": _best(lambda: _touch32(files), repeats),
        "prepare_de": _best(lambda: prepared(recipes), repeats, fresh(False)),
        "prepare_de_unchecked": _best(lambda: prepared(recipes), repeats, fresh(True)),
    }
    result = {name: count / value for name, value in seconds.items()} | {"windows": float(count)}
    for name, chosen in (("load_de", recipes), ("load_raw", raw)):
        cache = prepared(chosen)
        result[name] = _loading(WindowSet(cache, cut(cache)), repeats)
    return result


def _loading(windows: WindowSet, repeats: int) -> float:
    """Whole training batches a second, times 64: streams normalised, labels, domains, ids and all."""
    fold = LeaveOneSubjectOut().split(windows.trials)[0]
    labels = (windows.trials["rating.valence"].to_numpy(dtype=np.float32) > 5).astype(np.float32)
    data = FoldData(windows, labels[windows.table.trial][:, None], [2], fold, "source", 64)
    loader = data.train_dataloader()

    def epoch() -> None:
        for batch in loader:
            assert batch.label.shape[0] == batch.window.shape[0]

    return len(data.source_train) / _best(epoch, repeats)


def _arrays(files: Path) -> list[np.ndarray]:
    """Every person's data where it lies in the file."""
    shape = (40, 40, 8064)
    size = int(np.prod(shape)) * 8
    paths = sorted(files.glob("s*.dat"))
    return [np.memmap(path, "<f8", "r", offset=_start(path, size), shape=shape) for path in paths]


def _start(path: Path, size: int) -> int:
    """Offset of the longest byte string of the pickle."""
    mark = b"T" + size.to_bytes(4, "little")
    with path.open("rb") as file:
        return file.read(1 << 16).index(mark) + len(mark)


def _touch(files: Path) -> float:
    return float(sum(array[:, :32].sum() for array in _arrays(files)))


def _touch32(files: Path) -> int:
    return sum(array[:, :32].astype(np.float32).shape[0] for array in _arrays(files))


def _best(work: Callable[[], Any], repeats: int, before: Callable[[], None] = lambda: None) -> float:
    """Seconds."""
    best = float("inf")
    for _ in range(repeats):
        before()
        began = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - began)
    return best


def _theirs(python: Path, files: Path, people: int) -> dict[str, float]:
    """What it measured of what was measured of ours; its scratch is deleted here, as it may be killed."""
    script = Path(__file__).with_name("torcheeg_side.py")
    with tempfile.TemporaryDirectory(dir=files.parent, prefix="torcheeg-", ignore_cleanup_errors=True) as scratch:
        done = subprocess.run(
            [python, script, files, str(people), scratch], capture_output=True, text=True, check=False
        )
    if done.returncode:
        print(f"TorchEEG failed:\n{done.stderr[-2000:]}", file=sys.stderr)
        return {}
    found = json.loads(done.stdout.strip().splitlines()[-1])
    return {name: found[name] for name in ("prepare_de", "load_de", "load_raw")}


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
