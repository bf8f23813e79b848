"""The BatchNorm layers of a network, and their statistics on other windows."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from affect.batch import Batch
from affect.learners.network import Network


def batch_norms(module: nn.Module) -> list[_BatchNorm]:
    """Those that keep statistics."""
    return [m for m in module.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]


class Moments:
    """Mean and variance of (n, D) rows that come in parts, in float64."""

    def __init__(self) -> None:
        self.count, self.sum, self.squares = 0, torch.zeros(()), torch.zeros(())

    def add(self, rows: Tensor) -> None:
        rows = rows.detach().double()
        self.count += len(rows)
        self.sum = self.sum + rows.sum(dim=0)
        self.squares = self.squares + rows.square().sum(dim=0)

    def mean(self) -> Tensor:
        return self.sum / self.count

    def variance(self, correction: int = 0) -> Tensor:
        mean = self.mean()
        return ((self.squares - self.count * mean.square()) / max(1, self.count - correction)).clamp(min=0)


@torch.no_grad()
def re_estimate(network: Network, batches: Callable[[], Iterator[Batch]], weight: float = 1.0) -> int:
    """Move the statistics of every BatchNorm layer of the encoders to those of other windows.

    Exact: a layer is measured once the layers before it have moved, so every layer costs a pass. Rows in which the
    encoder's stream is missing do not count.

    Args:
        batches: their batches, anew at each call.
        weight: 0, the old statistics, to 1, the new.

    Returns:
        How many layers moved; those of a frozen encoder, whose windows are embedded already, do not.
    """
    network.eval()
    device = next(network.parameters()).device
    moved = 0
    for i, (name, encoder) in enumerate(network.encoders.items()):
        order: list[_BatchNorm] = []
        while True:
            moments = Moments()
            # A compiled encoder does not hear of hooks that came after it was compiled.
            with _listening(encoder, order, moments) as reached, torch.compiler.set_stance("force_eager"):
                for batch in batches():
                    rows = batch.streams[name][batch.present[:, i]]
                    if len(rows):
                        encoder(rows.to(device))
            if not reached or not moments.count:
                break
            layer = reached[0]
            order.append(layer)
            assert layer.running_mean is not None
            assert layer.running_var is not None
            layer.running_mean.lerp_(moments.mean().to(layer.running_mean), weight)
            layer.running_var.lerp_(moments.variance(correction=1).to(layer.running_var), weight)
            moved += 1
    return moved


@contextmanager
def _listening(encoder: nn.Module, done: list[_BatchNorm], moments: Moments) -> Iterator[list[_BatchNorm]]:
    """While an encoder runs, add up what goes into the first layer in its order of use that is not `done`."""
    reached: list[_BatchNorm] = []

    def listen(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(layer, _BatchNorm)
        if not reached:
            reached.append(layer)
        if layer is reached[0]:
            x = inputs[0]
            moments.add(x.transpose(0, 1).flatten(1).T if x.ndim > 2 else x)

    handles = [m.register_forward_pre_hook(listen) for m in batch_norms(encoder) if not any(m is d for d in done)]
    try:
        yield reached
    finally:
        for handle in handles:
            handle.remove()
