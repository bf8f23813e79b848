"""Encoders around the speech transformers of torchaudio, against torchaudio itself."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from encoder_contract import check_contract, check_no_weight_stays_random, check_stacked, firsts
from torch import Tensor
from torch.nn.functional import layer_norm
from torchaudio import pipelines
from torchaudio.models import wav2vec2_model

from affect.batch import StreamShape
from affect.encoders import Encoder, SpeechTransformer
from affect.encoders.speech import Sizes
from affect.errors import UserError
from experiments.components import build
from experiments.config import Component

VOICE = StreamShape(("voice",), 2000, 16000.0)
SMALL: Sizes = {
    "extractor_conv_layer_config": [(32, 10, 5), (32, 3, 2), (32, 3, 2), (32, 3, 2), (32, 2, 2)],
    "encoder_embed_dim": 32,
    "encoder_num_layers": 3,
    "encoder_num_heads": 4,
    "encoder_ff_interm_features": 64,
    "encoder_pos_conv_kernel": 16,
    "encoder_pos_conv_groups": 4,
}


def speech(bundle: str = "WAV2VEC2_BASE", layer: int | None = None) -> SpeechTransformer:
    return SpeechTransformer(VOICE, bundle, layer, SMALL)


def voices(rows: int = 3) -> Tensor:
    return 0.1 * torch.randn(rows, 1, 2000, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("layer", [None, 2])
@pytest.mark.parametrize("bundle", ["WAV2VEC2_BASE", "HUBERT_LARGE", "WAVLM_LARGE"])
def test_contract(bundle: str, layer: int | None) -> None:
    check_contract(partial(speech, bundle, layer), voices())


def test_many_run_as_one() -> None:
    check_stacked(speech, voices())


def test_no_weight_stays_random() -> None:
    check_no_weight_stays_random(speech(), _torchaudio().state_dict())


def test_streams_and_sizes_that_do_not_fit_are_refused() -> None:
    for shape, told in (
        (replace(VOICE, size=(48, 48)), "no waveform"),
        (replace(VOICE, rate=44100.0), r"at 44100.0 Hz; .* 16000 Hz"),
        (replace(VOICE, rate=None), "None Hz"),
        (replace(VOICE, channels=("left", "right")), "2 channels"),
        (replace(VOICE, length=399), "399 samples, too short"),
    ):
        with pytest.raises(ValueError, match=told):
            SpeechTransformer(shape)
    with pytest.raises(ValueError, match=r"layer 4 .* has 3"):
        speech(layer=4)
    with pytest.raises(ValueError, match=r"'HUBERT' is no bundle .*HUBERT_BASE"):
        speech("HUBERT")
    with pytest.raises(ValueError, match="32 is not divisible by encoder_num_heads 5"):
        SpeechTransformer(VOICE, "WAVLM_BASE", sizes=SMALL | {"encoder_num_heads": 5})


def test_blocks_go_from_input_to_output() -> None:
    found = firsts(speech())
    assert found[0].startswith("backbone.feature_extractor.")
    assert found[1].startswith("backbone.encoder.feature_projection.")
    assert [n.split(".")[4] for n in found[2:-1]] == ["0", "1", "2"]
    assert found[-1] == "mix"


def _torchaudio(bundle: str = "WAV2VEC2_BASE", head: int | None = None, seed: int = 3) -> Any:
    torch.manual_seed(seed)
    parameters = getattr(pipelines, bundle)._params | SMALL | {"aux_num_out": head}
    return wav2vec2_model(**parameters).eval()


@pytest.mark.parametrize("layer", [1, 3])
@pytest.mark.parametrize("bundle", ["WAV2VEC2_BASE", "HUBERT_LARGE"])
def test_speech_is_torchaudios(bundle: str, layer: int) -> None:
    """Of the layer asked for, from a published file: a head beside it, the names of older versions, a wrapper's."""
    network = _torchaudio(bundle, head=29)
    state = {}
    for name, tensor in network.state_dict().items():
        name = name.replace("parametrizations.weight.original0", "weight_g")
        name = name.replace("parametrizations.weight.original1", "weight_v")
        state[f"model.{name}" if bundle == "HUBERT_LARGE" else name] = tensor
    assert any(name.endswith("conv.weight_g") for name in state)
    assert any("aux." in name for name in state)
    encoder = speech(bundle, layer).eval()
    encoder.fill(state, "a file")
    x = voices()
    with torch.inference_mode():
        for row in x:  # torchaudio standardises over the whole batch; by itself a row is what its authors meant
            wave = layer_norm(row, row.shape[1:]) if bundle == "HUBERT_LARGE" else row
            frames = network.extract_features(wave)[0][layer - 1]
            expected = layer_norm(frames, (32,)).mean(dim=1)
            torch.testing.assert_close(encoder(row[None]), expected, atol=1e-4, rtol=1e-3)


