"""The network every learner trains: encoders → fusion → label head."""

from collections.abc import Mapping

from torch import Tensor, nn

from affect.batch import Batch
from affect.encoders.base import Encoder
from affect.fusion.base import Fusion


class Network(nn.Module):
    """An encoder per stream, a fusion, a linear label head.

    Args:
        encoders: stream → encoder, in the order of the presence mask.
        fusion: of their embeddings.
        classes: number of classes.
    """

    def __init__(self, encoders: Mapping[str, Encoder], fusion: Fusion, classes: int) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict(dict(encoders))
        self.fusion = fusion
        self.head = nn.Linear(fusion.out_dim, classes)

    def embed(self, batch: Batch) -> Tensor:
        """(B, D) fused embedding."""
        embeddings = {name: encoder(batch.streams[name]) for name, encoder in self.encoders.items()}
        fused: Tensor = self.fusion(embeddings, batch.present)
        return fused

    def forward(self, batch: Batch) -> Tensor:
        """(B, classes) logits."""
        logits: Tensor = self.head(self.embed(batch))
        return logits
