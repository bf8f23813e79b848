"""Encoders of EEG and peripheral signals: same function, faster; the head's geometry; any rate; all of braindecode."""

import csv
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.nn.functional import avg_pool1d, conv1d, leaky_relu

from affect.batch import StreamShape
from affect.encoders import (
    Braindecode,
    ElectrodeAttention,
    ElectrodeGraph,
    Encoder,
    ResidualNet,
    SpatialFirstEEGNet,
    TemporalCNN,
    TSception,
)
from affect.encoders.eeg import Mixing, TemporalFilter
from affect.encoders.electrodes import mirrored, positions
from affect.errors import UserError
from experiments.components import build
from experiments.config import Component

_CAP = "Fp1 AF3 F3 F7 FC5 FC1 C3 T7 CP5 CP1 P3 P7 PO3 O1 Oz Pz Fp2 AF4 Fz F4 F8 FC6 FC2 Cz C4 T8 CP6 CP2 P4 P8 PO4 O2"
CAP = tuple(_CAP.split())
SAMPLES, FEATURES = StreamShape(CAP, 128, 128.0), StreamShape(CAP, 5, None)
WINDOW, PARTLY = StreamShape(CAP, 256, 128.0), StreamShape(("Fz", "left", "right", "Oz"), 256, 128.0)
PATCHES = StreamShape(CAP[:19], 400, 200.0)  # what networks of 200 Hz patches take
PULSE, SKIN = StreamShape(("bvp",), 512, 128.0), StreamShape(("eda",), 16, 4.0)
OURS: list[tuple[type[Encoder], StreamShape]] = [
    (SpatialFirstEEGNet, SAMPLES),
    (SpatialFirstEEGNet, WINDOW),
    (TSception, SAMPLES),
    (ElectrodeAttention, FEATURES),
    (ElectrodeAttention, SAMPLES),
    (ElectrodeGraph, FEATURES),
    (ResidualNet, PULSE),
    (ResidualNet, SKIN),
    (TemporalCNN, PULSE),
]


def _windows(shape: StreamShape, rows: int = 4) -> Tensor:
    return torch.randn(rows, len(shape.channels), shape.length, generator=torch.Generator().manual_seed(1))


def _braindecode(name: str, shape: StreamShape = WINDOW, **arguments: Any) -> Braindecode:
    torch.manual_seed(0)
    return Braindecode(shape, name, **arguments)


@pytest.mark.parametrize(("kind", "shape"), OURS)
def test_contract(kind: type[Encoder], shape: StreamShape) -> None:
    """Every weight learns and is in one block, no row knows its neighbours, training leaves no statistics."""
    torch.manual_seed(0)
    encoder, x = kind(shape), _windows(shape)
    before = {name: buffer.clone() for name, buffer in encoder.named_buffers()}
    encoder(x).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in encoder.parameters())
    assert all(torch.equal(buffer, before[name]) for name, buffer in encoder.named_buffers())
    assert sorted(id(p) for block in encoder.blocks() for p in block.parameters()) == sorted(
        map(id, encoder.parameters())
    )
    embedding = encoder.eval()(x)
    assert embedding.shape == (4, encoder.out_dim)
    torch.testing.assert_close(encoder(x[1:2])[0], embedding[1], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("kind", "shape"), OURS)
