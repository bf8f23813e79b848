"""Training that goes on once training is over: a few steps of a part of the network."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from affect.errors import UserError
from affect.learners.network import Network


def descend(parameters: Sequence[nn.Parameter], learning_rate: float, losses: Iterable[Tensor]) -> None:
    """A step of SGD, with momentum .9 as in the papers, on each of `losses`, which are made one after the other.

    Raises:
        UserError: a loss that is not finite.
    """
    optimizer = torch.optim.SGD(parameters, lr=learning_rate, momentum=0.9)
    for step, loss in enumerate(losses):
        if not bool(loss.isfinite()):
            raise UserError(
                f"step {step + 1} after training",
                f"a loss of {float(loss.detach())}",
                "a finite loss",
                "lower the learning_rate of the alignment",
            )
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()


@contextmanager
def learning(network: Network, parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """While these parameters learn, no others do; in the end the network is one to test with, without gradients."""
    flags = {parameter: parameter.requires_grad for parameter in network.parameters()}
    chosen = set(parameters)
    try:
        for parameter in flags:
            parameter.requires_grad_(parameter in chosen)
        with torch.enable_grad():
            yield
    finally:
        for parameter, flag in flags.items():
            parameter.requires_grad_(flag)
            parameter.grad = None
        network.eval()


def heads(network: Network) -> list[nn.Parameter]:
    """Parameters of whatever decides."""
    layers = [layer for layer in (network.head, network.stream_heads) if layer is not None]
    return [parameter for layer in layers for parameter in layer.parameters()]


def embedding(network: Network) -> list[nn.Parameter]:
    """Parameters of encoders and fusion that are not frozen."""
    parts = (network.encoders, network.fusion)
    return [parameter for part in parts for parameter in part.parameters() if parameter.requires_grad]
