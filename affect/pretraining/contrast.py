"""The choice among candidates that contrastive objectives learn from, and the head it is made on."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Projection(nn.Module):
    """A head with one hidden layer, thrown away after pretraining: embeddings → points on the unit sphere.

    Args:
        dim: D of the embedding.
        out: P.
    """

    def __init__(self, dim: int, out: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, out))

    def forward(self, embedding: Tensor) -> Tensor:
        """(B, D) → (B, P), of length 1."""
        return F.normalize(self.layers(embedding), dim=1)


def choose(logits: Tensor, positive: Tensor, candidates: Tensor, takes_part: Tensor) -> dict[str, Tensor]:
    """Cross-entropy of naming the positive among the candidates: InfoNCE (van den Oord et al., arXiv:1807.03748).

    Written without selecting rows, so that it can be mapped over folds.

    Args:
        logits: (N, M) similarity of N anchors and M others, over the temperature.
        positive: (N,) number of the other that belongs to each anchor.
        candidates: (N, M) bool, the others it is chosen from; the positive always is one.
        takes_part: (N,) bool, anchors that count; those without a negative never do.

    Returns:
        Means over the anchors that count. `choice`: the loss, 0 with a gradient where none counts; for the reader,
        NaN where none counts: `loss`, the same; `accuracy`, how often the positive is the most similar; `chance`,
        what guessing gets, 1 / number of candidates.
    """
    candidates = candidates.scatter(1, positive[:, None], True)
    logits = logits.masked_fill(~candidates, -torch.inf)
    number = candidates.sum(dim=1)
    counts = (takes_part & (number > 1)).to(logits.dtype)
    total = counts.sum()
    each = F.cross_entropy(logits, positive, reduction="none")
    summed = (each * counts).sum()
    hit = (logits.detach().argmax(dim=1) == positive).to(logits.dtype)
    return {
        "choice": summed / total.clamp(min=1),
        "loss": summed.detach() / total,
        "accuracy": (hit * counts).sum() / total,
        "chance": (counts / number).sum() / total,
    }


def nt_xent(a: Tensor, b: Tensor, here: Tensor, temperature: float) -> dict[str, Tensor]:
    """The normalised temperature-scaled cross-entropy of Chen et al. (ICML 2020), eq. 1.

    The positive of a view is the other view of the same window; candidates are all other views of the batch.

    Args:
        a, b: (B, P) projections of two views, of length 1.
        here: (B,) bool, windows that are there.

    Returns:
        As `choose`.
    """
    rows = len(a)
    views, there = torch.cat([a, b]), here.repeat(2)
    number = torch.arange(2 * rows, device=a.device)
    candidates = there[None] & (number[:, None] != number)
    return choose(views @ views.T / temperature, (number + rows) % (2 * rows), candidates, there)


def info_nce(a: Tensor, b: Tensor, both: Tensor, group: Tensor, temperature: float) -> dict[str, Tensor]:
    """Symmetric InfoNCE: which b belongs to this a, and which a to this b, as in CLIP (Radford et al., ICML 2021).

    Args:
        a, b: (B, P) projections of two streams, of length 1.
        both: (B,) bool, windows in which both are there.
        group: (B,) windows of the same group are no negatives of each other.

    Returns:
        As `choose`, means over both directions.
    """
    number = torch.arange(len(a), device=a.device)
    candidates = both[None] & (group[:, None] != group)
    logits = a @ b.T / temperature
    forth, back = (choose(way, number, candidates, both) for way in (logits, logits.T))
    return {name: (forth[name] + back[name]) / 2 for name in forth}
