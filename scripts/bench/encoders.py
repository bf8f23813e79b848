"""What each encoder costs, and how fast the EEG net trains against EEGNet as published.

uv run python scripts/bench/encoders.py [--only TSception LogMelCNN] [--repeats 15] [--threads 2]

Prints parameters, multiply-adds a window (matrix products, convolutions and Fourier transforms; the rest is not
counted) and windows a second, forward and training, the best of some repeats: the machine's noise only ever slows. The
last lines are the ratio, with both networks measured in turns. Timings mean little while others use the machine: the
load average is printed, too.
"""

import argparse
import math
import os
import platform
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

import affect.encoders
from affect.batch import StreamShape
from affect.encoders import Encoder, SpatialFirstEEGNet

_CAP = "Fp1 AF3 F3 F7 FC5 FC1 C3 T7 CP5 CP1 P3 P7 PO3 O1 Oz Pz Fp2 AF4 Fz F4 F8 FC6 FC2 Cz C4 T8 CP6 CP2 P4 P8 PO4 O2"
CAP = tuple(_CAP.split())
EEG, BANDS = StreamShape(CAP, 128, 128.0), StreamShape(CAP, 5, None)
MEL, WAVE = StreamShape(tuple(f"mel{i}" for i in range(64)), 300, 100.0), StreamShape(("mono",), 48_000, 16_000.0)
FACE = StreamShape(("red", "green", "blue"), 4, 1.0, (128, 128))

PATIENCE = 10.0
"""Seconds after which no repeat begins."""


@dataclass(frozen=True)
class Example:
    """What an encoder is measured on."""

    shape: StreamShape
    batch: int = 64
    arguments: dict[str, Any] = field(default_factory=dict)


EXAMPLES = {
    "BandMLP": Example(BANDS),
    "Braindecode": Example(EEG, arguments={"model": "EEGNet"}),
    "ElectrodeAttention": Example(BANDS),
    "ElectrodeGraph": Example(BANDS),
    "LogMelCNN": Example(MEL),
    "ResidualNet": Example(StreamShape(("bvp",), 512, 128.0)),
    "SpatialFirstEEGNet": Example(EEG),
    "SpeechTransformer": Example(WAVE, batch=2),
    "TSception": Example(EEG),
    "TimmFace": Example(FACE, batch=4, arguments={"size": 128}),
    "TimmSpectrogram": Example(MEL, batch=8),
}


