"""Encoders of raw EEG."""

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import pad

from affect.batch import StreamShape
from affect.encoders.base import Encoder, Share


class SpatialFirstEEGNet(Encoder):
    """EEGNet (Lawhern et al., J. Neural Eng. 2018) with the spatial filter first and GroupNorm for BatchNorm.

    EEGNet's temporal and spatial convolutions commute (nothing non-linear stands between them), and mixing 32
    channels into 16 virtual ones first makes the long temporal filters several times cheaper. Without batch
    statistics a window's embedding does not depend on its neighbours.

    Args:
        virtual: spatial filters, each with a temporal filter of its own.
        kernel_seconds: length of the temporal filters; 0.5 s as in the paper.
        pool_seconds: the embedding has one value per virtual channel and this many seconds.
        dropout: after each block.
    """

    reads = "samples"

    def __init__(
        self,
        shape: StreamShape,
        virtual: PositiveInt = 16,
        kernel_seconds: PositiveFloat = 0.5,
        pool_seconds: PositiveFloat = 0.5,
        dropout: Share = 0.5,
    ) -> None:
        super().__init__(shape)
        assert shape.rate is not None, "reads samples"
        kernel = 2 * round(kernel_seconds * shape.rate / 2) + 1
        short = 2 * (kernel // 8) + 1
        pool_1 = max(1, min(4, shape.length))
        pool_2 = max(1, min(round(pool_seconds * shape.rate / pool_1), shape.length // pool_1))
        self.out_dim = virtual * (shape.length // pool_1 // pool_2)
        self.layers = nn.Sequential(
            Mixing(len(shape.channels), virtual),  # (B, V, T)
            TemporalFilter(virtual, kernel),
            nn.GroupNorm(virtual // 2 if virtual % 2 == 0 else 1, virtual),
            nn.ELU(),
            Average(pool_1),
            Dropout(dropout),
            TemporalFilter(virtual, short),
            Mixing(virtual, virtual),
            nn.GroupNorm(1, virtual),
            nn.ELU(),
            Average(pool_2),
            Dropout(dropout),
            nn.Flatten(),
        )

    def forward(self, x: Tensor) -> Tensor:
        embedding: Tensor = self.layers(x)
        return embedding

    def blocks(self) -> list[nn.Module]:
        """The spatial and temporal filters, then the separable convolution."""
        return [self.layers[:6], self.layers[6:]]


class Average(nn.Module):
    """Means over `size` samples: (B, C, T) → (B, C, T // size); as nn.AvgPool1d, faster to train."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        length = x.shape[2] // self.size
        return x[:, :, : length * self.size].reshape(*x.shape[:2], length, self.size).mean(dim=3)


class Dropout(nn.Dropout):
    """nn.Dropout whose coins are tossed by comparing uniform numbers: more than twice as fast on a CPU."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        kept = (torch.rand_like(x) >= self.p).to(x.dtype)
        return x * kept.div_(1 - self.p)


class Mixing(nn.Conv1d):
    """A convolution of length 1, without bias, as the matrix product it is: (B, C, T) → (B, out, T)."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__(channels, out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.weight[:, :, 0].expand(len(x), -1, -1) @ x  # without expanding, x would be copied


class TemporalFilter(nn.Conv1d):
    """A filter per channel, zeros beyond the ends: (B, C, T) → (B, C, T).

    Equals the grouped convolution it is a subclass of, for odd lengths, and is several times faster on a CPU: a matrix
    product on short windows, a product of spectra on longer ones.

    Args:
        kernel: length of a filter in samples, odd.
    """

    longest_matrix = 128
    """Samples of the longest window that is filtered by a matrix, whose cost grows with their square."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__(channels, channels, kernel, padding="same", groups=channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        filters, length = self.weight[:, 0], x.shape[2]
        if length > self.longest_matrix:
            return correlate(x, filters)
        centre = filters.shape[1] // 2
        places = at_every_place(filters, length)[:, :, centre : centre + length]
        return torch.bmm(x.transpose(0, 1), places.transpose(1, 2)).transpose(0, 1)


def at_every_place(filters: Tensor, places: int) -> Tensor:
    """(C, K) → (C, places, places + K − 1): each row holds the filter one sample further on."""
    length = places + filters.shape[1] - 1
    # Rows one number longer than those wanted, read as those wanted, move on by one each.
    rows = pad(filters, (0, places))[:, None].expand(-1, places, -1).flatten(1)
    return rows[:, : places * length].reshape(-1, places, length)


def correlate(x: Tensor, filters: Tensor) -> Tensor:
    """Each channel with its filter centred on each sample, zeros beyond the ends, by their spectra.

    Args:
        x: (B, C, T).
        filters: (C, K), K odd.

    Returns:
        (B, C, T) of at least single precision: spectra of less do not exist.
    """
    from scipy.fft import next_fast_len

    length, kernel = x.shape[-1], filters.shape[-1]
    n = next_fast_len(max(length + kernel // 2, kernel), real=True)
    kind = torch.promote_types(x.dtype, torch.float32)
    # A centre at sample 0 leaves nothing to be cut off in front, only the end that wraps around.
    centred = torch.roll(pad(filters.to(kind), (0, n - kernel)), -(kernel // 2), -1)
    spectrum = torch.fft.rfft(x.to(kind), n) * torch.fft.rfft(centred).conj()
    filtered: Tensor = torch.fft.irfft(spectrum, n)[..., :length]
    return filtered