def test_folds_can_be_stacked(kind: type[Encoder], shape: StreamShape) -> None:
    """Two folds as one model: each gets the gradient it would get alone."""
    encoders, x = [kind(shape).eval() for _ in range(2)], _windows(shape)
    parameters, buffers = stack_module_state(encoders)  # type: ignore[arg-type]

    def loss(weights: dict[str, Tensor], fixed: dict[str, Tensor]) -> Tensor:
        value: Tensor = functional_call(encoders[0], (weights, fixed), (x,)).square().mean()
        return value

    stacked = vmap(grad(loss))(parameters, buffers)
    for i, encoder in enumerate(encoders):
        encoder(x).square().mean().backward()
        for name, parameter in encoder.named_parameters():
            torch.testing.assert_close(stacked[name][i], parameter.grad, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("matrix", [True, False])
@pytest.mark.parametrize(("length", "kernel"), [(128, 65), (512, 65), (32, 17), (10, 65), (1, 5), (101, 3), (33, 65)])
def test_both_fast_filters_are_the_convolution(
    length: int, kernel: int, matrix: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values and gradients, on windows shorter than the filter, too."""
    monkeypatch.setattr(TemporalFilter, "longest_matrix", 1000 if matrix else 0)
    fast = TemporalFilter(3, kernel).double()
    x = torch.randn(2, 3, length, dtype=torch.float64, requires_grad=True)
    found, expected = fast(x), nn.Conv1d.forward(fast, x)
    torch.testing.assert_close(found, expected)
    for wrt in (x, fast.weight):
        torch.testing.assert_close(
            *(torch.autograd.grad(y.sin().sum(), wrt, retain_graph=True) for y in (found, expected))
        )


def test_eegnet_is_the_network_of_plain_convolutions() -> None:
    """As before it was made fast: the same state, the same embedding, in half precision's autocast close to it."""
    torch.manual_seed(0)
    encoder, x = SpatialFirstEEGNet(SAMPLES).eval(), _windows(SAMPLES)
    plain = [
        nn.Conv1d(32, 16, 1, bias=False),
        nn.Conv1d(16, 16, 65, padding="same", groups=16, bias=False),
        *(nn.GroupNorm(8, 16), nn.ELU(), nn.AvgPool1d(4), nn.Dropout()),
        nn.Conv1d(16, 16, 17, padding="same", groups=16, bias=False),
        nn.Conv1d(16, 16, 1, bias=False),
        *(nn.GroupNorm(1, 16), nn.ELU(), nn.AvgPool1d(16), nn.Dropout(), nn.Flatten()),
    ]
    network = nn.Sequential(*plain).eval()
    network.load_state_dict({name.removeprefix("layers."): value for name, value in encoder.state_dict().items()})
    torch.testing.assert_close(encoder(x), network(x), atol=1e-5, rtol=1e-4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(encoder(x).float(), network(x).float(), atol=0.1, rtol=0.1)
    mixing = Mixing(32, 16)
    torch.testing.assert_close(mixing(x), nn.Conv1d.forward(mixing, x), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("length", "rate"), [(128, 128.0), (100, 128.0), (13, 128.0), (200, 100.0), (4, 4.0), (500, 250.0)]
)
def test_tsception_over_time_is_three_convolutions(length: int, rate: float) -> None:
    encoder = TSception(StreamShape(CAP, length, rate))
    x = torch.randn(2, 32, length)
    rows = x.flatten(0, 1)[:, None]
    each = torch.cat([conv1d(rows, filters[:, None], padding="same") for filters in encoder.filters], dim=1)
    expected = avg_pool1d(leaky_relu(each), encoder.pool).unflatten(0, (2, 32)).transpose(1, 2)
    found = encoder._over_time(x)
    assert found.abs().max() > 0.1
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    lengths = [filters.shape[1] / rate for filters in encoder.filters]
    assert lengths == pytest.approx([max(s, 3 / rate) for s in (0.5, 0.25, 0.125)], abs=2 / rate)


def test_tsception_knows_left_from_right_by_name() -> None:
    """In whatever order the channels come; the midline is seen by the cap's filters only."""
    assert [(CAP[i], CAP[j]) for i, j in zip(*mirrored(CAP), strict=True)][:3] == [
        ("Fp1", "Fp2"),
        ("AF3", "AF4"),
        ("F3", "F4"),
    ]
    assert mirrored(("fp2", "FT9", "Cz", "FP1", "F7", "ft10", "CPP3h", "CPP4h")) == ([1, 3, 6], [5, 0, 7])
    order = torch.randperm(32, generator=torch.Generator().manual_seed(0)).tolist()
    x, shuffled = _windows(SAMPLES), tuple(CAP[i] for i in order)
    encoder, other = TSception(SAMPLES).eval(), TSception(StreamShape(shuffled, 128, 128.0)).eval()
    assert [(shuffled[i], shuffled[j]) for i, j in zip(other.left, other.right, strict=True)] != []
    state = encoder.state_dict()
    cap = state["cap.weight"].unflatten(1, (-1, 32))[:, :, order].flatten(1, 2)
    pairs = [CAP[i] for i in encoder.left]
    moved = [pairs.index(shuffled[i]) for i in other.left]
    side = state["hemisphere.weight"].unflatten(1, (-1, len(pairs)))[:, :, moved].flatten(1, 2)
    other.load_state_dict(state | {"cap.weight": cap, "hemisphere.weight": side})
    torch.testing.assert_close(other(x[:, order]), encoder(x), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("channels", [("Fz", "Cz", "Pz"), ("F3", "C4"), ("E1", "E2"), ("a", "b")])
def test_tsception_refuses_a_head_without_sides(channels: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=f"no pair of left and right electrodes.*{channels[0]}"):
        TSception(StreamShape(channels, 128, 128.0))


def test_positions_are_where_electrodes_sit() -> None:
    """Right, front and top are positive; old and new names of one place agree; case does not matter."""
    place = positions(("T8", "Fpz", "Cz", "T4", "FP1", "Fp2"))
    torch.testing.assert_close(place.norm(dim=1), torch.ones(6))
    assert (place[[0, 1, 2], [0, 1, 2]] > 0.9).all()
    torch.testing.assert_close(place[0], place[3])
    torch.testing.assert_close(place[4] * torch.tensor([-1, 1, 1]), place[5], atol=0.02, rtol=0)


@pytest.mark.parametrize("kind", [ElectrodeAttention, ElectrodeGraph])
def test_unknown_electrodes_are_named(kind: type[Encoder]) -> None:
    with pytest.raises(
        ValueError, match=r"no standard place is known of E7, left ear: name channels by the 10–5 system"
    ):
        kind(StreamShape(("Cz", "E7", "left ear"), 5, None))


def test_attention_goes_from_one_cap_to_another() -> None:
    """The order of channels does not matter, their places do, and another cap takes the same weights."""
    torch.manual_seed(0)
    encoder, x = ElectrodeAttention(FEATURES).eval(), _windows(FEATURES)
    order = torch.randperm(32, generator=torch.Generator().manual_seed(0))
    for channels, same in ((tuple(CAP[i] for i in order), True), (CAP, False)):
        other = ElectrodeAttention(StreamShape(channels, 5, None)).eval()
        other.fill(encoder.state_dict(), "the first cap")
        assert torch.allclose(other(x[:, order]), encoder(x), atol=1e-5) == same
    small = ElectrodeAttention(StreamShape(("AF3", "F7", "T7", "O1", "O2", "T8", "F8", "AF4"), 5, None))
    small.fill(encoder.state_dict(), "the first cap")
    with pytest.raises(ValueError, match="width 30 cannot be shared by 4 heads"):
        ElectrodeAttention(FEATURES, width=30)


def test_graph_starts_from_distances_and_filters_by_chebyshev_polynomials() -> None:
    torch.manual_seed(0)
    encoder, x = ElectrodeGraph(FEATURES, order=4), _windows(FEATURES)
    start = dict(zip(CAP, encoder.adjacency[CAP.index("O1")].tolist(), strict=True))
    assert start["PO3"] > start["P3"] > start["C3"] > start["Fp1"] > 0 == start["O1"]
    values, vectors = torch.linalg.eigh(encoder.laplacian())
    assert values.abs().max() <= 1 + 1e-5
    terms = [vectors @ torch.cos(k * values.clamp(-1, 1).arccos()).diag() @ vectors.T @ x for k in range(4)]
    seen: list[Tensor] = []
    encoder.filter.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    encoder(x)
    torch.testing.assert_close(seen[0], torch.cat(terms, dim=2), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize(
    ("length", "rate", "channels"),
    [(2, 4.0, 1), (3, 128.0, 2), (240, 4.0, 1), (7680, 128.0, 1), (2800, 700.0, 3), (60, 1.0, 1)],
)
def test_residual_net_takes_any_rate_and_length(length: int, rate: float, channels: int) -> None:
    encoder = ResidualNet(StreamShape(tuple(f"c{i}" for i in range(channels)), length, rate)).eval()
    x = torch.randn(3, channels, length)
    embedding = encoder(x)
    assert embedding.shape == (3, encoder.out_dim)
    for sample in {0, length // 2, length - 1}:  # every sample is seen
        other = x.clone()
        other[0, -1, sample] += 3
        assert not torch.allclose(encoder(other)[0], embedding[0], atol=1e-7)
    with pytest.raises(ValueError, match="no course over time"):
        ResidualNet(StreamShape(("eda",), 1, rate))


def test_temporal_cnn_holds_running_statistics_only_when_asked() -> None:
    shape, x = StreamShape(tuple("abc"), 128, 50.0), torch.randn(8, 3, 128)
    assert TemporalCNN(shape)(x).shape == (8, 128)
    assert not list(TemporalCNN(shape).buffers())
    assert TemporalCNN(StreamShape(("a",), 1, 4.0), width=4)(x[:, :1, :1]).shape == (8, 8)
    asked = TemporalCNN(shape, norm="batch")
    before = asked.eval()(x)
    asked.train()(x)
    assert not torch.allclose(asked.eval()(x), before)


# braindecode ------------------------------------------------------------------------------------------------------

pytest_braindecode = pytest.mark.skipif(find_spec("braindecode") is None, reason="the extra braindecode")
REFUSED = {
    "BENDR": "takes a cap of its own",
    **dict.fromkeys(
        ("EMG2QwertyNet", "MetaNeuromotorHand", "NeuroPose", "SensingDynamics", "VEMG2Pose"), "reads EMG at 2 kHz"
    ),
    **dict.fromkeys(("AttnSleep", "SleepStagerBlanco2020"), "takes longer windows"),
}
NEED_PATCHES = {"CBraMod", "EEGDINO", "InterpolatedLaBraM", "LUNA", "Labram"}
HEADLESS = {"ATCNet", "BDTCN", "SSTDPN"}
LARGE = {  # a second or more each
    *("BrainModule", "CodeBrain", "DANCE", "DeepSleepNet", "EEGInceptionMI", "EEGPT", "InterpolatedBENDR"),
    *("InterpolatedEEGPT", "InterpolatedLaBraM", "STEEGFormer", "ZUNA"),
}


def _models() -> list[str]:
    """The names in braindecode's own table, without importing it."""
    found = find_spec("braindecode")
    if found is None or found.origin is None:
        return []
    with (Path(found.origin).parent / "models" / "summary.csv").open(encoding="utf-8-sig") as file:
        return sorted(row["Model"] for row in csv.DictReader(file))


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] if n in LARGE else []) for n in _models()])
def test_every_model_of_braindecode(name: str) -> None:
    """Builds on 2 s of 32 channels, gives finite numbers and learns; with a final layer, or without."""
    if name == "REVE":
        pytest.skip("fetches places of electrodes from a hub when it is built")
    if name in REFUSED:
        with pytest.raises(ValueError, match=f"{name} on 32 channels, 256 samples at 128 Hz: "):
            _braindecode(name)
        pytest.skip(REFUSED[name])
    shape = PATCHES if name in NEED_PATCHES else WINDOW
    encoder = _braindecode(name, shape, out=6 if name in HEADLESS else None)
    embedding = encoder(_windows(shape, 3))
    assert embedding.shape == (3, encoder.out_dim)
    embedding.square().sum().backward()
    assert any(p.grad is not None and p.grad.any() for p in encoder.parameters())
    assert encoder.blocks()


@pytest_braindecode
def test_braindecode_embeds_before_the_classifier_or_by_it() -> None:
    x = _windows(WINDOW)
    features, projected = _braindecode("EEGNet").eval(), _braindecode("EEGNet", out=10).eval()
    projected.fill(
        {f"model.{k}": v for k, v in (projected.model.state_dict() | features.model.state_dict()).items()}, ""
    )
    layer = projected.model.final_layer
    assert features.out_dim == 16 * 8
    assert projected.out_dim == 10
    torch.testing.assert_close(layer(features(x).view(4, 16, 1, 8)), projected(x))
    other = _braindecode("EEGNet", arguments={"F1": 4, "activation": "torch.nn.ReLU"})
    assert other.out_dim == 8 * 8
    assert any(isinstance(part, nn.ReLU) for part in other.modules())


@pytest_braindecode
def test_braindecode_takes_its_own_names_and_leaves_a_classifier_out() -> None:
    """Those of this encoder, those of the model, and those the model had in earlier releases."""
    encoder, x = _braindecode("ShallowFBCSPNet").eval(), _windows(WINDOW)
    torch.manual_seed(7)
    from braindecode.models import ShallowFBCSPNet

    published = ShallowFBCSPNet(n_chans=32, n_outputs=3, n_times=256).eval()
    state = published.state_dict()
    old = {name.replace("conv_time_spat.", "").replace("final_layer.", ""): value for name, value in state.items()}
    assert old.keys() != state.keys()
    published.final_layer = nn.Identity()
    for given in (state, old, {f"model.{k}": v for k, v in published.state_dict().items()}):
        fresh = _braindecode("ShallowFBCSPNet").eval()
        fresh.fill(given, "there")
        torch.testing.assert_close(fresh(x), published(x).flatten(1))
        assert not torch.allclose(fresh(x), encoder(x))
    learns = _braindecode("ShallowFBCSPNet", out=5)
    before = learns.model.final_layer.conv_classifier.weight.clone()
    learns.fill(state, "there")
    assert torch.equal(learns.model.final_layer.conv_classifier.weight, before)
    assert torch.equal(learns.model.conv_time_spat.conv_time.weight, state["conv_time_spat.conv_time.weight"])
    with pytest.raises(UserError, match=r"1 missing: bnorm\.weight"):
        encoder.fill({name: value for name, value in state.items() if name != "bnorm.weight"}, "there")


@pytest_braindecode
def test_braindecode_reads_what_is_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the hub, as braindecode's own models are saved there; out of reach, it says so."""
    import huggingface_hub
    from braindecode.models import EEGNet

    encoder = _braindecode("EEGNet")
    asked: list[tuple[str, str]] = []
    EEGNet(n_chans=32, n_outputs=3, n_times=256, sfreq=128).save_pretrained(tmp_path)

    def download(repository: str, file: str) -> str:
        asked.append((repository, file))
        return str(tmp_path / file)

    def unreachable(repository: str, file: str) -> str:
        raise OSError("no route to host")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    encoder.fill(encoder.published("some-eegnet"), "some-eegnet")
    encoder.fill(encoder.published("people/some-eegnet"), "some-eegnet")
    assert asked == [("braindecode/some-eegnet", "model.safetensors"), ("people/some-eegnet", "model.safetensors")]
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", unreachable)
    with pytest.raises(UserError, match=r"no weights of braindecode/some-eegnet .*OSError: no route to host"):
        encoder.published("some-eegnet")


@pytest_braindecode
@pytest.mark.parametrize(
    ("init_args", "told"),
    [
        ({"model": "ShallowFBSCPNet"}, "did you mean ShallowFBCSPNet"),
        ({"model": "eegnet"}, "did you mean EEGNet"),
        ({"model": "os"}, "is no model of braindecode; one of ATCNet"),
        ({"model": "EEGNet", "arguments": {"F3": 2}}, "EEGNet on 32 channels, 256 samples at 128 Hz: .*'F3'"),
        ({"model": "EEGNet", "arguments": {"sfreq": 100.0}}, "arguments sfreq: the stream gives them"),
        ({"model": "DGCNN"}, "DGCNN on 4 channels, .*; no standard place is known of left, right"),
        ({"model": "SSTDPN"}, "no one final layer to leave out: give `out`"),
        ({"model": "SignalJEPA", "out": 48}, "gives 2048 numbers whatever `out` asks of it"),
        ({"model": "EEGNet", "out": 0}, "greater than 0"),
    ],
)
def test_braindecode_says_what_is_wrong(init_args: dict[str, Any], told: str) -> None:
    component = Component(class_path="affect.encoders.Braindecode", init_args=init_args)
    with pytest.raises(UserError, match=told):
        build(component, Encoder, "model.encoders.eeg", {"shape": PARTLY if init_args["model"] == "DGCNN" else WINDOW})


def test_braindecode_absent_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("affect.encoders.braindecode.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="the package braindecode is not installed: uv sync --extra braindecode"):
        _braindecode("EEGNet")
