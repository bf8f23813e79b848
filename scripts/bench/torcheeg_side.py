"""What TorchEEG 1.1.3 needs for the same work; runs in an environment of its own and prints JSON.

uv venv --no-config --python 3.11 ~/torcheeg
uv pip install --no-config --python ~/torcheeg torch torcheeg==1.1.3 "pandas<3"
~/torcheeg/bin/python scripts/bench/torcheeg_side.py FOLDER PEOPLE SCRATCH    (scripts/bench/speed.py does this for you)

--no-config: uv would read this project's constraints, which ask for another pandas. SCRATCH is an empty folder on the
disk to be measured, which whoever calls deletes.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

BATCH = 64


def main(folder: Path, people: int, scratch: Path) -> None:
    """Prepare DE features and raw windows of the first `people`, then load both in shuffled batches."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    import torch
    from torcheeg import __version__, transforms
    from torcheeg.datasets import DEAPDataset

    torch.set_num_threads(1)
    root = scratch / "deap"
    root.mkdir()
    for path in sorted(folder.glob("s*.dat"))[:people]:
        (root / path.name).symlink_to(path)
    label = transforms.Compose([transforms.Select("valence"), transforms.Binary(5.0)])
    common: dict[str, Any] = {
        "root_path": str(root),
        "chunk_size": 128,
        "overlap": 0,
        "num_channel": 32,
        "num_baseline": 3,
        "baseline_chunk_size": 128,
        "online_transform": transforms.ToTensor(),
        "label_transform": label,
        "num_worker": 0,
        "verbose": False,
    }
    result: dict[str, Any] = {"version": __version__, "torch": torch.__version__}
    began = time.perf_counter()
    features = DEAPDataset(
        io_path=str(scratch / "de"), offline_transform=transforms.BandDifferentialEntropy(), **common
    )
    result["windows"] = len(features)
    result["prepare_de"] = len(features) / (time.perf_counter() - began)
    samples = DEAPDataset(io_path=str(scratch / "raw"), **common)
    for name, dataset in (("de", features), ("raw", samples)):
        result[f"load_{name}"] = max(_loaded(torch, dataset, workers) for workers in (0, 2))
    print(json.dumps(result))


def _loaded(torch: Any, dataset: Any, workers: int) -> float:
    """Windows a second in shuffled batches, the best of two epochs."""
    loader = torch.utils.data.DataLoader(dataset, batch_size=BATCH, shuffle=True, num_workers=workers)
    best = 0.0
    for _ in range(2):
        began = time.perf_counter()
        count = sum(len(batch[0]) for batch in loader)
        best = max(best, count / (time.perf_counter() - began))
    return best


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), int(sys.argv[2]), Path(sys.argv[3]).resolve())
