"""Shallow alignments: the same map as skada, POT and the closed form, from windows that come in parts."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import ot
import pytest
import scipy.linalg
import sklearn
import torch
from numpy.typing import NDArray
from skada._mapping import CORALAdapter
from skada._subspace import SubspaceAlignmentAdapter
from torch import Tensor

from affect.alignment import CORAL, TCA, Alignment, EuclideanAlignment, OptimalTransport, SubspaceAlignment
from affect.batch import StreamRows
from affect.errors import UserError

sklearn.set_config(enable_metadata_routing=False)  # importing skada turns it on, for everybody

SHAPE = (3, 2)


class Rows:
    """Three source people, the last of whom is held out, and the target (person 3), in mixed order."""

    def __init__(self, seed: int = 0, rows: int = 200, shape: tuple[int, ...] = SHAPE) -> None:
        rng = np.random.default_rng(seed)
        person = rng.permutation(np.arange(rows) % 4)
        mix = rng.normal(size=(4, int(np.prod(shape)), int(np.prod(shape))))
        x = np.einsum("ni,nij->nj", rng.normal(size=(rows, mix.shape[1])), mix[person]) + person[:, None]
        self.x, self.person = torch.from_numpy(x), torch.from_numpy(person)
        self.values = self.x.view(-1, *shape)
        self.source, self.held_out = self.person < 3, self.person == 2

    def chunks(self) -> Iterator[StreamRows]:
        for rows in torch.arange(len(self.x)).split(33):
            yield StreamRows(self.values[rows], self.person[rows], self.source[rows], self.held_out[rows])

    def mapped(self, alignment: Alignment) -> Tensor:
        """(n, C · F)."""
        fitted = alignment.map_stream(self.chunks)
        made = [fitted(c.values, c.person, c.source) for c in self.chunks()]
        for one, chunk in zip(made, self.chunks(), strict=True):
            assert one.shape == chunk.values.shape
            assert one.dtype == chunk.values.dtype
        return torch.cat(made).flatten(1)

    @property
    def fitted(self) -> Tensor:
        """Source rows that statistics are fitted on."""
        return self.source & ~self.held_out


def _make(kind: Callable[..., Alignment], **arguments: Any) -> Alignment:
    return kind(4, (2,), 4, **arguments)


def _skada(adapter: Any, source: NDArray[Any], target: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    x = np.concatenate([source, target])
    domain = np.repeat([1, -2], [len(source), len(target)])
    adapter.fit(x, sample_domain=domain)
    out = adapter.transform(x, sample_domain=domain, allow_source=True)
    return out[: len(source)], out[len(source) :]


def test_coral_is_skadas() -> None:
    """skada centres both sides and divides covariances by n; ours moves the source onto the target's mean."""
    data = Rows()
    out = data.mapped(_make(CORAL, regularisation=1e-12))
    target = data.x[~data.source].numpy()
    source, _ = _skada(CORALAdapter(reg=None), data.x[data.fitted].numpy(), target)
    n, m = int(data.fitted.sum()), len(target)
    source *= np.sqrt((n - 1) / n * m / (m - 1))
    np.testing.assert_allclose(out[data.fitted] - target.mean(0), source, atol=2e-4)
    assert torch.equal(out[~data.source], data.x[~data.source])
    np.testing.assert_allclose(np.cov(out[data.fitted].T), np.cov(target.T), rtol=1e-3, atol=1e-4)
    # Held-out people are mapped as the others are, though nothing was fitted on them.
    matrix = np.linalg.lstsq(data.x[data.fitted] - data.x[data.fitted].mean(0), source, rcond=None)[0]
    held_out = (data.x[data.held_out] - data.x[data.fitted].mean(0)).numpy() @ matrix + target.mean(0)
    np.testing.assert_allclose(out[data.held_out], held_out, atol=1e-3)


