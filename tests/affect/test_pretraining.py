"""Self-supervised objectives: their equations, and who takes part."""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

import affect.pretraining
from affect.augmentation import Augmentation, ChannelDrop, Noise, PictureJitter, Scale, TimeMask, TimeShift
from affect.batch import Batch, StreamShape
from affect.encoders import BandMLP, Encoder, SpatialFirstEEGNet
from affect.pretraining import Contrastive, CrossStream, MaskedReconstruction, Objective
from affect.pretraining.contrast import choose, info_nce, nt_xent
from affect.pretraining.masked import Cover, squared_error

EEG = StreamShape(tuple(f"e{i}" for i in range(4)), 64, 32.0)
BANDS = StreamShape(tuple(f"e{i}" for i in range(6)), 4, None)
FACE = StreamShape(("red", "green", "blue"), 2, 5.0, (12, 10))
STILL = StreamShape(("red", "green", "blue"), 1, 0.0, (12, 10))
SHAPES = {"eeg": EEG, "bands": BANDS, "face": FACE}
OBJECTIVES: list[type[Objective]] = [Contrastive, CrossStream, MaskedReconstruction]


class _Pixels(Encoder):
    def __init__(self, shape: StreamShape) -> None:
        super().__init__(shape)
        self.out_dim = 6
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(3 * shape.length * math.prod(shape.size or ()), 6))

    def forward(self, x: Tensor) -> Tensor:
        embedding: Tensor = self.layers(x)
        return embedding


def _encoders() -> dict[str, Encoder]:
    torch.manual_seed(0)
    return {"eeg": SpatialFirstEEGNet(EEG), "bands": BandMLP(BANDS, 16, 8), "face": _Pixels(FACE)}


def _objective(
    kind: Callable[..., Objective],
    encoders: Mapping[str, Encoder],
    augmentations: Mapping[str, Sequence[Augmentation]] | None = None,
    shapes: Mapping[str, StreamShape] = SHAPES,
) -> Objective:
    dims = {name: encoder.out_dim for name, encoder in encoders.items()}
    return kind({name: shapes[name] for name in dims}, dims, augmentations or {})


