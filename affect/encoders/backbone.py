"""What wraps a network of timm shares: the network without its classifier, its published weights, its pictures."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from affect.batch import StreamShape
from affect.encoders.base import Encoder, fill
from affect.errors import UserError


class TimmEncoder(Encoder):
    """An encoder around a network of timm.

    BatchNorm in it keeps its published running statistics, in training too, so that a window's embedding depends on
    that window alone; its scale and shift learn. Without published weights such layers normalise nothing: to train from
    nothing, take a backbone with LayerNorm (convnext, vit).

    Args:
        backbone: a name timm knows, with or without a tag, for example tf_efficientnet_lite0.in1k.
        channels: of the pictures.
        size: pixels of both sides; None: those the backbone was published for.
    """

    reads = "samples"

    def __init__(self, shape: StreamShape, backbone: str, channels: int, size: int | None) -> None:
        super().__init__(shape)
        self.name, self.channels, self.size = backbone, channels, size
        self.backbone = create(backbone, channels, size)
        self.out_dim = width(self.backbone, channels, size)
        self.train()

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        for module in self.backbone.modules():
            if getattr(module, "running_var", None) is not None:
                module.training = False
        return self

    def blocks(self) -> list[nn.Module]:
        """Stem, then stages or layers as timm groups them, each as the list of its parameters; last what is not timm's.

        A backbone that timm does not group falls into its children.
        """
        from timm.models import group_parameters

        named = dict(self.backbone.named_parameters())
        if hasattr(self.backbone, "group_matcher"):
            matcher = self.backbone.group_matcher(coarse=True)
        else:
            children = list(dict.fromkeys(name.partition(".")[0] for name in named))
            matcher = lambda name: children.index(name.partition(".")[0])  # noqa: E731
        groups = group_parameters(self.backbone, matcher).values()
        inner = [nn.ParameterList([named[name] for name in names]) for names in groups]
        return [*inner, *(block for block in super().blocks() if block is not self.backbone)]

    def fill(self, state: Mapping[str, Tensor], where: str) -> None:
        """Take over weights under this encoder's names, or the backbone's alone under timm's, as `adapt` does."""
        if any(name.startswith("backbone.") for name in state):
            super().fill(state, where)
        else:
            self.backbone.load_state_dict(adapt(self.name, state, where, self.channels, self.size))

    def published(self, name: str) -> Mapping[str, Tensor]:
        """Weights timm knows by this name: tf_efficientnet_lite0.in1k; without a tag, those it prefers."""
        if name.partition(".")[0] != self.name.partition(".")[0]:
            raise UserError("weights", f"{name!r}, for {self.name}", "weights of this backbone", "correct either name")
        return fetch(name)


