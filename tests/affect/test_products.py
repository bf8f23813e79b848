"""Every encoder × transfer mode × fusion: builds, trains two steps, is saved and is itself again, to the bit."""

import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import affect.encoders
import affect.fusion
import affect.transfer
from affect.batch import Batch, StreamShape
from affect.encoders import BandMLP, Encoder
from affect.fusion import Fusion
from affect.learners.label_loss import label_loss
from affect.learners.network import Network
from affect.transfer import FrozenEncoder, Part, Transfer

CAP = ("Fp1", "F3", "C3", "P3", "O1", "Fp2", "F4", "C4", "P4", "O2")
EEG = StreamShape(CAP, 256, 128.0)
BANDS = StreamShape(CAP, 4, None)
WAVE = StreamShape(("bvp",), 128, 64.0)
MEL = StreamShape(tuple(f"mel{i}" for i in range(32)), 48, 100.0)
VOICE = StreamShape(("mono",), 4000, 16000.0)
FACE = StreamShape(("red", "green", "blue"), 2, 5.0, (32, 32))
SMALL = {
    "encoder_num_layers": 2,
    "encoder_embed_dim": 32,
    "encoder_num_heads": 2,
    "encoder_ff_interm_features": 64,
    "encoder_pos_conv_kernel": 15,
    "encoder_pos_conv_groups": 4,
    "extractor_conv_layer_config": [(32, 10, 5), (32, 3, 2), (32, 3, 2)],
}
ENCODERS = {
    "BandMLP": (BANDS, {}),
    "Braindecode": (EEG, {"model": "ShallowFBCSPNet"}),
    "ElectrodeAttention": (BANDS, {}),
    "ElectrodeGraph": (BANDS, {}),
    "LogMelCNN": (MEL, {"width": 16, "out": 16}),
    "ResidualNet": (WAVE, {"width": 8}),
    "SpatialFirstEEGNet": (EEG, {"virtual": 8}),
    "SpeechTransformer": (VOICE, {"sizes": SMALL}),
    "TSception": (EEG, {}),
    "TemporalCNN": (WAVE, {"width": 8}),
    "TimmFace": (FACE, {"backbone": "test_efficientnet", "size": 32}),
    "TimmSpectrogram": (MEL, {"backbone": "test_convnext", "size": 32}),
}
FUSIONS = {
    "AttentionBottleneck": {"out": 8, "tokens": 2, "heads": 2},
    "Concatenation": {},
    "CrossModalAttention": {"out": 8, "heads": 2},
    "Decision": {"by": "learned"},
    "Gated": {"out": 8},
    "LowRankTensor": {"out": 8, "rank": 2},
}
MODES = {
    "FineTune": {"rate": 0.5},
    "Frozen": {"out": 8},
    "GradualUnfreezing": {},
    "LinearProbe": {},
    "LowRankAdapters": {},
}


def concrete(room: object, base: type) -> set[str]:
    """Names of a room's classes that can be made."""
    found = inspect.getmembers(room, inspect.isclass)
    return {name for name, kind in found if issubclass(kind, base) and not inspect.isabstract(kind)}


def test_no_class_is_without_a_row() -> None:
    assert concrete(affect.encoders, Encoder) == set(ENCODERS)
    assert concrete(affect.fusion, Fusion) == set(FUSIONS)
    assert concrete(affect.transfer, Transfer) == set(MODES)


def build(encoder: str, mode: str, fusion: str) -> tuple[Network, list[Part]]:
    torch.manual_seed(0)
    shape, arguments = ENCODERS[encoder]
    transfer: Transfer = getattr(affect.transfer, mode)(**MODES[mode])
    made = transfer.attach(getattr(affect.encoders, encoder)(shape, **arguments))
    encoders = {"own": made, "beside": BandMLP(StreamShape(("a", "b"), 3, None), hidden=8, out=6)}
    joined = getattr(affect.fusion, fusion)({name: e.out_dim for name, e in encoders.items()}, **FUSIONS[fusion])
    network = Network(encoders, joined, {"emotion": 3}, stream_heads=True)
    return network, [*transfer.parts(made), Part(list(encoders["beside"].parameters()))]