def test_loudness_is_removed_where_the_network_was_trained_so() -> None:
    for bundle, same in (("HUBERT_LARGE", True), ("WAV2VEC2_BASE", False)):
        encoder = speech(bundle).eval()
        x = voices()
        x[2] *= 20
        quiet = x / torch.tensor([1.0, 5.0, 2.0])[:, None, None]
        assert torch.allclose(encoder(quiet), encoder(x), atol=1e-3) == same


def test_the_mix_starts_even_and_can_be_any_layer() -> None:
    state = _torchaudio().state_dict()
    mixed, alone = speech().eval(), [speech(layer=i).eval() for i in (1, 2, 3)]
    for encoder in (mixed, *alone):
        encoder.fill(state, "a file")
    x = voices()
    each = torch.stack([encoder(x) for encoder in alone])
    torch.testing.assert_close(mixed(x), each.mean(dim=0), atol=1e-5, rtol=1e-4)
    assert mixed.mix is not None
    with torch.no_grad():
        mixed.mix[1] = 50.0
    torch.testing.assert_close(mixed(x), each[1], atol=1e-5, rtol=1e-4)


def test_sizes_are_checked_in_a_config() -> None:
    def made(sizes: Any) -> Encoder:
        part = Component(class_path="affect.encoders.SpeechTransformer", init_args={"sizes": sizes})
        return build(part, Encoder, "model.encoders.audio", {"shape": VOICE})

    assert made(SMALL).out_dim == 32
    for wrong in ({"encoder_layers": 2}, {"encoder_num_layers": 0}, {"extractor_conv_layer_config": [[32, 10]]}):
        with pytest.raises(UserError) as caught:
            made(SMALL | wrong)
        assert caught.value.where.startswith(f"model.encoders.audio.sizes.{next(iter(wrong))}")


def test_published_by_torchaudio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torchaudio's own way, its download replaced by a file where torch keeps downloads; pickles of code do not run."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    kept = tmp_path / "hub" / "checkpoints"
    kept.mkdir(parents=True)
    for name in ("HUBERT_BASE", "HUBERT_LARGE"):
        bundle = getattr(pipelines, name)
        monkeypatch.setattr(pipelines, name, replace(bundle, _params=bundle._params | SMALL))
        network = _torchaudio(name)
        torch.save(network.state_dict(), kept / bundle._path)
        encoder = speech(name)
        encoder.fill(encoder.published(name), name)
        projection = encoder.backbone.encoder.feature_projection.projection
        assert torch.equal(projection.weight, network.encoder.feature_projection.projection.weight)
        (kept / bundle._path).write_bytes(b"cos\nsystem\n(S'touch " + bytes(tmp_path / "ran") + b"'\ntR.")
        with pytest.raises(UserError, match=f"{name} cannot be had"):
            encoder.published(name)
        assert not (tmp_path / "ran").exists()

    def unreachable(*args: object, **kwargs: object) -> None:
        raise ConnectionError("offline")

    monkeypatch.setattr("torch.hub.download_url_to_file", unreachable)
    with pytest.raises(UserError, match=r"WAVLM_BASE cannot.*offline") as caught:
        speech().published("WAVLM_BASE")
    assert "wavlm_base.pth" in caught.value.remedy
    assert str(kept) in caught.value.remedy
    with pytest.raises(UserError, match=r"near it are.*WAVLM_BASE"):
        speech().published("WAVLM")