def _batch(rows: int = 12, seed: int = 0, shapes: Mapping[str, StreamShape] = SHAPES) -> Batch:
    """Rows 1, 2 and 3 each lack a stream; two windows a trial; no labels."""
    generator = torch.Generator().manual_seed(seed)
    present = torch.ones(rows, len(shapes), dtype=torch.bool)
    present[range(1, 4), [i % len(shapes) for i in range(3)]] = False
    streams = {}
    for i, (name, shape) in enumerate(shapes.items()):
        x = torch.randn(rows, len(shape.channels), shape.length, *(shape.size or ()), generator=generator)
        x[~present[:, i]] = 0.0
        streams[name] = x
    row = torch.arange(rows)
    unknown = torch.full((rows, 1), torch.nan)
    return Batch(streams, present, unknown, row < rows, row * 0, torch.zeros(rows, 1), row, row // 2, row // 4)


def _unit(rows: int, seed: int) -> Tensor:
    x = torch.randn(rows, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return nn.functional.normalize(x, dim=1)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def test_nt_xent_is_that_of_the_paper() -> None:
    """Eq. 1 of Chen et al., sum by sum; windows that are not there are neither anchors nor negatives."""
    a, b, here = _unit(6, 0), _unit(6, 1), torch.tensor([True, True, False, True, True, False])
    views = [(i, z) for z in (a, b) for i in range(6) if here[i]]
    losses, hits = [], []
    for n, (i, anchor) in enumerate(views):
        others = [(j, math.exp(float(anchor[i] @ z[j]) / 0.3)) for m, (j, z) in enumerate(views) if m != n]
        ((_, positive),) = [(j, s) for j, s in others if j == i]
        losses.append(-math.log(positive / sum(s for _, s in others)))
        hits.append(float(positive == max(s for _, s in others)))
    found = nt_xent(a, b, here, 0.3)
    assert float(found["choice"]) == pytest.approx(_mean(losses))
    assert float(found["loss"]) == pytest.approx(_mean(losses))
    assert float(found["accuracy"]) == pytest.approx(_mean(hits))
    assert float(found["chance"]) == pytest.approx(1 / (2 * 4 - 1))


def test_info_nce_is_symmetric_and_leaves_the_same_trial_out() -> None:
    a, b, both = _unit(7, 2), _unit(7, 3), torch.tensor([True, True, False, True, True, True, True])
    trial = torch.tensor([0, 0, 0, 1, 1, 2, 3])
    ways = []
    for x, y in ((a, b), (b, a)):
        losses, chances, hits = [], [], []
        for i in range(7):
            if both[i]:
                names = [j for j in range(7) if j == i or (both[j] and trial[j] != trial[i])]
                similar = {j: math.exp(float(x[i] @ y[j]) / 0.2) for j in names}
                losses.append(-math.log(similar[i] / sum(similar.values())))
                hits.append(float(similar[i] == max(similar.values())))
                chances.append(1 / len(names))
        ways.append((_mean(losses), _mean(hits), _mean(chances)))
    found = info_nce(a, b, both, trial, 0.2)
    expected = [_mean(values) for values in zip(*ways, strict=True)]
    assert [float(found[name]) for name in ("choice", "accuracy", "chance")] == pytest.approx(expected)


def test_a_choice_without_alternatives_costs_nothing_and_tells_nothing() -> None:
    logits = torch.randn(3, 3, requires_grad=True)
    number, nobody = torch.arange(3), torch.zeros(3, 3, dtype=torch.bool)
    found = choose(logits, number, nobody, torch.ones(3, dtype=torch.bool))
    found["choice"].backward()
    assert found["choice"] == 0
    assert logits.grad is not None
    assert not logits.grad.any()
    assert all(found[name].isnan() for name in ("loss", "accuracy", "chance"))


def test_every_objective_has_a_row() -> None:
    room = {c for c in vars(affect.pretraining).values() if inspect.isclass(c) and not inspect.isabstract(c)}
    assert set(OBJECTIVES) == {c for c in room if issubclass(c, Objective)}


def _gradients(objective: Objective, encoders: Mapping[str, Encoder], batch: Batch) -> tuple[Tensor, list[Tensor]]:
    torch.manual_seed(5)
    loss, _ = objective(encoders, batch)
    parameters = [*objective.parameters(), *(p for encoder in encoders.values() for p in encoder.parameters())]
    return loss, list(torch.autograd.grad(loss, parameters))


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_contract(kind: type[Objective]) -> None:
    """A finite loss that teaches all that can learn, and scalars for the reader, each beside its chance."""
    encoders = _encoders()
    loss, gradients = _gradients(_objective(kind, encoders), encoders, _batch())
    assert loss.shape == ()
    assert loss.isfinite()
    assert all(g.isfinite().all() for g in gradients)
    assert sum(bool(g.any()) for g in gradients) >= len(gradients) - 1  # a bias before a norm may learn nothing
    _, numbers = _objective(kind, encoders)(encoders, _batch())
    assert all(value.shape == () and not value.requires_grad and value.isfinite() for value in numbers.values())
    of = ["eeg_bands", "eeg_face", "bands_face"] if kind is CrossStream else list(SHAPES)
    kinds = ["loss"] if kind is MaskedReconstruction else ["loss", "accuracy", "chance"]
    assert list(numbers) == [f"{number}_{name}" for name in of for number in kinds]


@pytest.mark.parametrize("kind", OBJECTIVES)
@pytest.mark.parametrize("left_out", [None, "eeg"])
def test_labels_and_what_is_absent_do_not_matter(kind: type[Objective], left_out: str | None) -> None:
    """Nor does a stream of the batch that is not trained."""
    encoders, batch = {name: e for name, e in _encoders().items() if name != left_out}, _batch()
    objective = _objective(kind, encoders)
    loss, gradients = _gradients(objective, encoders, batch)
    streams = {name: x.clone() for name, x in batch.streams.items()}
    for i, x in enumerate(streams.values()):
        x[~batch.present[:, i]] = torch.nan
    if left_out:
        streams[left_out][:] = torch.nan
    rows = len(batch.window)
    told = replace(batch, streams=streams, label=torch.ones(rows, 1), domain=batch.window, weight=torch.ones(rows, 1))
    other_loss, others = _gradients(objective, encoders, told)
    assert torch.equal(other_loss, loss)
    assert all(torch.equal(a, b) for a, b in zip(gradients, others, strict=True))


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_what_is_present_does(kind: type[Objective]) -> None:
    encoders, batch = _encoders(), _batch()
    objective = _objective(kind, encoders)
    loss, _ = _gradients(objective, encoders, batch)
    for name, x in batch.streams.items():
        changed = x.clone()
        changed[7] = -changed[7]
        other = replace(batch, streams={**batch.streams, name: changed})
        assert not torch.equal(_gradients(objective, encoders, other)[0], loss), name


@pytest.mark.parametrize("kind", OBJECTIVES)
@pytest.mark.parametrize("rows", [0, 1])
def test_fewer_than_two_rows_cost_nothing(kind: type[Objective], rows: int) -> None:
    encoders, batch = _encoders(), _batch()
    batch.present = (torch.arange(12) < rows)[:, None].expand(-1, 3)
    loss, gradients = _gradients(_objective(kind, encoders), encoders, batch)
    assert loss == 0
    assert not any(g.any() for g in gradients)
    assert not any(g.isnan().any() for g in gradients)


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_objectives_map_over_folds(kind: type[Objective]) -> None:
    """Several folds as one stacked model, each with its own rows: each gets the gradient it would get alone."""
    batch = _batch()
    masks = torch.stack([batch.present & (torch.arange(12) % 4 != fold)[:, None] for fold in range(3)])
    models = []
    for fold in range(3):
        encoders = _encoders()
        torch.manual_seed(fold)
        objective = _objective(kind, encoders)
        models.append(nn.ModuleDict({**encoders, "objective": objective}).eval())
    parameters, buffers = torch.func.stack_module_state(models)  # type: ignore[arg-type]

    class Whole(nn.Module):
        def __init__(self, parts: nn.ModuleDict) -> None:
            super().__init__()
            self.parts = parts

        def forward(self, present: Tensor) -> Tensor:
            torch.manual_seed(5)
            encoders = {name: self.parts[name] for name in SHAPES}
            loss: Tensor = self.parts["objective"](encoders, replace(batch, present=present))[0]
            return loss

    def loss(weights: dict[str, Tensor], fixed: dict[str, Tensor], present: Tensor) -> Tensor:
        state = {f"parts.{name}": value for name, value in (weights | fixed).items()}
        found: Tensor = torch.func.functional_call(Whole(models[0]), state, (present,))
        return found

    gradients = torch.func.vmap(torch.func.grad(loss), randomness="same")(parameters, buffers, masks)
    for fold, model in enumerate(models):
        Whole(model)(masks[fold]).backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None
            torch.testing.assert_close(gradients[name][fold], parameter.grad, atol=1e-6, rtol=1e-4)


def test_contrastive_has_usual_augmentations_and_takes_given_ones() -> None:
    encoders = _encoders()
    usual = _objective(Contrastive, encoders).augmentations
    assert [type(a) for a in usual["eeg"]] == [TimeShift, Scale, TimeMask, ChannelDrop]
    assert [type(a) for a in usual["bands"]] == [Noise, ChannelDrop]
    assert [type(a) for a in usual["face"]] == [PictureJitter]
    given = _objective(Contrastive, encoders, {"eeg": [TimeMask(0.3), Noise()], "face": []}).augmentations
    assert [type(a) for a in given["eeg"]] == [TimeMask, Noise]
    assert len(given["face"]) == 0
    assert len(given["bands"]) == 2


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_augmentations_are_used_and_misfits_told(kind: type[Objective]) -> None:
    encoders, batch = _encoders(), _batch()
    torch.manual_seed(0)
    plain, _ = _gradients(_objective(kind, encoders, {name: [] for name in SHAPES}), encoders, batch)
    for name in SHAPES:
        torch.manual_seed(0)
        changed = _objective(kind, encoders, {**{other: [] for other in SHAPES}, name: [Scale((3.0, 4.0))]})
        assert not torch.equal(_gradients(changed, encoders, batch)[0], plain), name
    with pytest.raises(ValueError, match=r"augmentations of face: TimeMask takes \(B, C, T\)"):
        _objective(kind, encoders, {"face": [TimeMask()]})
    with pytest.raises(ValueError, match="augmentations of voice; trained streams are eeg, bands, face"):
        _objective(kind, encoders, {"voice": [Noise()]})


def test_cross_stream_needs_two_streams() -> None:
    with pytest.raises(ValueError, match="eeg: CrossStream compares streams and needs two or more"):
        _objective(CrossStream, {"eeg": SpatialFirstEEGNet(EEG)})


def test_cross_stream_has_no_negatives_within_a_trial() -> None:
    encoders, batch = _encoders(), _batch()
    loss, numbers = _objective(CrossStream, encoders)(encoders, replace(batch, trial=batch.trial * 0))
    assert loss == 0
    assert numbers["accuracy_eeg_bands"].isnan()


@pytest.mark.parametrize("shape", [EEG, BANDS, FACE, STILL, StreamShape(("a",), 1000, 100.0)])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_whole_points_are_hidden_in_all_channels(shape: StreamShape, share: float) -> None:
    torch.manual_seed(0)
    cover = Cover(shape, share, spans=16, points=64)
    x = torch.rand(200, len(shape.channels), shape.length, *(shape.size or ())) + 1
    rest, hidden = cover.hide(x)
    zero = rest == 0
    assert torch.equal(rest[~zero], x[~zero])
    as_points = cover.means(zero.float())
    assert ((as_points == 0) | (as_points == 1)).all(), "a point is hidden in part"
    assert torch.equal(as_points[:, 0] == 1, hidden)
    assert torch.equal(as_points, as_points[:, :1].expand_as(as_points))
    assert hidden.any(dim=1).all()
    assert (~hidden).any(dim=1).all(), "nothing is left to look at"
    assert hidden.any(dim=0).all(), "some points are never hidden"
    assert len(hidden.unique(dim=0)) > 5, "rows share a draw"
    if share == 0.5:
        assert hidden.float().mean() == pytest.approx(0.5, abs=0.02)


def test_points_are_means() -> None:
    x = torch.randn(3, 2, 640)
    found = Cover(StreamShape(("a", "b"), 640, 100.0), 0.5, 16, 64).means(x)
    torch.testing.assert_close(found, x.unflatten(2, (64, 10)).mean(dim=3))
    pictures = torch.randn(3, 3, 2, 32, 16)
    found = Cover(StreamShape(("r", "g", "b"), 2, 5.0, (32, 16)), 0.5, 16, 64).means(pictures)
    squares = pictures.unflatten(4, (8, 2)).unflatten(3, (8, 4)).mean(dim=(4, 6))
    torch.testing.assert_close(found, squares.reshape(3, 6, 64))
    features = torch.randn(3, 6, 4)
    torch.testing.assert_close(Cover(BANDS, 0.5, 16, 8).means(features), features.reshape(3, 1, 24))


def test_masked_loss_counts_hidden_points_only() -> None:
    """Against the sum written out; whatever is said of visible points, or of absent rows, costs nothing."""
    torch.manual_seed(0)
    found, wanted = torch.randn(5, 2, 8, requires_grad=True), 3 + 2 * torch.randn(5, 2, 8)
    counts = torch.rand(5, 8) < 0.5
    loss = squared_error(found, wanted, counts) / counts.sum()
    total = 0.0
    for k in range(2):
        hidden = wanted[:, k][counts]
        standard = (hidden - hidden.mean()) / hidden.std(unbiased=False)
        total += float(((found.detach()[:, k][counts] - standard) ** 2).mean()) / 2
    assert float(loss.detach()) == pytest.approx(total, rel=1e-5)
    loss.backward()
    assert found.grad is not None
    assert not found.grad[~counts[:, None].expand_as(found)].any()
    assert found.grad[counts[:, None].expand_as(found)].all()


def test_what_is_hidden_is_not_shown_and_only_that_is_asked() -> None:
    """The decoder is taught at the points whose samples the encoder did not see, in rows that are there."""
    encoders, batch = {"eeg": SpatialFirstEEGNet(EEG)}, _batch(shapes={"eeg": EEG})
    objective = _objective(MaskedReconstruction, encoders)
    shown, said = [], []
    encoders["eeg"].register_forward_pre_hook(lambda module, given: shown.append(given[0]))
    objective.decoders["eeg"].register_forward_hook(lambda module, given, result: said.append(result))
    loss, _ = objective(encoders, batch)
    (taught,) = torch.autograd.grad(loss, said)
    here = batch.present[:, 0, None, None]
    assert torch.equal(taught != 0, (shown[0] == 0) & here)  # 64 samples, 64 points
    assert torch.equal(shown[0][taught == 0], torch.where(here, batch.streams["eeg"], 0.0)[taught == 0])


def test_masked_loss_is_one_for_naming_the_mean_on_any_scale() -> None:
    encoders, batch = {"face": _Pixels(FACE)}, _batch(shapes={"face": FACE})
    batch.streams["face"] = 255 * batch.streams["face"] + 100
    objective = _objective(MaskedReconstruction, encoders)
    for parameter in objective.decoders.parameters():
        nn.init.zeros_(parameter)
    loss, numbers = objective(encoders, batch)
    assert float(loss.detach()) == pytest.approx(1, rel=1e-4)
    assert float(numbers["loss_face"]) == pytest.approx(1, rel=1e-4)


def test_masked_reconstruction_has_its_decoders() -> None:
    encoders = _encoders()
    dims = {name: encoder.out_dim for name, encoder in encoders.items()}
    linear = MaskedReconstruction(SHAPES, dims, {}, hidden=0, points=16)
    sizes = [sum(p.numel() for p in decoder.parameters()) for decoder in linear.decoders.values()]
    assert sizes == [(dims["eeg"] + 1) * 4 * 16, (dims["bands"] + 1) * 24, (dims["face"] + 1) * 6 * 16]
    assert linear(encoders, _batch())[0].isfinite()


def test_one_value_a_window_cannot_be_hidden() -> None:
    shape = StreamShape(("temp",), 1, 0.0)
    with pytest.raises(ValueError, match="temp: one value a window"):
        MaskedReconstruction({"temp": shape}, {"temp": 4}, {})
