"""The network every learner trains: encoders → fusion → a linear head for each target."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from affect.batch import Batch
from affect.encoders.base import Encoder
from affect.fusion.base import Fusion


class Network(nn.Module):
    """An encoder per stream, a fusion, and a linear head per target; the heads are slices of one layer.

    Args:
        encoders: stream → encoder, in the order of the presence mask.
        fusion: of their embeddings.
        targets: name → number of classes, 0 for a regression, which has one output.
        centre, spread: (Q,) mean and standard deviation of each regression's labels in the source, which its output
            is standardised by; default 0 and 1.
    """

    centre: Tensor
    spread: Tensor

    def __init__(
        self,
        encoders: Mapping[str, Encoder],
        fusion: Fusion,
        targets: Mapping[str, int],
        centre: Sequence[float] | None = None,
        spread: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict(dict(encoders))
        self.fusion = fusion
        self.targets = dict(targets)
        self.head = nn.Linear(fusion.out_dim, sum(self.sizes))
        self.register_buffer("centre", torch.tensor(list(centre or [0.0] * len(targets)), dtype=torch.float32))
        self.register_buffer("spread", torch.tensor(list(spread or [1.0] * len(targets)), dtype=torch.float32))

    @property
    def sizes(self) -> list[int]:
        """Outputs of each target."""
        return [max(classes, 1) for classes in self.targets.values()]

    def embed(self, batch: Batch) -> Tensor:
        """(B, D) fused embedding."""
        embeddings = {name: encoder(batch.streams[name]) for name, encoder in self.encoders.items()}
        fused: Tensor = self.fusion(embeddings, batch.present)
        return fused

    def forward(self, batch: Batch) -> Tensor:
        """(B, O) outputs of all targets side by side: logits of classes, standardised values of regressions."""
        outputs: Tensor = self.head(self.embed(batch))
        return outputs

    def split(self, outputs: Tensor) -> dict[str, Tensor]:
        """(B, O) → target → its (B, classes) or (B, 1)."""
        return dict(zip(self.targets, torch.split(outputs, self.sizes, dim=1), strict=True))

    def predictions(self, outputs: Tensor) -> dict[str, Tensor]:
        """(B, O) → target → its (B, classes) probabilities, or (B, 1) values on the native scale."""
        return {
            name: out.softmax(dim=1) if classes else out * self.spread[i] + self.centre[i]
            for i, ((name, out), classes) in enumerate(
                zip(self.split(outputs).items(), self.targets.values(), strict=True)
            )
        }
