"""Unfreezing from the output to the input, each block with a rate of its own."""

from typing import Annotated

from pydantic import Field

from affect.encoders.base import Encoder
from affect.transfer.base import Part, Transfer


class GradualUnfreezing(Transfer):
    """The last block learns at once; those before it join one by one, more slowly the nearer they are to the input.

    Gradual unfreezing and discriminative fine-tuning as in ULMFiT (Howard & Ruder, ACL 2018), over an encoder's
    `blocks()`.

    Args:
        decay: rate of a block relative to the one behind it.
        until: share of training by which all blocks learn.
    """

    def __init__(
        self,
        decay: Annotated[float, Field(gt=0, le=1)] = 0.5,
        until: Annotated[float, Field(ge=0, lt=1)] = 0.5,
    ) -> None:
        self.decay, self.until = decay, until

    def parts(self, encoder: Encoder) -> list[Part]:
        blocks = encoder.blocks()[::-1]
        last = max(len(blocks) - 1, 1)
        parts = [
            Part(list(block.parameters()), self.decay**depth, self.until * depth / last)
            for depth, block in enumerate(blocks)
        ]
        named = {id(p) for part in parts for p in part.parameters}
        loose = [p for p in encoder.parameters() if id(p) not in named]  # a mask token, a weight of layers
        return [*parts, Part(loose, self.decay**last, self.until)] if loose else parts
