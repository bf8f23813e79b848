"""The contract of an encoder."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from affect.batch import StreamShape
from affect.errors import UserError

Share = Annotated[float, Field(ge=0, lt=1)]
"""0 ≤ share < 1; the config is held to a signature's bounds before any data is read."""


class Encoder(nn.Module, ABC):
    """One stream → one embedding. To add one: subclass this, name it in YAML by its class path.

    Encoders hold no running batch statistics unless they say so: a window's embedding depends on that window alone.

    Args:
        shape: of the stream; given by the data, never by the config. A shape it cannot take is refused with a
            ValueError in words.

    Attributes:
        out_dim: D, set by the subclass.
    """

    out_dim: int
    reads: ClassVar[Literal["samples", "features", "either"]] = "either"
    """What its stream must give; the config is checked against it before any data is read."""
    native: ClassVar[bool] = False
    """Takes its stream in its own unit (pictures 0 … 255, a waveform −1 … 1), as its published weights expect; all
    others take it normalised."""
    apart: bool = False
    """In training, windows of the source and of the target go through one after the other, so that what is computed
    over a batch is of one of them."""

    def __init__(self, shape: StreamShape) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) samples, (B, C, F) features or (B, 3, T, H, W) pictures → (B, D)."""

    def blocks(self) -> list[nn.Module]:
        """The parts that learn, from input to output: what is unfrozen one by one, each with a rate of its own."""
        return [part for part in self.children() if any(True for _ in part.parameters())]

    def fill(self, state: Mapping[str, Tensor], where: str) -> None:
        """Take over saved weights, all of them. An encoder around a published backbone also takes the backbone's own.

        Args:
            state: names → tensors of any float type.
            where: they come from, for messages.

        Raises:
            UserError: weights of another architecture or shape, naming the tensors.
        """
        fill(self, state, where)

    def published(self, name: str) -> Mapping[str, Tensor]:
        """Weights of this name from where the encoder's backbone is published.

        Raises:
            UserError: there are none, or they cannot be fetched.
        """
        raise UserError(
            "weights",
            f"{name!r}, for {type(self).__name__}, of which none are published",
            "a .safetensors file, a run's folder, or wandb:entity/project/name:alias",
            "correct it",
        )


def fill(module: nn.Module, state: Mapping[str, Tensor], where: str) -> None:
    """Load a state that must fit a module entry by entry.

    Raises:
        UserError: naming the tensors that are missing, unknown or of another shape.
    """
    own = module.state_dict()
    missing = [name for name in own if name not in state]
    unknown = [name for name in state if name not in own]
    shapes = [
        f"{name} {tuple(state[name].shape)} instead of {tuple(own[name].shape)}"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    told = [
        f"{len(names)} {what}: {', '.join(names[:3])}{' …' if len(names) > 3 else ''}"
        for what, names in (("missing", missing), ("unknown", unknown), ("of another shape", shapes))
        if names
    ]
    if told:
        raise UserError(
            where,
            f"weights that do not fit {type(module).__name__}; {'; '.join(told)}",
            f"its {len(own)} tensors",
            "give the weights of this architecture, with the arguments and the stream they were trained with",
        )
    module.load_state_dict({name: tensor.to(own[name].dtype) for name, tensor in state.items()})
