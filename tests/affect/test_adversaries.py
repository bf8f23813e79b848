"""CDAN, MCD, ADDA and class-weighted DANN: their equations, who is pulled which way, what is refused."""

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from alignment_bench import Bench, translation
from torch import Tensor

from affect.alignment import ADDA, CDAN, DANN, MCD, Alignment, AlignmentInput
from affect.alignment.cdan import RANDOM

ROWS, DIM = 12, 4
WEIGHTED: list[tuple[type[Alignment], dict[str, Any]]] = [(DANN, {"class_weighted": True}), (CDAN, {"entropy": True})]


def _input(classes: tuple[int, ...] = (3,), rows: int = ROWS, dim: int = DIM) -> AlignmentInput:
    """Two source domains and the target, half of the rows, in float64; one source row has no label."""
    generator = torch.Generator().manual_seed(0)
    source = torch.arange(rows) < rows // 2
    label = torch.stack([torch.randint(0, max(c, 2), (rows,), generator=generator) for c in classes], 1).double()
    label[~source] = label[1] = torch.nan
    return AlignmentInput(
        features=torch.randn(rows, dim, generator=generator, dtype=torch.float64),
        logits=torch.randn(rows, sum(max(c, 1) for c in classes), generator=generator, dtype=torch.float64),
        label=label,
        source=source,
        domain=torch.where(source, torch.arange(rows) % 2, 2),
        weight=torch.rand(rows, len(classes), generator=generator, dtype=torch.float64) + 0.5,
        progress=1.0,
    )


def _make(kind: type[Alignment], classes: tuple[int, ...] = (3,), dim: int = DIM, **arguments: Any) -> Alignment:
    torch.manual_seed(0)
    return kind(dim, classes, 3, schedule="constant", **arguments).double()


def _softmax(z: Any) -> Any:
    return np.exp(z) / np.exp(z).sum(axis=-1, keepdims=True)


def _cross_entropy(logits: Tensor, domain: Tensor) -> Any:
    return -np.log(_softmax(logits.detach().numpy()))[np.arange(len(domain)), domain.numpy()]


@pytest.mark.parametrize("entropy", [False, True])
def test_cdan_by_hand(entropy: bool) -> None:
    """The head sees every product f_i g_j; with entropy a row weighs 1 + e^(−H), evenly for source and target."""
    batch, cdan = _input(), _make(CDAN, entropy=entropy)
    f, g = batch.features.numpy(), _softmax(batch.logits.numpy())
    seen = np.array([[f[n, i] * g[n, j] for i in range(DIM) for j in range(3)] for n in range(ROWS)])
    assert isinstance(cdan, CDAN)
    each = _cross_entropy(cdan.head(torch.from_numpy(seen)), (~batch.source).long())
    weight = 1 + np.exp((g * np.log(g)).sum(1)) if entropy else np.ones(ROWS)
    half = ROWS // 2
    expected = (np.average(each[:half], weights=weight[:half]) + np.average(each[half:], weights=weight[half:])) / 2
    loss, numbers = cdan(batch)
    assert float(loss.detach()) == pytest.approx(expected)
    assert numbers["domain_chance"] == 0.5


def test_cdan_with_a_value_sees_features_and_their_product_with_it() -> None:
    batch, cdan = _input((0,)), _make(CDAN, (0,))
    assert isinstance(cdan, CDAN)
    mapped = cdan.map(batch.features, batch.logits).view(ROWS, DIM, 2)
    torch.testing.assert_close(mapped[..., 0], batch.features * batch.logits)
    torch.testing.assert_close(mapped[..., 1], batch.features)
    with pytest.raises(ValueError, match="no target has classes"):
        _make(CDAN, (0,), entropy=True)


def test_cdan_randomised_map_keeps_inner_products() -> None:
    """⟨T(a), T(b)⟩ ≈ ⟨f_a, f_b⟩ ⟨g_a, g_b⟩ where the outer product would be too large."""
    batch = _input((9,), rows=40, dim=600)
    cdan = _make(CDAN, (9,), dim=600)
    assert isinstance(cdan, CDAN)
    assert cdan.randomised
    g = batch.logits.softmax(dim=1)
    mapped = cdan.map(batch.features, g)
    assert mapped.shape == (40, RANDOM)
    exact = (batch.features @ batch.features.T) * (g @ g.T)
    assert np.corrcoef((mapped @ mapped.T).flatten(), exact.flatten())[0, 1] > 0.95
    assert float((mapped**2).sum() / exact.diagonal().sum()) == pytest.approx(1, abs=0.1)
    assert "features_map" in cdan.state_dict()


@pytest.mark.parametrize(("kind", "arguments"), [(DANN, {}), *WEIGHTED])
def test_encoder_is_pushed_against_the_head_by_lambda(kind: type[Alignment], arguments: dict[str, Any]) -> None:
    """The features' gradient is −λ times the finite difference of the domain loss; logits have none."""
    batch, alignment = _input(), _make(kind, weight=0.3, **arguments)
    batch.features.requires_grad_()
    batch.logits.requires_grad_()
    loss, _ = alignment(batch)
    gradient, of_logits = torch.autograd.grad(loss, [batch.features, batch.logits], allow_unused=True)
    assert of_logits is None
    way = torch.randn(ROWS, DIM, dtype=torch.float64)
    up, down = (float(alignment(replace(batch, features=batch.features + h * way))[0].detach()) for h in (1e-6, -1e-6))
    assert abs(up - down) > 1e-11
    assert float((gradient * way).sum()) == pytest.approx(-0.3 * (up - down) / 2e-6, abs=1e-9)


