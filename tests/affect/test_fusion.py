"""The fusions: any stream may be missing in any row, and what stands in its place must not matter."""

import importlib
import inspect
import math
import pkgutil
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import affect.fusion
from affect.errors import UserError
from affect.fusion import (
    AttentionBottleneck,
    Concatenation,
    CrossModalAttention,
    Decision,
    Fusion,
    Gated,
    LowRankTensor,
)
from affect.fusion.attention import AttentionLayer
from experiments.components import build
from experiments.config import Component

DIMS = {"eeg": 5, "audio": 3, "face": 4}


def _scored(dims: dict[str, int]) -> Decision:
    fusion = Decision(dims, by="validation")
    fusion.score(torch.arange(1.0, len(dims) + 1))
    return fusion


FUSIONS: dict[str, Callable[[dict[str, int]], Fusion]] = {
    "Concatenation": Concatenation,
    "Decision equal": Decision,
    "Decision learned": lambda dims: Decision(dims, by="learned"),
    "Decision validation": _scored,
    "Gated": lambda dims: Gated(dims, out=8),
    "AttentionBottleneck": lambda dims: AttentionBottleneck(dims, out=8, tokens=2, layers=3, heads=2),
    "LowRankTensor": lambda dims: LowRankTensor(dims, out=8, rank=3),
    "CrossModalAttention": lambda dims: CrossModalAttention(dims, out=8, heads=2),
}
EVERY = pytest.mark.parametrize("make", FUSIONS.values(), ids=FUSIONS)
HAVE_SHARES = ["Decision equal", "Decision learned", "Decision validation", "Gated"]


class Both(nn.Module):
    """A fusion's embedding and its shares side by side, (B, D) or (B, D + M)."""

    def __init__(self, fusion: Fusion) -> None:
        super().__init__()
        self.fusion = fusion

    def forward(self, embeddings: dict[str, Tensor], present: Tensor) -> Tensor:
        fused, shares = self.fusion(embeddings, present), self.fusion.shares(embeddings, present)
        return fused if shares is None else torch.cat([fused, shares], dim=1)


def _made(make: Callable[[dict[str, int]], Fusion], dims: dict[str, int] = DIMS, seed: int = 0) -> Fusion:
    """As after some training: no parameter stands where it began."""
    torch.manual_seed(seed)
    fusion = make(dims)
    with torch.no_grad():
        for parameter in fusion.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return fusion


def _embeddings(rows: int, dims: dict[str, int] = DIMS, seed: int = 1) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(rows, dim, generator=generator) for name, dim in dims.items()}


def _every_mask(streams: int = len(DIMS)) -> Tensor:
    """(2^M, M): each way in which streams can be present, from none to all."""
    return torch.arange(2**streams)[:, None] >> torch.arange(streams) & 1 == 1


def test_every_fusion_is_tested_and_exported() -> None:
    concrete = set()
    for module in pkgutil.iter_modules(affect.fusion.__path__, "affect.fusion."):
        for _, kind in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if issubclass(kind, Fusion) and not inspect.isabstract(kind):
                concrete.add(kind)
    assert concrete == {type(make(DIMS)) for make in FUSIONS.values()}
    assert {kind.__name__ for kind in concrete} | {"Fusion"} == set(affect.fusion.__all__)
    assert all(getattr(affect.fusion, kind.__name__) is kind for kind in concrete)


@EVERY
@pytest.mark.parametrize("dims", [DIMS, {"eeg": 5}], ids=["three streams", "one stream"])
def test_any_mask_gives_a_finite_embedding_of_out_dim(
    make: Callable[[dict[str, int]], Fusion], dims: dict[str, int]
) -> None:
    """Also where every stream is missing; and no NaN arises on the way of the gradient."""
    fusion, present = _made(make, dims), _every_mask(len(dims))
    embeddings = {name: e.requires_grad_() for name, e in _embeddings(len(present), dims).items()}
    with torch.autograd.set_detect_anomaly(True):
        found = Both(fusion)(embeddings, present)
        assert fusion(embeddings, present).shape == (len(present), fusion.out_dim)
        assert found.isfinite().all()
        found.square().sum().backward()
    for leaf in (*embeddings.values(), *fusion.parameters()):
        assert leaf.grad is not None
        assert leaf.grad.isfinite().all()


