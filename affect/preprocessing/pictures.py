"""Features of pictures, one row a window."""

from collections.abc import Callable
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache, lru_cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

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

    with torch.device("meta"):  # the shape of the network alone
        network = _bare(backbone, pretrained=False)
        return int(network(torch.empty(1, *network.pretrained_cfg["input_size"])).shape[1])


@lru_cache(maxsize=1)
def _network(backbone: str, weights: str | None, content: str) -> "Callable[[Tensor], Tensor]":
    """(N, 3, H, W) uint8 → (N, F), with weights; `content` tells files of one name apart."""
    import torch
    from torch.nn.functional import interpolate

    try:
        network = _bare(backbone, pretrained=weights is None)
        if weights is not None:
            _fill(network, Path(weights).expanduser())
    except UserError:
        raise
    except Exception as error:  # of the hub, the file or the fit between both, each its own
        raise UserError(
            "data.streams.*.features.weights",
            f"no weights of {backbone} from {weights or 'the model hub'} ({type(error).__name__}: {error})",
            "the state of this network, under timm's names",
            "name another file" if weights else "download the weights elsewhere, and name their file",
        ) from error
    _, *size = network.pretrained_cfg["input_size"]
    mean, deviation = (torch.tensor(network.pretrained_cfg[key])[:, None, None] for key in ("mean", "std"))

    def embed(pictures: "Tensor") -> "Tensor":
        resized = interpolate(pictures.float() / 255, size, mode="bilinear", antialias=True)
        embedding: Tensor = network((resized - mean) / deviation)
        return embedding

    return embed


def _bare(backbone: str, pretrained: bool) -> Any:
    """The network without its classifier."""
    import timm

    if not timm.is_model(backbone):
        near = get_close_matches(backbone, timm.list_models(), 5, 0.3)
        raise UserError(
            "data.streams.*.features.backbone", backbone, f"a network of timm, such as {near}", "correct the name"
        )
    # Asked for it without classifier, timm would load less strictly.
    network: Any = timm.create_model(backbone, pretrained=pretrained).eval()
    network.reset_classifier(0)
    return network


def _fill(network: Any, path: Path) -> None:
    """Load the whole state but for the classifier; no weight stays random."""
    from timm.models import load_state_dict

    classifier = network.pretrained_cfg["classifier"] or ()
    heads = tuple(f"{head}." for head in ([classifier] if isinstance(classifier, str) else classifier))
    state = {k: v for k, v in load_state_dict(str(path), weights_only=True).items() if not k.startswith(heads)}
    missing, unexpected = network.load_state_dict(state, strict=False)
    if missing or unexpected:
        raise ValueError(f"{len(missing)} entries missing, such as {missing[:3]}; {unexpected[:3]} not of it")