def test_class_weights_are_ratios_of_shares() -> None:
    """Source classes 0, 0, 0, 1 and a target predicted 1:1 → weights 2/3 and 2, mean 1; without a label 1."""
    batch = _input((2,), rows=8)
    batch.label = torch.tensor([0.0, 0, 0, 1] + 4 * [torch.nan])[:, None].double()
    batch.logits = torch.zeros(8, 2, dtype=torch.float64)
    dann = _make(DANN, (2,), between="source-target", class_weighted=True)
    assert isinstance(dann, DANN)
    each = _cross_entropy(dann.head(batch.features), (~batch.source).long())
    weight = np.array([2 / 3, 2 / 3, 2 / 3, 2, 1, 1, 1, 1])
    assert float(dann(batch)[0].detach()) == pytest.approx((each * weight).mean())
    with pytest.raises(ValueError, match="no target has classes"):
        _make(DANN, (0,), class_weighted=True)


def test_mcd_by_hand_and_who_is_pulled_which_way() -> None:
    """L = ½ Σ label losses − d; the heads go up d, the encoder goes down λ d, and both down the label losses."""
    batch, mcd = _input(), _make(MCD, weight=0.3)
    assert isinstance(mcd, MCD)
    label, weight = batch.label[:, 0].numpy(), batch.weight[:, 0].numpy()
    rows = [i for i in range(ROWS // 2) if not np.isnan(label[i])]
    batch.features.requires_grad_()
    loss, numbers = mcd(batch)

    def parts(features: Tensor) -> tuple[Tensor, Tensor]:
        one, other = (head(features).softmax(dim=1) for head in mcd.heads)
        costs = [
            sum(-torch.log(g[i, int(label[i])]) * weight[i] for i in rows) / weight[rows].sum() for g in (one, other)
        ]
        return (costs[0] + costs[1]) / 2, sum(
            ((one[i] - other[i]).abs().sum() / 3 for i in range(ROWS // 2, ROWS)), torch.zeros(())
        ) / (ROWS - ROWS // 2)

    known, apart = parts(batch.features)
    assert float(loss.detach()) == pytest.approx(float((known - apart).detach()))
    assert float(numbers["heads_apart"]) == pytest.approx(float(apart.detach()))
    heads = list(mcd.heads.parameters())
    torch.testing.assert_close(
        torch.autograd.grad(loss, heads, retain_graph=True),
        torch.autograd.grad(known - apart, heads, retain_graph=True),
    )
    (seen,) = torch.autograd.grad(loss, batch.features)
    (expected,) = torch.autograd.grad(known + 0.3 * apart, batch.features)
    torch.testing.assert_close(seen, expected)
    with pytest.raises(ValueError, match="no target has any"):
        _make(MCD, (0,))


@pytest.mark.parametrize(("kind", "arguments"), [*WEIGHTED, (MCD, {})])
@pytest.mark.parametrize("classes", [(3,), (2, 0, 3)])
def test_maps_over_folds_and_ignores_the_order_of_rows(
    kind: type[Alignment], arguments: dict[str, Any], classes: tuple[int, ...]
) -> None:
    """With one target or several; every fold's gradient is what it is alone."""
    batch, alignment = _input(classes), _make(kind, classes, **arguments)
    folds = torch.stack([batch.source, torch.arange(ROWS) < 3, torch.arange(ROWS) % 2 == 0])

    def loss(features: Tensor, source: Tensor) -> Tensor:
        domain = torch.where(source, 0, 2)
        return alignment(replace(batch, features=features, source=source, domain=domain))[0]

    gradient = torch.func.grad(loss)
    mapped = torch.func.vmap(gradient, in_dims=(None, 0))(batch.features, folds)
    for found, source in zip(mapped, folds, strict=True):
        torch.testing.assert_close(found, gradient(batch.features, source))
    order = torch.randperm(ROWS, generator=torch.Generator().manual_seed(1))
    names = ("features", "logits", "label", "source", "domain", "weight")
    moved = replace(batch, **{name: getattr(batch, name)[order] for name in names})
    torch.testing.assert_close(alignment(moved)[0], alignment(batch)[0])


def test_adda_moves_the_encoder_alone_and_by_its_weight() -> None:
    """Heads stay as they are; a network in testing stays so; the smaller the weight, the smaller the step."""
    bench = Bench(translation, seed=0)
    trained = bench.train(None).network.eval()
    moves = []
    for weight in (1.0, 0.01):
        network = copy.deepcopy(trained)
        torch.manual_seed(0)
        ADDA(network.fusion.out_dim, (2,), 3, weight=weight, epochs=1, learning_rate=1e-3).after(network, bench)
        assert not network.training
        pairs = zip(network.named_parameters(), trained.parameters(), strict=True)
        moved = {name: float((after - before).abs().max().detach()) for (name, after), before in pairs}
        assert all((step > 0) == name.startswith("encoders") for name, step in moved.items())
        assert all(parameter.grad is None for parameter in network.parameters())
        moves.append(max(moved.values()))
    assert moves[1] < 0.05 * moves[0]