def batch(encoder: str) -> Batch:
    """Four rows, one without the one stream and one without the other."""
    shape, rows = ENCODERS[encoder][0], 4
    own = torch.randn(rows, len(shape.channels), shape.length, *(shape.size or ()))
    return Batch(
        streams={"own": 127 + 50 * own if shape.size else own, "beside": torch.randn(rows, 2, 3)},
        present=torch.tensor([[True, True], [True, False], [False, True], [True, True]]),
        label=torch.tensor([[0.0], [1.0], [2.0], [0.0]]),
        source=torch.ones(rows, dtype=torch.bool),
        domain=torch.zeros(rows, dtype=torch.int64),
        weight=torch.ones(rows, 1),
        window=torch.arange(rows),
        trial=torch.arange(rows),
        subject=torch.arange(rows),
    )


def learned(network: Network) -> Iterator[tuple[str, Tensor]]:
    """Parameters and buffers of the one encoder, by name."""
    for name, tensor in network.encoders["own"].state_dict().items():
        yield name, tensor.clone()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.filterwarnings("ignore")
def test_builds_trains_and_is_itself_again(encoder: str, mode: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    rows = batch(encoder)
    for fusion in FUSIONS:
        network, parts = build(encoder, mode, fusion)
        before = dict(learned(network))
        ours = {id(p) for p in network.encoders.parameters()}
        rest = [p for p in network.parameters() if id(p) not in ours]
        optimizer = torch.optim.AdamW([*rest, *(p for part in parts for p in part.parameters)], lr=1e-2)
        network.train()
        for _ in range(2):
            reading = network.read(rows)
            assert reading.streams is not None
            heads = [label_loss(network, reading.streams[:, i], rows).loss.mean() for i in range(2)]
            (label_loss(network, reading.outputs, rows).loss.mean() + sum(heads)).backward()
            optimizer.step()
            optimizer.zero_grad()
        after = dict(learned(network))
        changed = {name for name in before if not torch.equal(before[name], after[name])}
        if mode in ("Frozen", "LinearProbe"):
            assert not [name for name in changed if name.startswith("encoder.")]
        if mode == "LowRankAdapters":
            assert changed
            assert all(".original" not in name for name in changed)
        if mode in ("FineTune", "GradualUnfreezing"):
            assert changed
        assert all(torch.isfinite(p).all() for p in network.parameters())
        save_file({name: t.contiguous() for name, t in network.state_dict().items()}, tmp_path / "n.safetensors")
        again, _ = build(encoder, mode, fusion)
        again.load_state_dict(load_file(tmp_path / "n.safetensors"))
        network.eval(), again.eval()
        with torch.no_grad():
            assert torch.equal(network(rows), again(rows)), fusion


@pytest.mark.parametrize("mode", ["Frozen", "LinearProbe"])
def test_embeddings_made_beforehand_are_the_encoders_own(mode: str) -> None:
    network, _ = build("BandMLP", mode, "Concatenation")
    network.eval()
    rows = batch("BandMLP")
    frozen = network.encoders["own"]
    assert isinstance(frozen, FrozenEncoder)
    whole = network(rows)
    rows.streams["own"] = frozen.embed(rows.streams["own"])[:, None]
    frozen.embedded = True
    assert torch.equal(network(rows), whole)


def test_unfreezing_goes_from_the_output_to_the_input() -> None:
    encoder = affect.encoders.LogMelCNN(MEL, width=16, out=16)
    parts = affect.transfer.GradualUnfreezing(decay=0.5, until=0.6).parts(encoder)
    assert [part.rate for part in parts] == [0.5**i for i in range(len(parts))]
    assert parts[0].start == 0
    assert parts[-1].start == pytest.approx(0.6)
    assert {id(p) for part in parts for p in part.parameters} == {id(p) for p in encoder.parameters()}
    last = {id(p) for p in encoder.blocks()[-1].parameters()}
    assert {id(p) for p in parts[0].parameters} == last


def test_adapters_change_nothing_at_first_and_need_few_parameters() -> None:
    torch.manual_seed(0)
    encoder = BandMLP(BANDS).eval()
    x = torch.randn(3, 10, 4)
    before, size = encoder(x), sum(p.numel() for p in encoder.parameters())
    mode = affect.transfer.LowRankAdapters(rank=2)
    adapted = mode.attach(encoder)
    torch.testing.assert_close(adapted(x), before)
    assert sum(p.numel() for part in mode.parts(adapted) for p in part.parameters) < size / 4
    with pytest.raises(ValueError, match="no matrix of a rank above 500"):
        affect.transfer.LowRankAdapters(rank=500).attach(BandMLP(BANDS))