def test_coral_with_the_papers_regularisation() -> None:
    """Algorithm 1: (C_s + I)^(−1/2) (C_t + I)^(1/2)."""
    data = Rows(1)
    out = data.mapped(_make(CORAL))
    s, t = data.x[data.fitted].numpy(), data.x[~data.source].numpy()
    root = scipy.linalg.sqrtm
    matrix = np.linalg.inv(root(np.cov(s.T) + np.eye(6))) @ root(np.cov(t.T) + np.eye(6))
    np.testing.assert_allclose(out[data.fitted], (s - s.mean(0)) @ matrix + t.mean(0), atol=1e-4)


@pytest.mark.parametrize("kind", [CORAL, SubspaceAlignment])
def test_people_one_by_one(kind: Callable[..., Alignment]) -> None:
    """`subjects`: what each person gets is what they would get alone, held-out people too."""
    data = Rows(2)
    out = data.mapped(_make(kind, between="subjects"))
    for person in range(3):
        alone = Rows(2)
        keep = (data.person == person) | ~data.source
        alone.x, alone.values, alone.person, alone.source = (
            part[keep] for part in (data.x, data.values, data.person, data.source)
        )
        alone.held_out = torch.zeros_like(alone.source)
        torch.testing.assert_close(out[keep], alone.mapped(_make(kind)))


@pytest.mark.parametrize("components", [2, 4])
def test_subspace_alignment_is_skadas(components: int) -> None:
    """In the target's axes; ours is back in the space of the windows, at the same distances."""
    data = Rows(3)
    out = data.mapped(_make(SubspaceAlignment, components=components)).numpy()
    t = data.x[~data.source].numpy()
    source, target = _skada(SubspaceAlignmentAdapter(components, random_state=0), data.x[data.fitted].numpy(), t)
    _, vectors = np.linalg.eigh(np.cov(t.T))
    axes = vectors[:, ::-1][:, :components]
    sign = np.sign((((t - t.mean(0)) @ axes) * target).sum(0))
    np.testing.assert_allclose((out[data.fitted] - t.mean(0)) @ axes * sign, source, atol=1e-4)
    np.testing.assert_allclose((out[~data.source] - t.mean(0)) @ axes * sign, target, atol=1e-4)
    assert np.linalg.matrix_rank(out[~data.source] - t.mean(0), tol=1e-3) == components