class PublishedEEGNet(nn.Sequential):
    """EEGNet-8,2 (Lawhern et al., J. Neural Eng. 2018) without limits on norms of weights: (B, C, T) → (B, D)."""

    def __init__(self, channels: int, kernel: int = 64, f1: int = 8, d: int = 2, f2: int = 16) -> None:
        super().__init__(
            nn.Unflatten(1, (1, channels)),
            nn.Conv2d(1, f1, (1, kernel), padding=(0, kernel // 2), bias=False),
            nn.BatchNorm2d(f1),
            nn.Conv2d(f1, f1 * d, (channels, 1), groups=f1, bias=False),
            nn.BatchNorm2d(f1 * d),
            nn.ELU(),
            nn.AvgPool2d((1, 4)),
            nn.Dropout(),
            nn.Conv2d(f1 * d, f1 * d, (1, 16), padding=(0, 8), groups=f1 * d, bias=False),
            nn.Conv2d(f1 * d, f2, 1, bias=False),
            nn.BatchNorm2d(f2),
            nn.ELU(),
            nn.AvgPool2d((1, 8)),
            nn.Dropout(),
            nn.Flatten(),
        )


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", help="classes of affect.encoders")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    warnings.simplefilter("ignore")
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else math.nan
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {arguments.threads} threads,", end=" "
    )
    print(f"load {load:.1f}, torch {torch.__version__}\n")
    print(f"{'encoder':20} {'window':>22} {'batch':>5} {'D':>5} {'parameters':>11} {'MMAC':>9}", end=" ")
    print(f"{'forward/s':>10} {'training/s':>10}")
    for name in affect.encoders.__all__ if arguments.only is None else arguments.only:
        if name != "Encoder":
            print(_row(name, EXAMPLES[name], arguments.repeats), flush=True)
    shape = f"{len(CAP)} × {EEG.length}"
    print(f"\nSpatialFirstEEGNet, windows of {shape} a second in batches of 64, in turns")
    for what, seconds in _against_published(2 * arguments.repeats).items():
        ours, published = (64 / best for best in seconds)
        print(f"{what:9} EEGNet as published {published:8,.0f}   ours {ours:8,.0f}   {ours / published:5.1f} ×")
    return 0


def _row(name: str, example: Example, repeats: int) -> str:
    shape = example.shape
    encoder: Encoder = getattr(affect.encoders, name)(shape, **example.arguments)
    x = _windows(shape, example.batch)
    parameters = sum(p.numel() for p in encoder.parameters())
    forward, training = (
        _best([work], repeats)[0] for work in (_forward(encoder, x), _training(encoder, encoder.out_dim, x))
    )
    size, adds = " × ".join(map(str, x.shape[1:])), _multiply_adds(encoder, x) / 1e6
    return (
        f"{name:20} {size:>22} {len(x):5} {encoder.out_dim:5} {parameters:11,} {adds:9,.3f} "
        f"{len(x) / forward:10,.0f} {len(x) / training:10,.0f}"
    )


def _against_published(repeats: int) -> dict[str, list[float]]:
    """Seconds a batch, ours and the published one's."""
    x = _windows(EEG, 64)
    ours, published = SpatialFirstEEGNet(EEG), PublishedEEGNet(len(CAP))
    both: list[tuple[nn.Module, int]] = [(ours, ours.out_dim), (published, published(x).shape[1])]
    return {
        "training": _best([_training(net, dim, x) for net, dim in both], repeats),
        "forward": _best([_forward(net, x) for net, _ in both], repeats),
    }


def _windows(shape: StreamShape, batch: int) -> Tensor:
    if shape.size is not None:
        return torch.rand(batch, len(shape.channels), shape.length, *shape.size) * 255
    return torch.randn(batch, len(shape.channels), shape.length)


def _forward(net: nn.Module, x: Tensor) -> Callable[[], None]:
    def work() -> None:
        net.eval()
        with torch.inference_mode():
            net(x)

    return work


def _training(net: nn.Module, dim: int, x: Tensor) -> Callable[[], None]:
    """A whole step: with a linear head of two classes, and the learners' optimiser."""
    head = nn.Linear(dim, 2)
    optimiser = torch.optim.AdamW([*net.parameters(), *head.parameters()], fused=True)
    label = torch.arange(len(x)) % 2

    def work() -> None:
        net.train()
        optimiser.zero_grad()
        loss: Tensor = cross_entropy(head(net(x)), label)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    return work


def _best(works: Sequence[Callable[[], None]], repeats: int) -> list[float]:
    """Seconds of each, measured in turns; the slow ones fewer times."""
    best, start = [math.inf] * len(works), time.perf_counter()
    for _ in range(repeats):
        if time.perf_counter() - start > PATIENCE:
            break
        for i, work in enumerate(works):
            began = time.perf_counter()
            work()
            best[i] = min(best[i], time.perf_counter() - began)
    return best


def _multiply_adds(net: nn.Module, x: Tensor) -> float:
    """A window's, forward."""
    transforms = {torch.ops.aten._fft_r2c: _transform, torch.ops.aten._fft_c2r: _transform}
    counter = FlopCounterMode(display=False, custom_mapping=transforms)
    with counter, torch.no_grad():
        net.eval()(x)
    return counter.get_total_flops() / 2 / len(x)


def _transform(given: Sequence[int], *rest: Any, out_shape: Sequence[int], **options: Any) -> int:
    """Operations of real Fourier transforms along the last axis."""
    length = max(given[-1], out_shape[-1])
    return round(2.5 * length * math.log2(max(length, 2)) * math.prod(given[:-1]))


if __name__ == "__main__":
    sys.exit(main())
