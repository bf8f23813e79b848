"""Does cost grow with the people and memory not? DEAP in full size: prepared, and one epoch run, 4 people against 32.

uv run python scripts/bench/scale.py [--folder bench] [--people 4 32]

Makes people of noise (0.1 GB each), then, in a process of its own for each number of people: reading every file once
(bytes into a buffer), preparation (as prepare.py says it, imports apart) with DE features and raw signal, and one epoch
of an EEG net on the raw windows. Both find the files on the disk, as a first preparation does (the page cache is told
to drop them); "cached" is reading them once more from memory. Peak memory is that of all processes together, what they
share counted once.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.bench.synthetic_deap import synthetic_deap

ROOT = Path(__file__).resolve().parents[2]
CONFIG = {
    "name": "scale",
    "data": {
        "streams": {"eeg": {}, "bands": {"stream": "eeg", "features": "affect.preprocessing.DifferentialEntropy"}},
        "target": {"class_path": "datamodules.targets.Threshold", "init_args": {"rating": "valence", "above": 5}},
        "window": {"seconds": 1},
    },
    "protocol": {"class_path": "datamodules.protocols.SubjectGroups", "init_args": {"groups": 2}},
    "model": {"encoders": {"eeg": "affect.encoders.SpatialFirstEEGNet", "bands": "affect.encoders.BandMLP"}},
    "trainer": {"max_epochs": 1, "batch_size": 256},
    "wandb": {"mode": "disabled"},
}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("bench"))
    parser.add_argument("--people", type=int, nargs="+", default=[4, 32])
    arguments = parser.parse_args()
    print(
        f"{'people':>6} {'GB':>5} {'read s':>7} {'cached':>6} {'prepare s':>9} {'× read':>6} {'× cached':>8} "
        f"{'epoch s':>8} {'peak GiB':>8}"
    )
    rows = []
    for people in arguments.people:
        row = measure(arguments.folder, people)
        rows.append(row)
        print(
            f"{people:6d} {row['size']:5.1f} {row['read']:7.2f} {row['cached']:6.2f} {row['prepare']:9.2f} "
            f"{row['prepare'] / row['read']:6.1f} {row['prepare'] / row['cached']:8.1f} "
            f"{row['epoch']:8.1f} {row['peak']:8.2f}",
            flush=True,
        )
    if len(rows) > 1:
        first, last = rows[0], rows[-1]
        grown = arguments.people[-1] / arguments.people[0]
        for name in ("prepare", "epoch"):
            print(f"{name}: {last[name] / first[name] / grown:.2f} of linear growth")
        print(f"peak memory: {last['peak'] / first['peak']:.2f} ×")
    return 0


def measure(folder: Path, people: int) -> dict[str, float]:
    """Seconds, GB and GiB for so many people."""
    files = synthetic_deap(folder, people)
    chosen = [f"s{n:02d}" for n in range(1, people + 1)]
    paths = [files / f"{name}.dat" for name in chosen]
    scratch = folder / "scale"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    corpus = {"class_path": "datamodules.corpora.Deap", "init_args": {"root": str(folder), "subjects": chosen}}
    data = {**CONFIG["data"], "corpus": corpus, "cache": str(scratch / "cache")}  # type: ignore[dict-item]
    (scratch / "scale.yaml").write_text(json.dumps({**CONFIG, "data": data, "output": str(scratch / "runs")}))
    result = {"size": sum(p.stat().st_size for p in paths) / 1e9}
    _to_disk(paths)
    result["read"], result["cached"] = _read(paths), _read(paths)
    _to_disk(paths)
    config = str(scratch / "scale.yaml")
    _, peak, text = _watched([str(ROOT / "scripts/prepare.py"), "--config", config, "--quiet"])
    result["prepare"] = float(text.split(" trials in ")[1].split()[0])
    result["epoch"], later, _ = _watched([str(ROOT / "experiments/run.py"), "--config", config])
    return result | {"peak": max(peak, later)}


def _to_disk(paths: list[Path]) -> None:
    """Drop the files from the page cache, so that the next reader waits for the disk (Linux)."""
    for path in paths:
        with path.open("rb") as file:
            os.fdatasync(file.fileno())  # a page not yet written would stay
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _read(paths: list[Path]) -> float:
    buffer = bytearray(1 << 20)
    began = time.perf_counter()
    for path in paths:
        with path.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass
    return time.perf_counter() - began


def _watched(command: list[str]) -> tuple[float, float, str]:
    """Seconds a Python script takes, the peak of what it and its children hold in GiB, and what it prints."""
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True, start_new_session=True)
    peak = [0.0]

    def watch() -> None:
        while process.poll() is None:
            peak[0] = max(peak[0], _resident(os.getpgid(process.pid)))
            time.sleep(0.05)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    text, _ = process.communicate()
    thread.join()
    if process.returncode:
        raise SystemExit(f"{command[0]} failed")
    return time.perf_counter() - began, peak[0], text


def _resident(group: int) -> float:
    """GiB of all processes of a process group: what each holds alone, plus its share of what they hold together."""
    total = 0
    for status in Path("/proc").glob("[0-9]*/smaps_rollup"):
        try:
            if os.getpgid(int(status.parent.name)) == group:
                lines = status.read_text().splitlines()
                total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        except (OSError, ValueError):  # gone in the meantime
            continue
    return total / 2**20


if __name__ == "__main__":
    sys.exit(main())