def test_tca_solves_the_papers_problem() -> None:
    """Its components span the leading eigenspace of (K L K + μ I)⁻¹ K H K, from the problem as it stands there."""
    data = Rows(4, 120)
    out = data.mapped(_make(TCA, components=3, penalty=0.5, rows=1000)).numpy()
    assert not out[:, 3:].any()
    used = np.concatenate([np.flatnonzero(data.fitted), np.flatnonzero(~data.source)])
    s = int(data.fitted.sum())
    x, n = data.x.numpy()[used], len(used)
    distance = np.sqrt(((x[:, None] - x[None]) ** 2).sum(-1))
    width = np.sort(distance[np.triu_indices(n, 1)])[(n * (n - 1) // 2 - 1) // 2]  # the lower of two in the middle
    k = np.exp(-(distance**2) / (2 * width**2))
    side = np.r_[np.full(s, 1 / s), np.full(n - s, -1 / (n - s))]
    h = np.eye(n) - 1 / n
    values, vectors = np.linalg.eig(np.linalg.solve(k @ np.outer(side, side) @ k + 0.5 * np.eye(n), k @ h @ k))
    leading = vectors[:, np.argsort(-values.real)[:3]].real
    expected = k @ leading
    expected = (expected - expected.mean(0)) / expected.std(0)
    expected *= np.sign((expected * out[used, :3]).sum(0))
    np.testing.assert_allclose(out[used, :3], expected, atol=1e-3)
    # Windows that were not sampled, here those of the held-out person, go through the kernel.
    row = np.flatnonzero(data.held_out)[0]
    near = np.exp(-((data.x.numpy()[row] - x) ** 2).sum(1) / (2 * width**2))
    raw = k @ leading
    there = (near @ leading - raw.mean(0)) / raw.std(0) * np.sign((expected * (raw - raw.mean(0))).sum(0))
    np.testing.assert_allclose(out[row, :3], there, atol=1e-3)


@pytest.mark.parametrize("regularisation", [0.0, 0.02])
def test_optimal_transport_is_pots(regularisation: float) -> None:
    data = Rows(5)
    out = data.mapped(_make(OptimalTransport, regularisation=regularisation))
    transport = (
        ot.da.SinkhornTransport(reg_e=regularisation, norm="max", tol=1e-6) if regularisation else ot.da.EMDTransport()
    )
    transport.fit(Xs=data.x[data.fitted].numpy(), Xt=data.x[~data.source].numpy())
    np.testing.assert_allclose(out[data.fitted], transport.transform(data.x[data.fitted].numpy()), atol=1e-3)
    np.testing.assert_allclose(out[data.held_out], transport.transform(data.x[data.held_out].numpy()), atol=1e-3)
    assert torch.equal(out[~data.source], data.x[~data.source])


def test_sampled_rows_are_spaced_evenly_and_never_drawn() -> None:
    """A map fitted on few rows depends on no generator, and is near the one of all rows."""
    data = Rows(6, 800)
    torch.manual_seed(0)
    first = data.mapped(_make(OptimalTransport, rows=100))
    state = torch.get_rng_state()
    torch.manual_seed(1)
    assert torch.equal(data.mapped(_make(OptimalTransport, rows=100)), first)
    torch.manual_seed(0)
    assert torch.equal(torch.get_rng_state(), state)
    t = data.x[~data.source]
    before, after = (float((x[data.fitted].mean(0) - t.mean(0)).norm()) for x in (data.x, first))
    assert after < 0.2 * before


def test_euclidean_alignment_whitens_everybody() -> None:
    """The mean covariance of each person's windows becomes the identity, by the symmetric root of the paper."""
    data = Rows(7, 160, (4, 6))
    out = data.mapped(_make(EuclideanAlignment)).view(-1, 4, 6)
    for person in range(4):
        own, new = data.values[data.person == person], out[data.person == person]
        r = (own @ own.mT / 6).mean(0).numpy()
        root = scipy.linalg.inv(scipy.linalg.sqrtm(r))
        np.testing.assert_allclose(new, root @ own.numpy(), atol=1e-4)
        np.testing.assert_allclose((new @ new.mT / 6).mean(0), np.eye(4), atol=1e-4)


def test_a_flat_channel_stays_flat() -> None:
    data = Rows(8, 160, (4, 6))
    data.values[:, 2] = 0.0
    out = data.mapped(_make(EuclideanAlignment)).view(-1, 4, 6)
    assert out.isfinite().all()
    assert out[:, 2].abs().max() < 1e-6


def test_refusals() -> None:
    data = Rows()
    data.source = torch.ones_like(data.source)
    for kind in (CORAL, SubspaceAlignment, OptimalTransport, TCA):
        with pytest.raises(UserError, match="no unlabelled window of the target"):
            _make(kind).map_stream(data.chunks)
    large = Rows(0, 8, (2, 8))
    large.values = torch.zeros(8, 64, 65)
    for kind in (CORAL, SubspaceAlignment, OptimalTransport, TCA):
        with pytest.raises(UserError, match="EuclideanAlignment"):
            _make(kind).map_stream(large.chunks)
    stranger = _make(EuclideanAlignment).map_stream(Rows().chunks)
    with pytest.raises(UserError, match="person number 9"):
        stranger(torch.zeros(1, *SHAPE), torch.tensor([9]), torch.tensor([False]))
    with pytest.raises(ValueError, match="0 or 1"):
        _make(TCA, weight=0.5)
    for kind in (CORAL, SubspaceAlignment, OptimalTransport, EuclideanAlignment):
        with pytest.raises(ValueError, match="weight 2"):
            _make(kind, weight=2.0)
