"""The contract of an alignment: what makes domains alike."""

from abc import ABC
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

import torch
from torch import Tensor, nn

from affect.batch import Batch, StreamMap, StreamRows

if TYPE_CHECKING:
    from affect.learners.network import Network

Sees = Literal["nothing", "statistics", "windows"]
"""What of the unlabelled target a method looks at; the setting follows from it."""


@dataclass
class AlignmentInput:
    """One training batch as an alignment sees it.

    Args:
        features: (B, D) fused embeddings, with gradient.
        logits: (B, O), with gradient: the outputs of all targets side by side, a logit for each class or one
            standardised value.
        label: (B, Q) class number of labelled rows for each target, or value standardised as its output is; NaN where
            unknown, as in all target rows but calibration windows.
        source: (B,) bool, of a source domain; the tested person's calibration windows are the target's.
        domain: (B,) 0 … K−1 for the source domains, K for the target.
        weight: (B, Q) row weights for each target.
        progress: p = step / total steps, 0 … 1.
        risk: (B, Q) label loss of every row, with gradient and without its weight; 0 where there is no label.
        parameters: of the network, by name.
        risk_under: the same `risk` of this batch, had the network other parameters.
    """

    features: Tensor
    logits: Tensor
    label: Tensor
    source: Tensor
    domain: Tensor
    weight: Tensor
    progress: float
    risk: Tensor = field(default_factory=lambda: torch.zeros(0))
    parameters: Mapping[str, Tensor] = field(default_factory=dict)
    risk_under: Callable[[Mapping[str, Tensor]], Tensor] | None = None


class Windows(Protocol):
    """What an alignment may look at once training is over, in shuffled batches, the order a function of the epoch.

    Rows of `target` carry no label; `calibration` are the few labelled windows of the tested person.
    """

    def source(self, epoch: int) -> Iterator[Batch]: ...

    def target(self, epoch: int) -> Iterator[Batch]: ...

    def calibration(self, epoch: int) -> Iterator[Batch]: ...


class Alignment(nn.Module, ABC):
    """What makes domains alike. To add one: subclass this, name it in YAML by its class path.

    An alignment acts at one or more moments of a run; each is a method that does nothing until it is overridden:
    `map_stream` before training, `change` and `transform` within a step, `forward` as a loss, `after` training.

    Args:
        dim: D of the fused embedding; given by the model.
        classes: number of classes of each of the Q targets, 0 for a regression, which has one output; given by them.
            What an alignment cannot serve it refuses with a ValueError in words.
        domains: K + 1; given by the fold.
        weight: strength; 0 is source-only, bit for bit, and loads no target rows.
    """

    sees: ClassVar[Sees] = "windows"
    """What of the unlabelled target it looks at, in training or after."""
    maps: ClassVar[bool] = False
    """Whether it maps the windows of streams before training; then it serves classical models, too."""
    joint: ClassVar[bool] = True
    """Whether every training batch holds as many target rows as source rows."""
    source_domains: ClassVar[int] = 1
    """How many source domains it needs at least."""
    calibrates: ClassVar[bool] = False
    """Whether it needs labelled windows of the tested person: a protocol with `calibration`."""
    by_outputs: ClassVar[bool] = False
    """Whether its loss reaches the encoders through the outputs; those of a fusion of decisions teach none."""

    def __init__(self, dim: int, classes: Sequence[int], domains: int, weight: float = 1.0) -> None:
        super().__init__()
        if not 0 <= weight < float("inf"):
            raise ValueError(f"weight {weight}: 0 or a positive number")
        if self.maps and weight > 1:
            raise ValueError(f"weight {weight}: 0, the windows as they are, to 1, as they are mapped")
        if self.joint and self.sees != "windows":
            raise ValueError(
                f"{type(self).__name__} says that it sees {self.sees} of the target, and its training batches hold the "
                'target\'s windows: set joint = False, or sees = "windows"'
            )
        self.weight, self.domains = weight, domains

    def check(self, network: "Network") -> None:
        """Before training: refuse, with a ValueError in words, a network that it cannot serve."""
        if self.by_outputs and network.fusion.decides:
            raise ValueError(
                f"{type(self).__name__}, which acts through the outputs, with a fusion of decisions, in which every "
                "stream learns to decide alone: take another fusion, or an alignment of features"
            )

    def map_stream(self, chunks: Callable[[], Iterator[StreamRows]]) -> StreamMap:
        """Before training, if `maps`: a map of one stream's windows, fitted on what `chunks()` yields, as often as it
        is called: all windows of source and unlabelled target, some thousands at a time."""
        return lambda values, person, source: values

    def change(self, batch: Batch) -> Batch:
        """In training, before the encoders: another batch."""
        return batch

    def transform(self, features: Tensor, domain: Tensor, source: Tensor) -> Tensor:
        """In training and testing, between fusion and heads: (B, D), (B,), (B,) → (B, D)."""
        return features

    def forward(self, batch: AlignmentInput) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss to add to the label loss, and numbers for the reader (each a scalar, averaged over an epoch)."""
        return batch.features.new_zeros(()), {}

    def after(self, network: "Network", windows: Windows) -> None:
        """After training: change the network for the target. Draws from torch's global generator alone."""
