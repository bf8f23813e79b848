"""Features of pictures, one row a window."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt

from affect.batch import StreamShape
from affect.errors import UserError
from affect.preprocessing.step import Features

if TYPE_CHECKING:
    from torch import Tensor

_AT_ONCE = 32  # pictures through a network


@dataclass(frozen=True)
class HOG(Features):
    """Histograms of oriented gradients, averaged over the window's pictures (Dalal & Triggs, CVPR 2005; OpenCV).

    Each picture, resized to `size`, is cut into square cells of `cell` pixels; each cell's gradients are counted in
    `bins` unsigned orientations, weighted by their size; blocks of 2 × 2 cells, one cell apart, are normalised.

    Args:
        size: pixels; a multiple of the cell.
        cell: pixels.
        bins: orientations in 180°.
        deviation: adds the standard deviation over the window's pictures, how the face moves, as a second channel.
    """

    size: PositiveInt = 64
    cell: PositiveInt = 8
    bins: PositiveInt = 9
    deviation: bool = False

    def __post_init__(self) -> None:
        if self.size % self.cell or self.size < 2 * self.cell:
            raise ValueError(f"size {self.size}: a multiple of the cell, {self.cell}, and at least twice as large")

    def names(self) -> tuple[str, ...]:
        """In OpenCV's order: down the columns, of blocks in the picture and of cells in the block."""
        blocks = range(self.size // self.cell - 1)
        places = [(y + j, x + i, 2 * i + j) for x in blocks for y in blocks for i in (0, 1) for j in (0, 1)]
        return tuple(f"row{y} column{x} in {place} bin{b}" for y, x, place in places for b in range(self.bins))

    def channels(self, given: tuple[str, ...]) -> tuple[str, ...]:
        return ("mean", "deviation") if self.deviation else ("mean",)

    def __call__(self, windows: NDArray[np.uint8], stream: StreamShape) -> NDArray[np.float32]:
        """(B, 3, T, H, W) RGB → (B, 1 or 2, F)."""
        import cv2

        _check(windows)
        cv2.setNumThreads(1)
        size, block, cell = ((side,) * 2 for side in (self.size, 2 * self.cell, self.cell))
        hog = cv2.HOGDescriptor(size, block, cell, cell, self.bins)
        result = np.empty((len(windows), len(self.channels(())), len(self.names())), np.float32)
        for row, window in zip(result, windows.transpose(0, 2, 3, 4, 1), strict=True):
            pictures = (cv2.resize(np.ascontiguousarray(p), size, interpolation=cv2.INTER_AREA) for p in window)
            every = np.stack([hog.compute(picture) for picture in pictures])
            row[0] = every.mean(axis=0)
            if self.deviation:
                row[1] = every.std(axis=0)
        return result


@dataclass(frozen=True)
class TimmEmbedding(Features):
    """What a frozen network of timm makes of each picture, before its classifier, averaged over the window's pictures.

    Pictures are resized to the size the network was trained on, with its mean and deviation. Runs on the CPU.

    Args:
        backbone: a name timm knows, for example tf_efficientnet_lite0.in1k.
        weights: file of its state (.safetensors, or .pth of tensors alone), of any float type; None: those timm names,
            from the model hub.
    """

    backbone: str
    weights: str | None = None
    content: str = field(default="", init=False, repr=False)
    """Hash of the weights' file: other weights are other features."""

    def __post_init__(self) -> None:
        if self.weights is not None:
            path = Path(self.weights).expanduser()
            if not path.is_file():
                raise ValueError(f"weights {self.weights}: no such file")
            object.__setattr__(self, "content", sha256(path.read_bytes()).hexdigest()[:16])

    def names(self) -> tuple[str, ...]:
        return tuple(f"unit{i + 1}" for i in range(_width(self.backbone)))

    def channels(self, given: tuple[str, ...]) -> tuple[str, ...]:
        return ("mean",)

    def __call__(self, windows: NDArray[np.uint8], stream: StreamShape) -> NDArray[np.float32]:
        """(B, 3, T, H, W) RGB → (B, 1, F)."""
        import torch

        _check(windows)
        network = _network(self.backbone, self.weights, self.content)
        pictures = torch.from_numpy(windows.swapaxes(1, 2).reshape(-1, 3, *windows.shape[3:]))
        with torch.inference_mode():
            embedded = torch.cat([network(pictures[i : i + _AT_ONCE]) for i in range(0, len(pictures), _AT_ONCE)])
        return embedded.reshape(len(windows), -1, embedded.shape[1]).mean(dim=1, keepdim=True).numpy()


def _check(windows: NDArray[np.uint8]) -> None:
    if windows.ndim != 5 or windows.shape[1] != 3 or windows.dtype != np.uint8:
        raise ValueError("samples, not pictures: FaceCrops makes pictures of a film")


@cache
def _width(backbone: str) -> int:
    """Units of the embedding."""
    import torch

    from affect.encoders.backbone import create, width

    try:
        with torch.device("meta"):  # the shape of the network alone
            return width(create(backbone))
    except ValueError as error:
        raise UserError(
            "data.streams.*.features.backbone", str(error), "a name timm knows", "correct the name"
        ) from None


@lru_cache(maxsize=1)
def _network(backbone: str, weights: str | None, content: str) -> "Callable[[Tensor], Tensor]":
    """(N, 3, H, W) uint8 → (N, F), with weights; `content` tells files of one name apart."""
    from torch import nn

    from affect.encoders.backbone import Prepare, adapt, create, fetch

    key = "data.streams.*.features.weights"
    state = fetch(backbone, key) if weights is None else _read(weights, key)
    network = create(backbone).eval()
    try:
        network.load_state_dict(adapt(backbone, state, key))
    except UserError as error:
        raise UserError(key, f"{weights or 'the model hub'}: {error.found}", error.expected, error.remedy) from None
    return nn.Sequential(Prepare(network), network)


def _read(weights: str, key: str) -> "Mapping[str, Tensor]":
    from timm.models import load_state_dict

    try:
        state: Mapping[str, Tensor] = load_state_dict(str(Path(weights).expanduser()), weights_only=True)
        return state
    except Exception as error:  # each format has its own
        told = f"{weights}: no weights ({type(error).__name__}: {error})"
        raise UserError(key, told, "the state of this network, under timm's names", "name another file") from error
