"""The network every learner trains: encoders → fusion → a linear head for each target."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from affect.batch import Batch
from affect.encoders.base import Encoder
from affect.fusion.base import Fusion


@dataclass(frozen=True)
class Reading:
    """What a network makes of a batch.

    Args:
        features: (B, D) fused embedding, as heads take it.
        outputs: (B, O) of all targets side by side: logits of classes, standardised values of regressions.
        streams: (B, M, O) what each stream's own head says; None without such heads.
        shares: (B, M) how much of the result comes from each stream; None where the fusion does not say.
    """

    features: Tensor
    outputs: Tensor
    streams: Tensor | None
    shares: Tensor | None


class Network(nn.Module):
    """An encoder per stream, a fusion, and a linear head per target; the heads are slices of one layer.

    Args:
        encoders: stream → encoder, in the order of the presence mask.
        fusion: of their embeddings, or of what each stream's own head decides.
        targets: name → number of classes, 0 for a regression, which has one output.
        centre, spread: (Q,) mean and standard deviation of each regression's labels in the source, which its output
            is standardised by; default 0 and 1.
        stream_heads: whether each stream has a head of its own beside the fused one; a fusion of decisions always has.
    """

    centre: Tensor
    spread: Tensor

    transform: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None
    """What an alignment puts between fusion and heads: (B, D) features, (B,) domain, (B,) source → (B, D)."""

    def __init__(
        self,
        encoders: Mapping[str, Encoder],
        fusion: Fusion,
        targets: Mapping[str, int],
        centre: Sequence[float] | None = None,
        spread: Sequence[float] | None = None,
        stream_heads: bool = False,
    ) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict(dict(encoders))
        self.fusion = fusion
        self.targets = dict(targets)
        outputs = sum(self.sizes)
        self.head = None if fusion.decides else nn.Linear(fusion.out_dim, outputs)
        self.stream_heads = (
            nn.ModuleDict({name: nn.Linear(encoder.out_dim, outputs) for name, encoder in encoders.items()})
            if stream_heads or fusion.decides
            else None
        )
        self.register_buffer("centre", torch.tensor(list(centre or [0.0] * len(targets)), dtype=torch.float32))
        self.register_buffer("spread", torch.tensor(list(spread or [1.0] * len(targets)), dtype=torch.float32))

    @property
    def sizes(self) -> list[int]:
        """Outputs of each target."""
        return [max(classes, 1) for classes in self.targets.values()]

    def embed(self, batch: Batch) -> dict[str, Tensor]:
        """Stream → (B, D_m) embedding; what stands in the rows of an absent stream means nothing."""
        return {
            name: _apart(encoder, batch.streams[name], batch.source)
            if encoder.apart and encoder.training and not batch.source.all()
            else encoder(batch.streams[name])
            for name, encoder in self.encoders.items()
        }

    def fuse(self, embeddings: Mapping[str, Tensor], present: Tensor, domain: Tensor, source: Tensor) -> Reading:
        """{stream: (B, D_m)}, (B, M) bool, (B,) domain, (B,) bool → all that is read from them."""
        features = self.fusion(embeddings, present)
        if self.transform is not None:
            features = self.transform(features, domain, source)
        shares = self.fusion.shares(embeddings, present)
        streams = None
        if self.stream_heads is not None:
            streams = torch.stack(
                [
                    head(torch.where(present[:, i : i + 1], embeddings[name], 0.0))
                    for i, (name, head) in enumerate(self.stream_heads.items())
                ],
                dim=1,
            )
        if self.head is not None:
            return Reading(features, self.head(features), streams, shares)
        assert streams is not None
        assert shares is not None
        # Every stream learns to decide alone; what the mixture costs teaches its shares only.
        return Reading(features, self._mixed(streams.detach() if self.training else streams, shares), streams, shares)

    def read(self, batch: Batch) -> Reading:
        """All that is read from a batch."""
        return self.fuse(self.embed(batch), batch.present, batch.domain, batch.source)

    def forward(self, batch: Batch) -> Tensor:
        """(B, O) outputs of all targets side by side: logits of classes, standardised values of regressions."""
        return self.read(batch).outputs

    def split(self, outputs: Tensor) -> dict[str, Tensor]:
        """(B, O) → target → its (B, classes) or (B, 1)."""
        return dict(zip(self.targets, torch.split(outputs, self.sizes, dim=-1), strict=True))

    def predictions(self, outputs: Tensor) -> dict[str, Tensor]:
        """(B, O) → target → its (B, classes) probabilities, or (B, 1) values on the native scale."""
        return {
            name: out.softmax(dim=-1) if classes else out * self.spread[i] + self.centre[i]
            for i, ((name, out), classes) in enumerate(
                zip(self.split(outputs).items(), self.targets.values(), strict=True)
            )
        }

    def _mixed(self, streams: Tensor, shares: Tensor) -> Tensor:
        """(B, M, O), (B, M) → (B, O): logarithms of mixed probabilities, mixed values; rows without a stream get an
        even guess, or the mean."""
        parts = []
        for out, classes in zip(self.split(streams).values(), self.targets.values(), strict=True):
            each = out.softmax(dim=-1) if classes else out
            mixed = (shares[..., None] * each).sum(dim=1)
            if classes:
                rest = (1 - shares.sum(dim=1, keepdim=True)).clamp(min=0)
                mixed = (mixed + rest / classes).clamp(min=1e-12).log()
            parts.append(mixed)
        return torch.cat(parts, dim=-1)


def _apart(encoder: nn.Module, x: Tensor, source: Tensor) -> Tensor:
    """(B, D) embeddings of source rows, which go through first, and of target rows."""
    halves = [rows for rows in (source.nonzero()[:, 0], (~source).nonzero()[:, 0]) if len(rows)]
    embedded = torch.cat([encoder(x[rows]) for rows in halves])
    return embedded[torch.cat(halves).argsort()]