@EVERY
@pytest.mark.parametrize("wrong", [math.nan, math.inf, 1e30, -1.0])
def test_what_stands_in_a_missing_stream_never_matters(make: Callable[[dict[str, int]], Fusion], wrong: float) -> None:
    """Not one bit of the embedding, the shares, or any gradient."""
    both, present = Both(_made(make)), _every_mask()
    results = []
    for content in (0.0, wrong):
        embeddings = _embeddings(len(present))
        for i, e in enumerate(embeddings.values()):
            e[~present[:, i]] = content
            e.requires_grad_()
        leaves = [*embeddings.values(), *both.parameters()]
        found = both(embeddings, present)
        results.append([found, *torch.autograd.grad(found.square().sum(), leaves)])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    for i, gradient in enumerate(results[0][1 : 1 + len(DIMS)]):
        assert not gradient[~present[:, i]].any()
        assert gradient[present[:, i]].any(dim=1).all()


@EVERY
def test_every_stream_matters_where_it_is_present(make: Callable[[dict[str, int]], Fusion]) -> None:
    """One stream less is another embedding, and so is another content."""
    fusion, present = _made(make), torch.ones(4, len(DIMS), dtype=torch.bool)
    embeddings, others = _embeddings(4), _embeddings(4, seed=2)
    whole = fusion(embeddings, present)
    for i, name in enumerate(DIMS):
        fewer = present.clone()
        fewer[:, i] = False
        for changed in (fusion(embeddings, fewer), fusion(embeddings | {name: others[name]}, present)):
            assert ((changed - whole).abs().amax(dim=1) > 1e-3).all()


@EVERY
def test_rows_and_the_order_of_the_dictionary_do_not_mix(make: Callable[[dict[str, int]], Fusion]) -> None:
    """A row's embedding is its own, wherever in a batch it stands; streams are known by their names."""
    both, present = Both(_made(make)), _every_mask()
    embeddings = _embeddings(len(present))
    found = both(embeddings, present)
    order = torch.randperm(len(present), generator=torch.Generator().manual_seed(0))
    shuffled = both({name: embeddings[name][order] for name in reversed(DIMS)}, present[order])
    torch.testing.assert_close(shuffled, found[order])
    torch.testing.assert_close(both({n: e[5:6] for n, e in embeddings.items()}, present[5:6]), found[5:6])


@pytest.mark.parametrize("name", FUSIONS)
def test_shares_are_of_the_present_streams_and_sum_to_one(name: str) -> None:
    fusion, present = _made(FUSIONS[name]), _every_mask()
    shares = fusion.shares(_embeddings(len(present)), present)
    assert (shares is not None) == (name in HAVE_SHARES)
    assert not fusion.decides or shares is not None
    if shares is not None:
        assert shares.shape == present.shape
        assert (shares[present] > 0).all()
        assert not shares[~present].any()
        torch.testing.assert_close(shares.sum(dim=1), present.any(dim=1).float())


@EVERY
def test_a_gradient_reaches_every_parameter(make: Callable[[dict[str, int]], Fusion]) -> None:
    fusion, present = _made(make), torch.ones(6, len(DIMS), dtype=torch.bool)
    embeddings = _embeddings(6)
    embeddings["eeg"].requires_grad_()  # so that there is a gradient where there are no parameters
    (Both(fusion) if fusion.decides else fusion)(embeddings, present).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in fusion.parameters())


@EVERY
def test_weights_travel_by_state_dict_to_the_bit(make: Callable[[dict[str, int]], Fusion]) -> None:
    first, second, present = _made(make), _made(make, seed=7), _every_mask()
    if isinstance(second, Decision) and second.by == "validation":
        second.score(torch.ones(len(DIMS)))
    embeddings = _embeddings(len(present))
    if first.state_dict():
        assert not torch.equal(Both(first)(embeddings, present), Both(second)(embeddings, present))
    second.load_state_dict(first.state_dict())
    assert torch.equal(Both(first)(embeddings, present), Both(second)(embeddings, present))


@EVERY
def test_stacked_folds_are_the_folds_one_by_one(make: Callable[[dict[str, int]], Fusion]) -> None:
    """Mapped over stacked parameters and masks: the same results, and the same gradients."""
    folds = [Both(_made(make, seed=seed)) for seed in range(3)]
    parameters, buffers = torch.func.stack_module_state(folds)  # type: ignore[arg-type]
    masks = torch.stack([_every_mask(), ~_every_mask(), _every_mask().roll(3, dims=0)])
    embeddings = _embeddings(masks.shape[1])

    def loss(weights: dict[str, Tensor], fixed: dict[str, Tensor], present: Tensor) -> tuple[Tensor, Tensor]:
        found = torch.func.functional_call(folds[0], (weights, fixed), (embeddings, present))
        return found.square().sum(), found

    mapped = torch.func.vmap(torch.func.grad(loss, has_aux=True))
    gradients, found = mapped(parameters, buffers, masks)
    for i, fold in enumerate(folds):
        alone = fold(embeddings, masks[i])
        torch.testing.assert_close(found[i], alone)
        if parameters:
            alone.square().sum().backward()
        for name, parameter in fold.named_parameters():
            torch.testing.assert_close(gradients[name][i], parameter.grad, rtol=1e-4, atol=1e-4)