class Prepare(nn.Module):
    """Pictures 0 … 255 as a network of timm takes them: resized, by the mean and deviation it was trained with.

    Args:
        network: of timm.
        size: pixels of both sides; None: those it was published for.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, network: Any, size: int | None = None) -> None:
        super().__init__()
        published = network.pretrained_cfg
        self.size = sides(published["input_size"], size)
        self.register_buffer("mean", torch.tensor(published["mean"])[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(published["std"])[:, None, None], persistent=False)

    def forward(self, pictures: Tensor) -> Tensor:
        """(N, 3, H, W) of any type → (N, 3, size, size) float."""
        return (resize(pictures / 255, self.size) - self.mean) / self.deviation


def resize(pictures: Tensor, size: tuple[int, int]) -> Tensor:
    """(N, C, H, W) → (N, C, *size), bilinear, smoothed where it shrinks."""
    return pictures if pictures.shape[2:] == size else interpolate(pictures, size, mode="bilinear", antialias=True)


def sides(published: tuple[int, int, int], size: int | None) -> tuple[int, int]:
    """(H, W) of the pictures a network is given; `published`: (C, H, W) of those it was published for."""
    return (size, size) if size else (published[1], published[2])


def create(name: str, channels: int = 3, size: int | None = None) -> Any:
    """A network of timm with random weights and without its classifier: (N, channels, H, W) → (N, D).

    Raises:
        ValueError: timm has none of this name; the nearest names are told.
    """
    import timm

    return _without_classifier(timm.create_model(name, **_changed(name, channels, size)))


def width(network: Any, channels: int = 3, size: int | None = None) -> int:
    """D, tried out.

    Raises:
        ValueError: pictures of this size do not pass.
    """
    height, across = sides(network.pretrained_cfg["input_size"], size)
    try:
        with torch.no_grad():
            return int(network.eval()(torch.zeros(1, channels, height, across)).shape[1])
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"pictures of {height} × {across} do not pass through the backbone: {error}") from None


def adapt(
    name: str, state: Mapping[str, Tensor], where: str, channels: int = 3, size: int | None = None
) -> Mapping[str, Tensor]:
    """Published weights, under timm's names, as what `create` makes takes them; a classifier among them is ignored.

    For other channels or another size by timm's own rules: the stem is summed over its input channels, embeddings of
    position are resampled.

    Raises:
        UserError: tensors that are missing, unknown or of another shape than published; a network timm has no such rule
            for.
    """
    import timm

    published = timm.create_model(name)
    whole: dict[str, Tensor] = published.state_dict()
    own: dict[str, Tensor] = _without_classifier(published).state_dict()
    counters = {key: count for key, count in own.items() if key.endswith("num_batches_tracked")}  # often left out
    fill(published, counters | {key: value for key, value in state.items() if key in own or key not in whole}, where)
    if changed := _changed(name, channels, size):
        # `whole` shares its memory with what was just filled; with a classifier in it timm insists on every tensor.
        overlay = {"state_dict": whole, "label_offset": 0}
        try:
            published = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, **changed)
        except RuntimeError as error:
            told = f"weights of {name} that timm cannot fit to {changed}: {str(error).splitlines()[-1].strip()}"
            raise UserError(
                where, told, "pictures as published", "leave `size` out, or take another backbone"
            ) from None
        own = _without_classifier(published).state_dict()
    return own


def fetch(name: str, key: str = "weights") -> Mapping[str, Tensor]:
    """The state of the published network, under timm's names, its classifier included.

    Raises:
        UserError: at `key`; timm has none of this name, or the hub is out of reach.
    """
    import timm

    expected = "a network of timm with published weights that can be reached, or a file of them"
    try:
        _published(name)
    except ValueError as error:
        raise UserError(key, str(error), expected, "correct the name") from None
    try:
        state: dict[str, Tensor] = timm.create_model(name, pretrained=True).state_dict()
        return state
    except Exception as error:  # of the hub, the network or the cache, each its own
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        told = f"no weights of {name} from the model hub ({reason})"
        remedy = "download their file where there is a network, and name the file"
        raise UserError(key, told, expected, remedy) from error


def _published(name: str) -> Any:
    """What timm knows of the published network: size, mean and deviation of its pictures …

    Raises:
        ValueError: it knows none of this name; the nearest names are told.
    """
    import timm

    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        near = get_close_matches(architecture, timm.list_models(), 5, 0.3)
        raise ValueError(f"{name!r} is no network of timm; near it are {', '.join(near) or 'none'}")
    tags = timm.list_pretrained(f"{architecture}.*")
    if tag and name not in tags:
        raise ValueError(f"{name!r} are no weights of timm; of this network it knows {', '.join(tags) or 'none'}")
    return timm.get_pretrained_cfg(name)


def _changed(name: str, channels: int, size: int | None) -> dict[str, Any]:
    """What timm must be told where pictures are not as published; most convolutional networks take any size."""
    published = _published(name)
    changed: dict[str, Any] = {}
    if channels != published.input_size[0]:
        changed["in_chans"] = channels
    if size and published.fixed_input_size and (size, size) != published.input_size[1:]:
        changed["img_size"] = size
    return changed


def _without_classifier(network: Any) -> Any:
    # Built without one, some networks have other layers, and timm loads less strictly.
    network.reset_classifier(0)
    return network
