"""Encoders around networks of timm, against timm itself: weights, statistics, refusals."""

import ast
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from encoder_contract import check_contract, check_no_weight_stays_random, check_stacked, firsts
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torchvision.transforms import v2

import affect
from affect.batch import StreamShape
from affect.encoders import TimmFace, TimmSpectrogram
from affect.encoders.face import AttentionPooling
from affect.errors import UserError
from affect.preprocessing import TimmEmbedding
from datamodules.standin.drawn_face import draw_face

FACE = StreamShape(("red", "green", "blue"), 2, 5.0, (48, 48))
MEL = StreamShape(tuple(f"mel{i}" for i in range(20)), 50, 100.0)
TINY = "test_efficientnet"  # of timm, with BatchNorm


def faces(rows: int = 2, frames: int = 2, size: int = 48) -> Tensor:
    """(rows, 3, frames, size, size), 0 … 255: people who smile more and more."""
    drawn = [[draw_face(size, t / frames, 0.0, person) for t in range(frames)] for person in range(rows)]
    return torch.from_numpy(np.array(drawn)).permute(0, 4, 1, 2, 3).float()


def published(name: str = TINY, seed: int = 1) -> Any:
    """A network of timm as it is published, its statistics unlike those of a new one."""
    torch.manual_seed(seed)
    network = timm.create_model(name).eval()
    for key, value in network.state_dict().items():
        if key.endswith("running_mean"):
            value.copy_(0.05 * torch.randn(value.shape))
        elif key.endswith("running_var"):  # small, so that what goes in can be seen in what comes out
            value.copy_(0.05 + 0.05 * torch.rand(value.shape))
    return network


def mel(rows: int = 3) -> Tensor:
    return torch.randn(rows, 20, 50, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "resnet18", "vit_tiny_patch16_224", "convnext_atto"])
def test_contract_of_face(name: str) -> None:
    check_contract(partial(TimmFace, FACE, name, size=64), faces(3))


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_convnext"])
def test_contract_of_spectrogram(name: str) -> None:
    check_contract(partial(TimmSpectrogram, MEL, name, size=64), mel())


def test_contract_of_attention() -> None:
    make = partial(TimmFace, FACE, TINY, "attention", size=64)
    check_contract(make, faces(3))
    check_stacked(make, faces(3))


def test_no_weight_stays_random() -> None:
    check_no_weight_stays_random(TimmFace(FACE, TINY, size=64), published().state_dict())
    check_no_weight_stays_random(TimmSpectrogram(MEL, "test_vit", size=64), published("test_vit").state_dict())


@pytest.mark.parametrize("name", [TINY, "test_resnet"])
@pytest.mark.parametrize("kind", [TimmFace, TimmSpectrogram])
def test_training_keeps_published_statistics(name: str, kind: type[TimmFace] | type[TimmSpectrogram]) -> None:
    """Whether train() was called by it, by what holds it, or not at all; and they are what training uses."""
    make = partial(kind, FACE if kind is TimmFace else MEL, name, size=64)
    encoder, new = make(), make()
    encoder.fill(published(name).state_dict(), "a file")
    before = {k: v.clone() for e in (encoder, new) for k, v in e.named_buffers(str(id(e)))}
    x = faces() if kind is TimmFace else mel()
    as_tested = encoder.eval()(x)
    nn.ModuleList([encoder]).train()
    assert encoder.training
    assert encoder.backbone.training
    assert torch.equal(encoder(x), as_tested)
    assert new.backbone.training  # as it is made
    new(x).sum().backward()
    after = {k: v for e in (encoder, new) for k, v in e.named_buffers(str(id(e)))}
    assert len(after) > 30
    assert all(torch.equal(v, before[k]) for k, v in after.items())


@pytest.mark.parametrize("pooling", ["mean", "attention"])
def test_the_order_of_pictures_does_not_matter(pooling: Any) -> None:
    encoder = TimmFace(FACE, TINY, pooling, size=64).eval()
    x = faces(2, 5)
    order = torch.tensor([3, 0, 4, 2, 1])
    torch.testing.assert_close(encoder(x[:, :, order]), encoder(x), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(encoder(x[:, :, :3]), encoder(x), atol=1e-5)


def test_attention_is_a_mean_with_learned_weights() -> None:
    torch.manual_seed(0)
    pool = AttentionPooling(8)
    x = torch.randn(4, 6, 8)
    weights = pool.weights(x)
    assert weights.shape == (4, 6)
    assert (weights > 0).all()
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(4))
    torch.testing.assert_close(pool(x), (weights[:, :, None] * x).sum(dim=1))
    for layer in (pool.score[0], pool.score[2]):  # sees how large the first number is, and nothing else
        nn.init.zeros_(layer.weight)
    nn.init.constant_(pool.score[0].weight[:, 0], 1.0)
    torch.testing.assert_close(pool(x), x.mean(dim=1))
    nn.init.constant_(pool.score[2].weight, 50.0)
    torch.testing.assert_close(pool(x), x[torch.arange(4), x[:, :, 0].argmax(dim=1)])


