"""Reconstruction of what is hidden."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated

import torch
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor, nn

from affect.augmentation.base import Augmentation
from affect.batch import Batch, StreamShape
from affect.encoders.base import Encoder
from affect.pretraining.base import Objective


class MaskedReconstruction(Objective):
    """Parts of every window are hidden from the encoder, and its embedding must tell what they were.

    After masked autoencoders (He et al., CVPR 2022), with one embedding a window instead of one a patch. What is
    hidden together: a run of samples in all channels; a run of features, which for this are one row, channel after
    channel; a square of a picture in all frames, as in VideoMAE (Tong et al., NeurIPS 2022). What is reconstructed:
    the features themselves; of samples and pictures, means over so many of them that a channel has at most `points`
    a window, so what is faster or finer than that is not asked for (of 4 s, at most 64 / 4 / 2 = 8 Hz; a waveform of
    a voice is better given as log-mel bands). The loss is the mean squared error on hidden points, each channel in
    units of its variance over them, so that 1 is what naming their mean gets; the objective is the mean over streams.

    Args:
        share: hidden part of the window.
        spans: runs it is cut into, whole ones of which are hidden; of a picture, rounded to a square number.
        points: most values of a channel that are reconstructed; of a picture, rounded to a square number.
        hidden: units of the decoder's hidden layer; 0 for a linear decoder.

    Raises:
        ValueError: a stream with a single value a window, of which nothing can be hidden.
    """

    def __init__(
        self,
        shapes: Mapping[str, StreamShape],
        dims: Mapping[str, int],
        augmentations: Mapping[str, Sequence[Augmentation]],
        share: Annotated[float, Field(gt=0, lt=1)] = 0.5,
        spans: Annotated[int, Field(ge=2)] = 16,
        points: PositiveInt = 64,
        hidden: NonNegativeInt = 128,
    ) -> None:
        super().__init__(shapes, dims, augmentations)
        if single := [name for name in dims if math.prod(_axes(shapes[name])) < 2]:
            raise ValueError(f"{', '.join(single)}: one value a window, of which nothing can be hidden")
        self.covers = nn.ModuleDict({name: Cover(shapes[name], share, spans, points) for name in dims})
        self.decoders = nn.ModuleDict()
        for name, dim in dims.items():
            cover = self.covers[name]
            assert isinstance(cover, Cover)
            out = cover.channels * cover.points
            layers = [nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, out)] if hidden else [nn.Linear(dim, out)]
            self.decoders[name] = nn.Sequential(*layers, nn.Unflatten(1, (cover.channels, cover.points)))

    def forward(self, encoders: Mapping[str, Encoder], batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        losses, numbers = [], {}
        for name, decoder in self.decoders.items():
            x, here = self.view(name, batch)
            cover = self.covers[name]
            assert isinstance(cover, Cover)
            rest, hidden = cover.hide(x)
            counts = hidden & here[:, None] & (here.sum() > 1)
            error = squared_error(decoder(encoders[name](rest)), cover.means(x), counts)
            losses.append(error / counts.sum().clamp(min=1))
            numbers[f"loss_{name}"] = error.detach() / counts.sum()
        return torch.stack(losses).mean(), numbers


def squared_error(found: Tensor, wanted: Tensor, counts: Tensor) -> Tensor:
    """The squared error summed over the points that count, mean over channels, in units of each channel's variance.

    Args:
        found: (B, K, N), standardised.
        wanted: (B, K, N), on whatever scale.
        counts: (B, N) bool.
    """
    weight = counts[:, None].to(found.dtype)
    total = weight.sum().clamp(min=1)
    centred = wanted - (wanted * weight).sum(dim=(0, 2), keepdim=True) / total
    variance = (centred**2 * weight).sum(dim=(0, 2), keepdim=True) / total
    return ((found - centred / variance.clamp(min=1e-12).sqrt()) ** 2 * weight).sum() / found.shape[1]


class Cover(nn.Module):
    """How a stream is cut: its samples into points that are reconstructed, these into spans that are hidden whole.

    Args:
        shape, share, spans, points: as in `MaskedReconstruction`.

    Attributes:
        channels: K; features are one channel, the colours of every frame of a film are channels.
        points: N, values of a channel.
    """

    point: Tensor
    span: Tensor
    samples: Tensor

    def __init__(self, shape: StreamShape, share: float, spans: int, points: int) -> None:
        super().__init__()
        axes = _axes(shape)
        self.channels = len(shape.channels) * shape.length * math.prod(shape.size or (1,)) // math.prod(axes)
        roots = [round(most ** (1 / len(axes))) for most in (points, spans)]
        counts = tuple(min(size, roots[0]) for size in axes) if shape.size or shape.rate else axes
        cuts = tuple(min(count, roots[1]) for count in counts)
        self.points, self.spans = math.prod(counts), math.prod(cuts)
        self.hidden = min(max(round(share * self.spans), 1), self.spans - 1)
        self.register_buffer("point", _grid(axes, counts), persistent=False)
        self.register_buffer("span", _grid(counts, cuts), persistent=False)
        self.register_buffer("samples", torch.bincount(self.point).float(), persistent=False)

    def hide(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, …) → the same with the hidden part 0, and (B, N) bool, which points are hidden."""
        order = torch.rand(len(x), self.spans, device=x.device).argsort(dim=1).argsort(dim=1)
        hidden = (order < self.hidden)[:, self.span]
        return self._flat(x).masked_fill(hidden[:, None, self.point], 0.0).view_as(x), hidden

    def means(self, x: Tensor) -> Tensor:
        """(B, C, …) → (B, K, N), the mean of every point's samples."""
        zeros = x.new_zeros(len(x), self.channels, self.points)
        return zeros.index_add(2, self.point, self._flat(x)) / self.samples

    def _flat(self, x: Tensor) -> Tensor:
        return x.reshape(len(x), self.channels, -1)


def _axes(shape: StreamShape) -> tuple[int, ...]:
    """What is cut: time, the two axes of a picture, or all features and facts as one row."""
    if shape.size:
        return shape.size
    return (shape.length,) if shape.rate else (len(shape.channels) * shape.length,)


def _grid(sizes: tuple[int, ...], parts: tuple[int, ...]) -> Tensor:
    """(∏ sizes,) the number of the part that each place of a grid lies in, in rows as the grid itself."""
    number = torch.zeros((), dtype=torch.long)
    for size, count in zip(sizes, parts, strict=True):
        number = number[..., None] * count + torch.arange(size) * count // size
    return number.flatten()