def test_decisions_of_equal_weight() -> None:
    present = torch.tensor([[True, True, True], [True, False, True], [False, True, False]])
    shares = Decision(DIMS).shares(_embeddings(3), present)
    torch.testing.assert_close(shares, torch.tensor([[1 / 3, 1 / 3, 1 / 3], [0.5, 0, 0.5], [0, 1, 0]]))


def test_decisions_learn_their_weights_from_equal_ones() -> None:
    """A softmax over the present streams: a missing one leaves the ratio of the others as it was."""
    fusion, present = Decision(DIMS, by="learned"), torch.tensor([[True, True, True], [True, False, True]])
    assert torch.equal(fusion.shares({}, present), Decision(DIMS).shares({}, present))
    with torch.no_grad():
        fusion.preference.copy_(torch.tensor([1.0, 2.0, 4.0]).log())
    torch.testing.assert_close(fusion.shares({}, present), torch.tensor([[1 / 7, 2 / 7, 4 / 7], [0.2, 0, 0.8]]))


def test_decisions_weighed_by_validation() -> None:
    """In proportion to the scores of the present streams; equal where they are all at chance, or nothing was scored."""
    fusion = Decision(DIMS, by="validation")
    present = torch.tensor([[True, True, True], [True, True, False], [True, False, False]])
    assert torch.equal(fusion.shares({}, present), Decision(DIMS).shares({}, present))
    fusion.score(torch.tensor([0.0, 0.1, 0.3]))
    torch.testing.assert_close(fusion.shares({}, present), torch.tensor([[0, 0.25, 0.75], [0, 1.0, 0], [1.0, 0, 0]]))
    fusion.score(torch.zeros(3))
    assert torch.equal(fusion.shares({}, present), Decision(DIMS).shares({}, present))


@pytest.mark.parametrize("scores", [[0.1, 0.2], [0.1, -0.2, 0.3], [0.1, math.nan, 0.3]])
def test_scores_that_cannot_weigh_are_refused(scores: list[float]) -> None:
    fusion = Decision(DIMS, by="validation")
    with pytest.raises(ValueError, match="3 finite numbers ≥ 0"):
        fusion.score(torch.tensor(scores))
    assert not fusion.scores.any()


def test_only_decisions_by_validation_take_scores() -> None:
    with pytest.raises(ValueError, match="'learned' take no scores"):
        Decision(DIMS, by="learned").score(torch.ones(3))


def test_two_gates_are_the_papers_z_and_one_minus_z() -> None:
    """Of scores that see both embeddings, and that a third is missing."""
    fusion, embeddings = _made(lambda dims: Gated(dims, out=4)), _embeddings(6)
    present = torch.tensor([[True, True, False]]).expand(6, -1)
    eeg, audio = embeddings["eeg"], embeddings["audio"]
    scores = fusion.score(torch.cat([eeg, audio, torch.zeros(6, DIMS["face"]), present.float()], dim=1))
    z = (scores[:, :4] - scores[:, 4:8]).sigmoid()
    expected = z * fusion.project["eeg"](eeg).tanh() + (1 - z) * fusion.project["audio"](audio).tanh()
    torch.testing.assert_close(fusion(embeddings, present), expected)
    torch.testing.assert_close(fusion.shares(embeddings, present)[:, 0], z.mean(dim=1))


def test_the_low_rank_tensor_is_the_tensor() -> None:
    """The outer product of all [1; e], weighed by the tensor that the factors stand for; a missing e is 0."""
    fusion, present = _made(lambda dims: LowRankTensor(dims, out=2, rank=3)), _every_mask()
    embeddings = _embeddings(len(present))
    extended, factors = [], []
    for i, (name, factor) in enumerate(fusion.factors.items()):
        e = torch.where(present[:, i : i + 1], embeddings[name], 0.0)
        extended.append(torch.cat([torch.ones(len(e), 1), e], dim=1))
        factors.append(torch.cat([factor.bias[:, None], factor.weight], dim=1).unflatten(0, (3, 2)))
    outer = torch.einsum("ba,bc,bd->bacd", *extended)
    weights = torch.einsum("roa,roc,rod->oacd", *factors)
    expected = torch.einsum("bacd,oacd->bo", outer, weights) + fusion.constant
    torch.testing.assert_close(fusion(embeddings, present), expected)