@pytest.mark.parametrize("size", [None, 96])
def test_face_is_timms(size: int | None) -> None:
    """Published weights, mean and deviation; the same as the features made of the same network."""
    network = published()
    encoder = TimmFace(FACE, f"{TINY}.r160_in1k", size=size).eval()
    encoder.fill(network.state_dict(), "a file")
    config = timm.data.resolve_model_data_config(network)
    sides = (size, size) if size else config["input_size"][1:]
    prepare = v2.Compose([v2.Resize(sides), v2.Normalize(config["mean"], config["std"])])
    x = faces()
    with torch.inference_mode():
        frames = network.forward_features(prepare(x.transpose(1, 2).flatten(0, 1) / 255))
        expected = network.forward_head(frames, pre_logits=True).unflatten(0, (2, 2)).mean(dim=1)
        assert (expected[0] - expected[1]).abs().max() > 0.1
        torch.testing.assert_close(encoder(x), expected, atol=1e-4, rtol=1e-3)


def test_features_and_encoder_are_the_same_network(tmp_path: Path) -> None:
    path, x = tmp_path / "weights.safetensors", faces()
    save_file(published().state_dict(), path)
    encoder = TimmFace(FACE, TINY).eval()
    encoder.fill(load_file(path), str(path))
    features = TimmEmbedding(TINY, str(path))(x.numpy().astype(np.uint8), FACE)[:, 0]
    np.testing.assert_allclose(features, encoder(x).detach().numpy(), atol=1e-5)


def test_three_channels_are_summed_for_one() -> None:
    """A grey picture through the filled network is that picture in all three channels of the published one."""
    network = published("test_resnet")
    encoder = TimmSpectrogram(MEL, "test_resnet", size=64).eval()
    encoder.fill(network.state_dict(), "a file")
    x = mel()
    grey = torch.nn.functional.interpolate(x[:, None], (64, 64), mode="bilinear", antialias=True)
    with torch.inference_mode():
        expected = network.forward_head(network.forward_features(grey.expand(-1, 3, -1, -1)), pre_logits=True)
        torch.testing.assert_close(encoder(x), expected, atol=1e-3, rtol=1e-3)


def test_positions_are_resampled_for_another_size() -> None:
    network = published("test_vit")
    encoder = TimmSpectrogram(MEL, "test_vit", size=64)
    encoder.fill(network.state_dict(), "a file")
    grid = (64 // 16, 64 // 16)
    expected = timm.layers.resample_abs_pos_embed(network.pos_embed, list(grid), num_prefix_tokens=1)
    torch.testing.assert_close(encoder.backbone.pos_embed, expected)
    assert torch.equal(encoder.backbone.blocks[3].mlp.fc1.weight, network.blocks[3].mlp.fc1.weight)
    with pytest.raises(UserError, match=r"levit.*img_size[\s\S]*leave `size` out"):
        TimmFace(FACE, "levit_128s", size=128).fill(published("levit_128s").state_dict(), "a file")


def test_a_classifier_and_counters_may_lack_or_differ() -> None:
    state = published().state_dict()
    bare = {k: v for k, v in state.items() if not k.startswith("classifier.") and "num_batches" not in k}
    assert len(bare) < len(state) - 2
    other = bare | {"classifier.weight": torch.zeros(7, 3), "classifier.bias": torch.zeros(7)}
    encoders = [TimmFace(FACE, TINY, size=64).eval() for _ in range(3)]
    for encoder, each in zip(encoders, (state, bare, other), strict=True):
        encoder.fill(each, "a file")
    one, two, three = (encoder(faces()) for encoder in encoders)
    assert torch.equal(one, two)
    assert torch.equal(one, three)


def test_another_architecture_is_told_by_its_tensors() -> None:
    with pytest.raises(UserError, match=r"ResNet; \d+ missing: conv1.0.weight.*\d+ unknown: conv_stem.weight"):
        TimmFace(FACE, "test_resnet", size=64).fill(published().state_dict(), "a file")
    coarse = timm.create_model("test_vit", patch_size=32).state_dict()  # timm itself would resample it
    with pytest.raises(UserError, match=r"of another shape: .*patch_embed.proj.weight"):
        TimmFace(FACE, "test_vit", size=64).fill(coarse, "a file")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("tf_eficientnet_lite0", "tf_efficientnet_lite0"),
        ("resnet18.imagenet", "resnet18.a1_in1k"),
        ("hf-hub:timm/resnet18", "no network of timm"),
        ("", "no network of timm"),
    ],
)
def test_unknown_backbones_are_told_with_their_neighbours(name: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        TimmFace(FACE, name)


def test_streams_and_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="no pictures: FaceCrops"):
        TimmFace(MEL)
    with pytest.raises(ValueError, match="LogMel"):
        TimmSpectrogram(FACE)
    with pytest.raises(ValueError, match="8 × 8 do not pass"):
        TimmFace(FACE, "convnext_atto", size=8)


