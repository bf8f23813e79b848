"""Every network of braindecode as an encoder."""

from collections.abc import Mapping
from difflib import get_close_matches
from importlib.util import find_spec
from inspect import isclass, signature
from typing import Any

import numpy as np
import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from affect.batch import StreamShape
from affect.encoders.base import Encoder, fill
from affect.errors import UserError

GIVEN = ("n_outputs", "n_chans", "n_times", "input_window_seconds", "sfreq", "chs_info")
"""What braindecode's constructors are told by the stream."""


class Braindecode(Encoder):
    """A network of braindecode (Schirrmeister et al., Human Brain Mapping 2017, and its contributors) without its
    classifier.

    Most of these networks hold BatchNorm, as published: in training a window's embedding depends on its batch, later on
    running statistics of the source. Not all can be mapped over folds.

    Args:
        model: a class of braindecode.models, for example ShallowFBCSPNet.
        arguments: of that class, beyond those the stream gives: channels with their standard places where they have
            one, samples and rate.
        out: None: D is what reaches the model's final layer, flattened, which is long where that layer also ends time
            (Deep4Net, BDTCN). A number: the model's own final layer learns to make D of it.

    Raises:
        ValueError: no such model, or one that does not take these windows or arguments.
    """

    reads = "samples"

    def __init__(
        self,
        shape: StreamShape,
        model: str,
        arguments: dict[str, Any] | None = None,
        out: PositiveInt | None = None,
    ) -> None:
        super().__init__(shape)
        kind = _find(model)
        if given := [name for name in arguments or {} if name in GIVEN]:
            raise ValueError(f"arguments {', '.join(given)}: the stream gives them")
        facts: dict[str, Any] = {
            "n_outputs": out or 2,
            "n_chans": len(shape.channels),
            "n_times": shape.length,
            "sfreq": shape.rate,
            "chs_info": _electrodes(shape),
        }
        takes = signature(kind).parameters
        told = f"{model} on {len(shape.channels)} channels, {shape.length} samples at {shape.rate:g} Hz"
        try:
            self.model: Any = kind.from_config({k: v for k, v in facts.items() if k in takes} | (arguments or {}))
            self.asked = _asked(self.model, shape)
            if out is None and not _cut(self.model):
                self.asked["return_features"] = True
            self.out_dim = self._try(shape)
        except Exception as error:  # each model refuses in its own way
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            lost = [c["ch_name"] for c in facts["chs_info"] if not np.isfinite(c["loc"][:3]).all()]
            hint = f"; no standard place is known of {', '.join(lost)}" if lost else ""
            raise ValueError(f"{told}: {reason}{hint}") from error
        if out not in (None, self.out_dim):
            raise ValueError(f"{told} gives {self.out_dim} numbers whatever `out` asks of it: leave `out` out")

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) → (B, D)."""
        found = self.model(x, **self.asked)
        embedding: Tensor = found["features"] if isinstance(found, dict) else found
        return embedding.flatten(1)

    def blocks(self) -> list[nn.Module]:
        """The model's parts, in the order it lists them; the whole, where it has none."""
        return [part for part in self.model.children() if any(True for _ in part.parameters())] or [self.model]

    def fill(self, state: Mapping[str, Tensor], where: str) -> None:
        """Take over weights under this encoder's names, or the model's alone under braindecode's.

        A classifier among the latter is left out; a final layer that makes `out` numbers stays as it is.
        """
        if self.state_dict().keys() & state.keys():
            super().fill(state, where)
        else:
            renamed = {(self.model.mapping or {}).get(name, name): tensor for name, tensor in state.items()}
            body = {name: tensor for name, tensor in renamed.items() if not _final(name)}
            fill(self.model, body | {k: v for k, v in self.model.state_dict().items() if _final(k)}, where)

    def published(self, name: str) -> Mapping[str, Tensor]:
        """Weights on the model hub, by the name of a repository: of braindecode's own, or owner/name.

        Read as tensors. braindecode's own way also imports what a downloaded file names, and lets pass what is missing.
        """
        from huggingface_hub import hf_hub_download
        from safetensors.torch import load_file

        repository = name if "/" in name else f"braindecode/{name}"
        try:
            return load_file(hf_hub_download(repository, "model.safetensors"))
        except Exception as error:  # of the hub, the network or the file, each its own
            reason = f"{type(error).__name__}: {error}".partition("\n")[0]
            raise UserError(
                "weights",
                f"no weights of {repository} from the model hub ({reason[:200]})",
                "a repository with a model.safetensors that can be reached, for example labram-pretrained, or a file",
                "download their file where there is a network, and name the file",
            ) from error

    def _try(self, shape: StreamShape) -> int:
        """D, tried out on noise."""
        noise = torch.randn(2, len(shape.channels), shape.length, generator=torch.Generator().manual_seed(0))
        training = self.model.training
        self.model.eval()
        with torch.no_grad():
            embedding = self(noise)
        self.model.train(training)
        if not embedding.isfinite().all():
            raise ValueError("the embedding is not finite")
        return int(embedding.shape[1])


class _Features(nn.Module):
    """Stands where the classifier stood, and hands on what reached it."""

    def forward(self, features: Tensor, *rest: Any) -> Tensor:
        return features


def _final(name: str) -> bool:
    return name.startswith("final_layer.")


def _find(name: str) -> Any:
    if find_spec("braindecode") is None:
        raise ValueError("the package braindecode is not installed: uv sync --extra braindecode")
    from braindecode import models

    known = {n: kind for n in models.__all__ if isclass(kind := getattr(models, n)) and hasattr(kind, "from_config")}
    del known["EEGModuleMixin"]
    if name not in known:
        by_case = {n.lower(): n for n in known}
        near = [by_case[n] for n in get_close_matches(name.lower(), by_case, 3, 0.5)]
        hint = f"did you mean {' or '.join(near)}?" if near else f"one of {', '.join(sorted(known))}"
        raise ValueError(f"{name!r} is no model of braindecode; {hint}")
    return known[name]


def _electrodes(shape: StreamShape) -> list[dict[str, Any]]:
    """Channels as MNE knows them, with their standard places where they have one."""
    import mne

    from affect.encoders.electrodes import montage

    info = mne.create_info(list(shape.channels), shape.rate, "eeg")
    info.set_montage(montage(), match_case=False, on_missing="ignore", verbose="error")
    channels: list[dict[str, Any]] = info["chs"]
    return channels


def _asked(model: Any, shape: StreamShape) -> dict[str, Any]:
    """What the model wants to be told of every window."""
    return {"ch_names": list(shape.channels)} if "ch_names" in signature(model.forward).parameters else {}


def _cut(model: Any) -> bool:
    """Leave out the classifier; False where the model has none and gives its features on request."""
    final = getattr(model, "final_layer", None)
    if final is not None and not isinstance(final, nn.ModuleList) and any(True for _ in final.parameters()):
        model.final_layer = _Features()
        return True
    ways = [vars(kind)["forward"] for kind in type(model).__mro__ if "forward" in vars(kind)]  # a wrapper hides its own
    if any("return_features" in signature(way).parameters for way in ways):
        return False
    raise ValueError("it has no one final layer to leave out: give `out`")