@pytest.mark.parametrize("streams", [1, 3, 8])
def test_the_low_rank_tensor_begins_near_the_scale_of_its_streams(streams: int) -> None:
    """A product of many factors neither dies out nor explodes."""
    torch.manual_seed(0)
    dims = {f"s{i}": 32 for i in range(streams)}
    spread = LowRankTensor(dims)(_embeddings(500, dims), torch.ones(500, streams, dtype=torch.bool)).std()
    assert 0.8 < spread < 1.5


def test_the_attention_layer_is_torchs_own() -> None:
    """Where there is something to look at; torch's gives NaN elsewhere."""
    torch.manual_seed(0)
    ours = AttentionLayer(8, 2)
    theirs = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, activation="gelu", batch_first=True, norm_first=True)
    names = {
        "norm.": "norm1.",
        "query_key_value.": "self_attn.in_proj_",
        "collect.": "self_attn.out_proj.",
        "feed_forward.0.": "norm2.",
        "feed_forward.1.": "linear1.",
        "feed_forward.3.": "linear2.",
    }
    for parameter in ours.parameters():
        nn.init.normal_(parameter)
    state = ours.state_dict()
    theirs.load_state_dict({names[n] + kind: state[n + kind] for n in names for kind in ("weight", "bias")})
    tokens = torch.randn(4, 5, 8)
    torch.testing.assert_close(ours(tokens), theirs(tokens))
    looks_at = torch.rand(4, 5, 5) > 0.5
    looks_at[:, :, 0] = True
    hidden = (~looks_at).repeat_interleave(2, dim=0)
    torch.testing.assert_close(ours(tokens, looks_at), theirs(tokens, src_mask=hidden))
    looks_at[0, 0] = False
    assert ours(tokens, looks_at).isfinite().all()


@pytest.mark.parametrize("name", ["AttentionBottleneck", "CrossModalAttention"])
def test_to_attention_a_missing_stream_is_no_stream(name: str) -> None:
    """A row without it is what the same weights give where this stream was never heard of."""
    fusion, fewer = _made(FUSIONS[name]), FUSIONS[name]({"eeg": 5, "face": 4})
    fewer.load_state_dict({key: tensor for key, tensor in fusion.state_dict().items() if "audio" not in key})
    embeddings, present = _embeddings(4), torch.tensor([[True, False, True]]).expand(4, -1)
    torch.testing.assert_close(fusion(embeddings, present), fewer(embeddings, present[:, [0, 2]]))


def _interaction(fusion: Fusion) -> float:
    """How far eeg and audio are from adding up: f(a, b) − f(a, b′) − f(a′, b) + f(a′, b′)."""
    a, b = _embeddings(4, seed=1), _embeddings(4, seed=2)
    present = torch.tensor([[True, True, False]]).expand(4, -1)
    f = [[fusion(a | {"eeg": x["eeg"], "audio": y["audio"]}, present) for y in (a, b)] for x in (a, b)]
    return float((f[0][0] - f[0][1] - f[1][0] + f[1][1]).detach().abs().max())


def test_streams_hear_of_each_other_through_the_bottleneck_alone() -> None:
    """If in the last of two layers nobody listens to it, streams only add up."""
    fusion = _made(lambda dims: AttentionBottleneck(dims, out=8, tokens=2, layers=2, heads=2))
    assert _interaction(fusion) > 1e-2
    for layer in fusion.layers[-1].values():
        nn.init.zeros_(layer.collect.weight)
    assert _interaction(fusion) < 1e-5


def test_streams_ask_each_other_but_not_themselves() -> None:
    """Without attention streams only add up; alone, a stream has nobody to ask."""
    fusion = _made(FUSIONS["CrossModalAttention"])
    assert _interaction(fusion) > 1e-2
    embeddings, alone = _embeddings(4), torch.tensor([[True, False, False]]).expand(4, -1)
    before = fusion(embeddings, alone)
    nn.init.zeros_(fusion.layer.query_key_value.weight)
    assert torch.equal(fusion(embeddings, alone), before)
    assert _interaction(fusion) < 1e-5


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("CrossModalAttention", {"out": 10}, "multiple of heads = 4"),
        ("AttentionBottleneck", {"heads": 3}, "out = 64"),
        ("AttentionBottleneck", {"layers": 1}, "greater than or equal to 2"),
        ("Decision", {"by": "vote"}, "'equal', 'learned' or 'validation'"),
        ("LowRankTensor", {"rank": 0}, "greater than 0"),
    ],
)
def test_a_config_that_cannot_be_built_says_why(name: str, arguments: dict[str, object], told: str) -> None:
    component = Component(class_path=f"affect.fusion.{name}", init_args=arguments)
    with pytest.raises(UserError, match=told):
        build(component, Fusion, "model.fusion", {"dims": DIMS})