def test_blocks_go_from_input_to_output() -> None:
    found = firsts(TimmFace(FACE, "tf_efficientnet_lite0", "attention", size=32))
    assert found[0] == "backbone.conv_stem.weight"
    assert found[1:-1] == sorted(n for n in found if n.startswith("backbone.blocks."))
    assert found[-1].startswith("pool.")
    found = firsts(TimmSpectrogram(MEL, "test_vit", size=32))
    assert [n.split(".")[1:3] for n in found] == [["cls_token"], *(["blocks", str(i)] for i in range(6))]


def test_published_by_timm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """timm's own way with pretrained weights, its hub replaced by a file."""
    network, path = published(), tmp_path / "hub.safetensors"
    save_file(network.state_dict(), path)
    with monkeypatch.context() as patch:
        patch.setattr(timm, "create_model", partial(timm.create_model, pretrained_cfg_overlay={"file": str(path)}))
        state = TimmFace(FACE, TINY).published(f"{TINY}.r160_in1k")
    expected = network.state_dict()
    assert list(state) == list(expected)
    assert all(torch.equal(value, expected[key]) for key, value in state.items())
    spectrogram = TimmSpectrogram(MEL, TINY)
    spectrogram.fill(state, "timm")
    torch.testing.assert_close(
        spectrogram.backbone.conv_stem.weight, network.conv_stem.weight.sum(dim=1, keepdim=True), atol=1e-6, rtol=1e-5
    )


def test_a_hub_out_of_reach_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*args: object, **kwargs: object) -> None:
        raise LocalEntryNotFoundError("offline\nand much more")  # is also a ValueError

    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", unreachable)
    encoder = TimmFace(FACE, TINY)
    with pytest.raises(UserError, match=r"model hub \(LocalEntryNotFoundError: offline\)[\s\S]*name the file"):
        encoder.published(TINY)
    with pytest.raises(UserError, match=r"resnet18.*for test_efficientnet"):
        encoder.published("resnet18.a1_in1k")
    with pytest.raises(UserError, match=r"no weights of timm; .*test_efficientnet.r160_in1k"):
        encoder.published(f"{TINY}.in21k")


def test_only_who_uses_a_backbone_waits_for_its_import() -> None:
    """timm takes seconds; reading a corpus needs no torch."""
    for room, late in (("encoders", {"timm", "torchaudio"}), ("preprocessing", {"timm", "torch", "affect.encoders"})):
        for path in Path(affect.__path__[0], room).glob("*.py"):
            first = ast.parse(path.read_text(encoding="utf-8")).body
            named = {alias.name for node in first if isinstance(node, ast.Import) for alias in node.names}
            named |= {str(node.module) for node in first if isinstance(node, ast.ImportFrom)}
            assert not {n for n in named for library in late if f"{n}.".startswith(f"{library}.")}, path


@pytest.mark.real
def test_weights_of_imagenet(real_data: Path) -> None:
    """The published file: as timm's own network takes it and as features are made of it."""
    name = "tf_efficientnet_lite0.in1k"
    path = real_data / "weights" / f"{name}.fp16.safetensors"
    state, x = load_file(path), faces(3, 2)
    encoder = TimmFace(FACE, name).eval()
    encoder.fill(state, str(path))
    network = timm.create_model(name).eval()
    network.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})
    config = timm.data.resolve_model_data_config(network)
    prepare = v2.Compose([v2.Resize(config["input_size"][1:]), v2.Normalize(config["mean"], config["std"])])
    with torch.inference_mode():
        frames = network.forward_features(prepare(x.transpose(1, 2).flatten(0, 1) / 255))
        expected = network.forward_head(frames, pre_logits=True).unflatten(0, (3, 2)).mean(dim=1)
        torch.testing.assert_close(encoder(x), expected, atol=1e-4, rtol=1e-3)
        found = TimmEmbedding(name, str(path))(x.numpy().astype(np.uint8), FACE)[:, 0]
        np.testing.assert_allclose(found, expected, atol=1e-4)
    voice = TimmSpectrogram(MEL, name, size=64)
    voice.fill(state, str(path))
    assert voice(mel()).isfinite().all()
