"""Encoders of raw speech around published transformers."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import torch
from pydantic import ConfigDict, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import layer_norm
from typing_extensions import TypedDict

from affect.batch import StreamShape
from affect.encoders.base import Encoder, Share, fill
from affect.errors import UserError


class Sizes(TypedDict, total=False):
    """What may differ from the published network, under torchaudio's names."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]

    extractor_conv_layer_config: list[tuple[PositiveInt, PositiveInt, PositiveInt]]
    """Channels, kernel and stride of each convolution on the waveform."""
    encoder_embed_dim: PositiveInt
    encoder_num_layers: PositiveInt
    encoder_num_heads: PositiveInt
    encoder_ff_interm_features: PositiveInt
    encoder_pos_conv_kernel: PositiveInt
    encoder_pos_conv_groups: PositiveInt


class SpeechTransformer(Encoder):
    """wav2vec 2.0, HuBERT or WavLM (torchaudio) on a waveform; the mean over time of one layer, or of a mix of all.

    Which layer tells emotion best differs between networks; the mix, with one learned weight a layer, finds out (Pepino
    et al., Interspeech 2021). The frames of each layer are standardised first, so that a layer counts as much as its
    weight says, however large its numbers are; networks that end in a norm of their own go without it.

    Takes the waveform as it is, −1 … 1, one channel at the network's rate, 16 kHz. It has no batch statistics.

    Args:
        bundle: of torchaudio.pipelines: WAV2VEC2_BASE, HUBERT_BASE, WAVLM_BASE_PLUS, WAV2VEC2_XLSR_300M …
        layer: 1 … the number of layers; those behind it are left out. None: a mix of all.
        sizes: of a network smaller or larger than the bundle's, for which no weights are published.
        dropout: on the embedding.
    """

    reads = "samples"
    native = True

    def __init__(
        self,
        shape: StreamShape,
        bundle: str = "WAV2VEC2_BASE",
        layer: PositiveInt | None = None,
        sizes: Sizes | None = None,
        dropout: Share = 0.0,
    ) -> None:
        super().__init__(shape)
        found = _bundle(bundle)
        parameters = {**found._params, **(sizes or {}), "aux_num_out": None}  # torchaudio is pinned: its own, private
        _check(shape, found.sample_rate, parameters)
        layers = parameters["encoder_num_layers"]
        if layer is not None and layer > layers:
            raise ValueError(f"layer {layer} of {bundle}, which has {layers}")
        self.out_dim = parameters["encoder_embed_dim"]
        self.standardise = found._normalize_waveform
        self.backbone = _network(found._model_type, parameters)
        whole = set(self.backbone.state_dict())
        transformer = self.backbone.encoder.transformer
        transformer.layers = transformer.layers[:layer]
        if parameters["encoder_layer_norm_first"]:  # its norm stands behind all layers
            transformer.layer_norm = nn.Identity()
        self.left_out = whole - set(self.backbone.state_dict())
        self.mix = nn.Parameter(torch.zeros(layers)) if layer is None else None
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, T) → (B, D)."""
        wave = x[:, 0]
        if self.standardise:
            wave = layer_norm(wave, wave.shape[1:])
        layers, _ = self.backbone.extract_features(wave)
        if self.mix is None:
            mean = _standardised_mean(layers[-1])
        else:
            means = torch.stack([_standardised_mean(frames) for frames in layers], dim=1)  # (B, L, D)
            mean = torch.einsum("l,bld->bd", self.mix.softmax(dim=0), means)
        embedding: Tensor = self.dropout(mean)
        return embedding

    def blocks(self) -> list[nn.Module]:
        """Convolutions on the waveform, projection and position, each layer, the mix."""
        encoder = self.backbone.encoder
        inner = encoder.transformer
        before = nn.ModuleList([encoder.feature_projection, inner.pos_conv_embed, inner.layer_norm])
        mix = [] if self.mix is None else [nn.ParameterList([self.mix])]
        return [self.backbone.feature_extractor, before, *inner.layers, *mix]

    def fill(self, state: Mapping[str, Tensor], where: str) -> None:
        """Take over weights under this encoder's names, or those of torchaudio's model under its own.

        Of the latter, layers that this encoder leaves out and a head (`aux`) are ignored.
        """
        if any(name.startswith("backbone.") for name in state):
            super().fill(state, where)
            return
        named = {_renamed(name): tensor for name, tensor in state.items()}
        kept = {n: t for n, t in named.items() if n not in self.left_out and not n.startswith("aux.")}
        fill(self.backbone, kept, where)

    def published(self, name: str) -> Mapping[str, Tensor]:
        """Weights of torchaudio, by the name of their bundle."""
        expected = "a bundle of torchaudio.pipelines that can be reached, or a file of its weights"
        try:
            found = _bundle(name)
        except ValueError as error:
            raise UserError("weights", str(error), expected, "correct the name") from None
        try:
            state: Mapping[str, Tensor] = found.get_model(dl_kwargs={"weights_only": True}).state_dict()
            return state
        except Exception as error:  # of the network, the cache or the file, each its own
            reason = f"{type(error).__name__}: {error}".partition("\n")[0]
            file = found._path.rpartition("/")[2]
            raise UserError(
                "weights",
                f"{name} cannot be had from where torchaudio publishes it ({reason})",
                expected,
                f"download its {file} where there is a network, and name that file here or put it into "
                f"{torch.hub.get_dir()}/checkpoints",
            ) from error


def _standardised_mean(frames: Tensor) -> Tensor:
    """(B, T, D) → (B, D)."""
    return layer_norm(frames, frames.shape[2:]).mean(dim=1)


def _bundle(name: str) -> Any:
    from torchaudio import pipelines

    known = {key: value for key, value in vars(pipelines).items() if isinstance(value, pipelines.Wav2Vec2Bundle)}
    if name not in known:
        near = get_close_matches(name.upper(), known, 5, 0.3)
        raise ValueError(f"{name!r} is no bundle of torchaudio; near it are {', '.join(near) or 'none'}")
    return known[name]


def _check(shape: StreamShape, rate: float, parameters: Mapping[str, Any]) -> None:
    """Raises a ValueError for a stream or sizes the network cannot be made for."""
    if shape.size is not None:
        raise ValueError("pictures, no waveform")
    if len(shape.channels) != 1 or shape.rate != rate:
        given = f"{len(shape.channels)} channels at {shape.rate} Hz"
        raise ValueError(f"{given}; the network was made for one channel at {rate:g} Hz: mix and resample the stream")
    frames = shape.length
    for _, kernel, stride in parameters["extractor_conv_layer_config"]:
        frames = (frames - kernel) // stride + 1
    if frames < 1:
        raise ValueError(f"windows of {shape.length} samples, too short for one frame: cut longer ones")
    width = parameters["encoder_embed_dim"]
    for part in ("encoder_num_heads", "encoder_pos_conv_groups"):
        if width % parameters[part]:
            raise ValueError(f"encoder_embed_dim {width} is not divisible by {part} {parameters[part]}")


def _network(kind: str, parameters: Mapping[str, Any]) -> Any:
    from torchaudio.models import wav2vec2_model, wavlm_model

    return {"Wav2Vec2": wav2vec2_model, "WavLM": wavlm_model}[kind](**parameters)


def _renamed(name: str) -> str:
    """A published file's name of a tensor → torch's present one."""
    name = name.removeprefix("model.")  # bundles that standardise the waveform wrap their network
    for old, new in (("weight_g", "original0"), ("weight_v", "original1")):
        name = name.replace(f"pos_conv_embed.conv.{old}", f"pos_conv_embed.conv.parametrizations.weight.{new}")
    return name
