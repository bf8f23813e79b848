"""Calibration: training goes on with the few labelled windows of the tested person."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from affect.alignment.base import Alignment, Windows
from affect.alignment.descent import descend, embedding, heads, learning
from affect.learners.label_loss import label_loss

if TYPE_CHECKING:
    from affect.learners.network import Network


class CalibrationFineTuning(Alignment):
    """After training, head or network goes on learning from the tested person's labelled windows alone.

    L = L_label of these windows, by SGD with momentum .9. What fine-tuning to a subject is in the literature of
    brain–computer interfaces (for deep nets Schirrmeister et al., Human Brain Mapping 2017; to which depth, Kostas &
    Rudzicz, J. Neural Eng. 2020). Few windows: with `part: all` and many epochs they are learnt by heart.

    Args:
        weight: times L.
        part: `head`, on embeddings that stay, or `all` that is not frozen; encoders are then in training mode.
        epochs: over the calibration windows.
        learning_rate: of SGD.
    """

    sees = "nothing"
    joint = False
    calibrates = True

    def __init__(
        self,
        dim: int,
        classes: Sequence[int],
        domains: int,
        weight: float = 1.0,
        part: Literal["head", "all"] = "head",
        epochs: PositiveInt = 20,
        learning_rate: PositiveFloat = 0.01,
    ) -> None:
        super().__init__(dim, classes, domains, weight)
        self.part, self.epochs, self.learning_rate = part, epochs, learning_rate

    def after(self, network: "Network", windows: Windows) -> None:
        device = next(network.parameters()).device
        parameters = heads(network) + (embedding(network) if self.part == "all" else [])
        network.eval()

        def losses() -> Iterator[Tensor]:
            for epoch in range(self.epochs):
                for batch in windows.calibration(epoch):
                    here = batch.to(device)
                    # BatchNorm cannot learn from one window
                    network.encoders.train(self.part == "all" and len(here.window) > 1)
                    yield self.weight * label_loss(network, network(here), here).loss.mean()

        with learning(network, parameters):
            descend(parameters, self.learning_rate, losses())
