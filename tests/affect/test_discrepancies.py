"""Discrepancy losses: equal to a reference, zero for the same rows, differentiable, mappable, blind to order."""

from collections.abc import Callable
from typing import Any

import numpy as np
import ot
import pytest
import sklearn
import torch
from numpy.typing import NDArray
from skada.deep.losses import deepcoral_loss, mcc_loss
from torch import Tensor

from affect.alignment import CMD, DAN, JAN, MCC, Alignment, AlignmentInput, DeepCORAL, DeepJDOT

sklearn.set_config(enable_metadata_routing=False)  # importing skada turns it on, for everybody

ROWS, DIM, CLASSES = 18, 4, 3
Reference = Callable[[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]], float]


def _input(seed: int = 0, classes: int = CLASSES, rows: int = ROWS) -> AlignmentInput:
    """Two source domains (of different size) and the target, in random order, in float64."""
    generator = torch.Generator().manual_seed(seed)
    domain = torch.tensor([0] * (rows // 3) + [1] * (rows // 6) + [2] * (rows - rows // 3 - rows // 6))
    domain = domain[torch.randperm(rows, generator=generator)]
    features = torch.randn(rows, DIM, generator=generator, dtype=torch.float64) * (1 + 0.5 * domain[:, None])
    label = torch.randint(0, classes or 5, (rows, 1), generator=generator).double()
    label[domain == 2] = torch.nan
    return AlignmentInput(
        features=features,
        logits=torch.randn(rows, max(classes, 1), generator=generator, dtype=torch.float64),
        label=label,
        source=domain < 2,
        domain=domain,
        weight=torch.ones(rows, 1, dtype=torch.float64),
        progress=1.0,
    )


def _make(kind: type[Alignment], classes: int = CLASSES, **arguments: Any) -> Alignment:
    return kind(DIM, (classes,), 3, schedule="constant", **arguments)


def _value(alignment: Alignment, batch: AlignmentInput) -> float:
    return float(alignment(batch)[0].detach())


def _kernel(rows: NDArray[Any], widths: tuple[float, ...]) -> NDArray[Any]:
    """Gaussians around the mean squared distance of different rows, one pair at a time."""
    n = len(rows)
    square = np.array([[float(((a - b) ** 2).sum()) for b in rows] for a in rows])
    scale = square.sum() / (n * (n - 1))
    return np.asarray(sum(np.exp(-square / (width * scale)) for width in widths) / len(widths))


def _mmd(kernel: NDArray[Any], s: NDArray[Any], t: NDArray[Any]) -> float:
    """Pair by pair."""
    total = 0.0
    for rows, columns, sign in ((s, s, 1), (t, t, 1), (s, t, -2)):
        total += sign * sum(kernel[i, j] for i in rows for j in columns) / (len(rows) * len(columns))
    return total


WIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)


def _dan(x: NDArray[Any], z: NDArray[Any], y: NDArray[Any], s: NDArray[Any], t: NDArray[Any]) -> float:
    return _mmd(_kernel(x, WIDTHS), s, t)


def _jan(x: NDArray[Any], z: NDArray[Any], y: NDArray[Any], s: NDArray[Any], t: NDArray[Any]) -> float:
    g = np.exp(z) / np.exp(z).sum(1, keepdims=True) if z.shape[1] > 1 else z
    return _mmd(_kernel(x, WIDTHS) * _kernel(g, (1.0,)), s, t)


def _coral(x: NDArray[Any], z: NDArray[Any], y: NDArray[Any], s: NDArray[Any], t: NDArray[Any]) -> float:
    return float(((np.cov(x[s].T) - np.cov(x[t].T)) ** 2).sum() / (4 * x.shape[1] ** 2))


def _cmd(x: NDArray[Any], z: NDArray[Any], y: NDArray[Any], s: NDArray[Any], t: NDArray[Any]) -> float:
    a, b = np.tanh(x[s]), np.tanh(x[t])
    total = np.linalg.norm(a.mean(0) - b.mean(0)) / 2
    for k in range(2, 6):
        total += np.linalg.norm(((a - a.mean(0)) ** k).mean(0) - ((b - b.mean(0)) ** k).mean(0)) / 2**k
    return float(total)


def _jdot(x: NDArray[Any], z: NDArray[Any], y: NDArray[Any], s: NDArray[Any], t: NDArray[Any]) -> float:
    """The least cost itself, by POT."""
    cost = np.zeros((len(s), len(t)))
    for a, i in enumerate(s):
        for b, j in enumerate(t):
            label = np.log(np.exp(z[j]).sum()) - z[j][int(y[i])] if z.shape[1] > 1 else (y[i] - z[j][0]) ** 2
            cost[a, b] = ((x[i] - x[j]) ** 2).mean() + label
    return float(ot.emd2([], [], cost))


REFERENCES: list[tuple[type[Alignment], Reference]] = [
    (DAN, _dan),
    (JAN, _jan),
    (DeepCORAL, _coral),
    (CMD, _cmd),
    (DeepJDOT, _jdot),
]
DISCREPANCIES = [kind for kind, _ in REFERENCES]


def _numpy(batch: AlignmentInput) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    return batch.features.numpy(), batch.logits.numpy(), batch.label[:, 0].numpy(), batch.domain.numpy()


@pytest.mark.parametrize(("kind", "reference"), REFERENCES)
@pytest.mark.parametrize("classes", [CLASSES, 0])
def test_equals_its_reference_in_a_heap_and_for_every_source_domain(
    kind: type[Alignment], reference: Reference, classes: int
) -> None:
    """Source against target; and the mean of every source person against the target."""
    for seed in range(3):
        batch = _input(seed, classes)
        x, z, y, domain = _numpy(batch)
        people = [np.flatnonzero(domain == k) for k in range(3)]
        heap = reference(x, z, y, np.flatnonzero(domain < 2), people[2])
        assert heap > 1e-3
        assert _value(_make(kind, classes), batch) == pytest.approx(heap, rel=1e-9)
        each = np.mean([reference(x, z, y, people[k], people[2]) for k in range(2)])
        assert abs(each - heap) > 1e-4
        assert _value(_make(kind, classes, between="subjects"), batch) == pytest.approx(each, rel=1e-9)


def test_equals_skada() -> None:
    """Deep CORAL and MCC as skada computes them, on the same rows."""
    batch = _input()
    source, target = batch.features[batch.source], batch.features[~batch.source]
    assert _value(_make(DeepCORAL), batch) == pytest.approx(float(deepcoral_loss(source, target)), rel=1e-6)
    logits = batch.logits[~batch.source]
    for temperature in (1.0, 2.5):
        loss = _value(_make(MCC, temperature=temperature), batch)
        assert loss == pytest.approx(float(mcc_loss(logits, T=temperature, eps=0.0)), rel=1e-9)


@pytest.mark.parametrize("kind", DISCREPANCIES)
@pytest.mark.parametrize("between", ["subjects", "source-target"])
def test_domains_without_two_rows_do_not_count(kind: type[Alignment], between: str) -> None:
    """One row of a source person changes nothing; one target row leaves nothing to compare."""
    batch = _input()
    alignment = _make(kind, between=between)
    if between == "subjects":
        rows = torch.nonzero(batch.domain == 1)[:, 0]
        batch.domain[rows[1:]] = 0
        before = _value(alignment, batch)
        batch.features[rows[0]] += 0.5 * batch.features[rows[0]].norm()
        if kind not in (DAN, JAN):  # their bandwidth is that of the whole batch
            assert _value(alignment, batch) == pytest.approx(before, rel=1e-12)
        batch.features.requires_grad_()
    target = torch.nonzero(batch.domain == 2)[:, 0]
    batch.domain[target[1:]], batch.source[target[1:]] = 0, True
    assert _value(alignment, batch) == 0


@pytest.mark.parametrize("kind", DISCREPANCIES)
def test_zero_for_the_same_rows_and_not_for_others(kind: type[Alignment]) -> None:
    batch = _input(rows=20)
    half = torch.arange(20) < 10
    batch.source, batch.domain = half, torch.where(half, 0, 2)
    batch.features = torch.cat([batch.features[:10], batch.features[:10]])
    batch.logits = 200 * torch.cat([torch.eye(CLASSES).double()[torch.arange(10) % CLASSES]] * 2)
    batch.label = (torch.arange(20) % 10 % CLASSES)[:, None].double()
    assert _value(_make(kind), batch) == pytest.approx(0, abs=1e-12)
    batch.features[10:] *= 2
    assert _value(_make(kind), batch) > 1e-3


@pytest.mark.parametrize("kind", [*DISCREPANCIES, MCC])
def test_gradient_is_the_finite_difference(kind: type[Alignment]) -> None:
    """Of what carries a gradient: bandwidths, plans and the weights of rows do not, and are held here, too."""
    alignment = _make(kind)
    batch = _input(rows=8)
    inputs = [batch.features.requires_grad_(), batch.logits.requires_grad_()]
    gradients = torch.autograd.grad(alignment(batch)[0], inputs, allow_unused=True)
    assert any(g is not None and bool(g.abs().max() > 1e-3) for g in gradients)
    generator = torch.Generator().manual_seed(1)
    for name, gradient in zip(("features", "logits"), gradients, strict=True):
        x = getattr(batch, name).detach()
        way = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        seen = []
        for step in (1e-6, -1e-6):
            setattr(batch, name, x + step * way)
            seen.append(_held(alignment, batch, name, x))
        setattr(batch, name, x)
        expected = 0.0 if gradient is None else float((gradient * way).sum())
        assert (seen[0] - seen[1]) / 2e-6 == pytest.approx(expected, abs=1e-6)


def _held(alignment: Alignment, batch: AlignmentInput, name: str, at: Tensor) -> float:
    """The loss with what is detached computed at `at`: DAN's and JAN's bandwidths, MCC's weights."""
    if not isinstance(alignment, DAN | JAN | MCC):
        return _value(alignment, batch)
    moved, detach, kept = getattr(batch, name), Tensor.detach, []

    def keep(x: Tensor) -> Tensor:
        kept.append(detach(x))
        return kept[-1]

    with pytest.MonkeyPatch.context() as patch:
        setattr(batch, name, at)
        patch.setattr(Tensor, "detach", keep)
        alignment(batch)
        setattr(batch, name, moved)
        patch.setattr(Tensor, "detach", lambda x: kept.pop(0))
        loss = alignment(batch)[0]
    return float(loss.detach())


@pytest.mark.parametrize("kind", [DAN, JAN, DeepCORAL, CMD, MCC])
def test_maps_over_folds(kind: type[Alignment]) -> None:
    """Each fold has its own mask over the same rows; the gradients are those of the folds one by one."""
    alignment, batch = _make(kind), _input()
    folds = torch.stack([batch.source, ~batch.source, torch.arange(ROWS) % 2 == 0])

    def loss(features: Tensor, logits: Tensor, source: Tensor) -> Tensor:
        domain = torch.where(source, 0, 2)
        rows = AlignmentInput(features, logits, batch.label, source, domain, batch.weight, 1.0)
        return alignment(rows)[0]

    both = torch.func.grad(loss, argnums=(0, 1))
    mapped = torch.func.vmap(both, in_dims=(None, None, 0))(batch.features, batch.logits, folds)
    for i, source in enumerate(folds):
        alone = both(batch.features, batch.logits, source)
        torch.testing.assert_close([m[i] for m in mapped], list(alone))


@pytest.mark.parametrize("kind", [*DISCREPANCIES, MCC])
def test_order_of_rows_does_not_matter(kind: type[Alignment]) -> None:
    batch, order = _input(), torch.randperm(ROWS, generator=torch.Generator().manual_seed(2))
    moved = AlignmentInput(
        *(getattr(batch, n)[order] for n in ("features", "logits", "label", "source", "domain", "weight")), progress=1.0
    )
    assert _value(_make(kind), moved) == pytest.approx(_value(_make(kind), batch), rel=1e-12)


@pytest.mark.parametrize("kind", [*DISCREPANCIES, MCC])
def test_strength_follows_the_schedule(kind: type[Alignment]) -> None:
    """λ = weight · (2 / (1 + e^(−10 p)) − 1) times the loss at λ = 1."""
    batch = _input()
    full = _value(_make(kind), batch)
    scheduled = kind(DIM, (CLASSES,), 3, weight=0.5, schedule="paper")  # type: ignore[call-arg]
    for progress in (0.0, 0.2, 1.0):
        batch.progress = progress
        assert _value(scheduled, batch) == pytest.approx(0.5 * (2 / (1 + np.exp(-10 * progress)) - 1) * full)


def test_several_targets_and_what_is_refused() -> None:
    """MCC is the mean over targets with classes; without any it says what to take instead."""
    batch = _input(classes=CLASSES + 1 + 2)
    both = MCC(DIM, (CLASSES, 0, 2), 3)
    logits = batch.logits
    alone = []
    for classes, columns in ((CLASSES, slice(0, CLASSES)), (2, slice(CLASSES + 1, None))):
        batch.logits = logits[:, columns]
        alone.append(_value(MCC(DIM, (classes,), 3), batch))
    batch.logits = logits
    assert _value(both, batch) == pytest.approx(np.mean(alone))
    with pytest.raises(ValueError, match="no target has any"):
        MCC(DIM, (0,), 3)
