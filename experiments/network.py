"""The model section of a config, and what a method changes of it → a network with its weights."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from affect.alignment import Alignment
from affect.augmentation import Augmentation
from affect.batch import StreamShape
from affect.classical import Classical
from affect.encoders import Encoder
from affect.errors import UserError
from affect.fusion import Fusion
from affect.learners.network import Network
from affect.pretraining import Objective
from affect.transfer import Part, Transfer
from affect.transfer import weights as saved
from affect.transfer.card import beside
from affect.transfer.weights import Weights
from datamodules.protocols import Fold
from datamodules.targets import Target
from datamodules.windows import WindowSet
from experiments.components import build, find
from experiments.config import Component, Experiment
from experiments.config import Transfer as TransferConfig


@dataclass(frozen=True)
class Built:
    """A network, and what of its encoders learns."""

    network: Network
    parts: list[Part]


def streams_of(experiment: Experiment, method: str) -> list[str]:
    """The streams a method looks at, in the order of data.streams."""
    chosen = experiment.methods[method].streams
    return [name for name in experiment.data.streams if chosen is None or name in chosen]


def transfer_of(experiment: Experiment, method: str) -> dict[str, tuple[str, TransferConfig]]:
    """Stream → key and section of how its encoder begins and goes on."""
    own, shared = experiment.methods[method].transfer, experiment.model.transfer
    return {
        name: (f"methods.{method}.transfer.{name}", own[name])
        if name in own
        else (f"model.transfer.{name}", shared.get(name, TransferConfig()))
        for name in streams_of(experiment, method)
    }


def native_streams(experiment: Experiment, method: str) -> list[str]:
    """Those whose encoders take them in their own unit."""
    encoders = experiment.model.encoders
    return [n for n in streams_of(experiment, method) if find(encoders[n], Encoder, f"model.encoders.{n}").native]


def build_encoders(
    experiment: Experiment, method: str, shapes: Mapping[str, StreamShape], weights: Mapping[str, Weights]
) -> dict[str, Encoder]:
    """The encoders of a method's streams, not yet attached; without weights they are torch's global generator's."""
    encoders = {}
    for name, (key, _) in transfer_of(experiment, method).items():
        component = experiment.model.encoders[name]
        encoder = build(component, Encoder, f"model.encoders.{name}", {"shape": shapes[name]})
        if name in weights:
            found = weights[name]
            _check_card(found, component, shapes[name], f"{key}.weights")
            state = saved.read(found, encoder, f"{key}.weights")
            if found.card is None and set(state) == set(encoder.state_dict()):
                raise UserError(
                    f"{key}.weights",
                    f"{found.file}, an encoder of ours without its card",
                    "a card beside it that says whose recordings made it",
                    f"copy {beside(found.file).name if found.file else 'it'} along with the weights",
                )
            encoder.fill(state, str(found.file or f"{key}.weights"))
        encoders[name] = encoder
    return encoders


def build_network(
    experiment: Experiment,
    method: str,
    shapes: Mapping[str, StreamShape],
    targets: Sequence[Target],
    weights: Mapping[str, Weights],
    centre: Sequence[float] | None = None,
    spread: Sequence[float] | None = None,
) -> Built:
    """A new network for a method.

    Args:
        weights: stream → what its encoder begins with.
        centre, spread: of each target, as FoldData fitted them.
    """
    encoders = build_encoders(experiment, method, shapes, weights)
    parts: list[Part] = []
    for name, (key, section) in transfer_of(experiment, method).items():
        mode = build(section.mode, Transfer, f"{key}.mode")
        try:
            encoders[name] = mode.attach(encoders[name])
        except ValueError as error:
            raise UserError(f"{key}.mode", section.mode.class_path, str(error), "choose another mode") from None
        parts += mode.parts(encoders[name])
    component = experiment.methods[method].fusion or experiment.model.fusion
    dims = {name: encoder.out_dim for name, encoder in encoders.items()}
    where = f"methods.{method}.fusion" if experiment.methods[method].fusion else "model.fusion"
    fusion = build(component, Fusion, where, {"dims": dims})
    heads = {target.name: len(target.classes) for target in targets}
    several = len(encoders) > 1  # of one stream, the fused head is its own
    network = Network(encoders, fusion, heads, centre, spread, several and experiment.model.stream_heads > 0)
    return Built(network, parts)


def alignment_of(experiment: Experiment, method: str) -> type[Alignment] | None:
    """The class of a method's alignment; None for source-only, which weight 0 is, too."""
    component = experiment.methods[method].alignment
    if component is None or component.init_args.get("weight", 1.0) == 0:
        return None
    return find(component, Alignment, f"methods.{method}.alignment")


def build_alignment(experiment: Experiment, method: str, network: Network, domains: int) -> Alignment | None:
    """A new alignment for a method's network.

    Args:
        domains: source domains and the target.
    """
    if alignment_of(experiment, method) is None:
        return None
    component, key = experiment.methods[method].alignment, f"methods.{method}.alignment"
    assert component is not None
    given = {"dim": network.fusion.out_dim, "classes": tuple(network.targets.values()), "domains": domains}
    alignment = build(component, Alignment, key, given)
    try:
        alignment.check(network)
    except ValueError as error:
        raise UserError(key, component.class_path, str(error), f"see {component.class_path}") from None
    return alignment


def build_mapping(experiment: Experiment, method: str) -> Alignment | None:
    """The alignment that stands beside a classical model; it maps streams, and knows no network."""
    if alignment_of(experiment, method) is None:
        return None
    component = experiment.methods[method].alignment
    assert component is not None
    return build(component, Alignment, f"methods.{method}.alignment", {"dim": 1, "classes": (2,), "domains": 2})


def check_alignment(
    experiment: Experiment,
    method: str,
    network: Network,
    folds: Sequence[Fold],
    windows: WindowSet,
    labels: NDArray[np.float32],
) -> None:
    """Refuse an alignment that a fold has not enough source domains or labels for, or that cannot learn the targets.

    Args:
        labels: (n_windows, Q), NaN where unknown.
    """
    found, key = alignment_of(experiment, method), f"methods.{method}.alignment"
    if found is None:
        return
    group = windows.subject if experiment.domain == "subject" else windows.corpus
    for fold in folds:
        domains = len(np.unique(group[fold.source_train]))
        if domains < found.source_domains:
            raise UserError(
                key,
                f"{found.__name__} with {domains} source {experiment.domain} in fold {fold.name}",
                f"{found.source_domains} or more, between which it finds what they share",
                "take more, or another alignment",
            )
        given = windows.table.of_trials(fold.target_calibration)
        if found.calibrates and np.isnan(labels[given]).all():
            raise UserError(
                key,
                f"{found.__name__}, which learns from labels of the tested person, in fold {fold.name} without any",
                "a protocol that gives some, of trials that are rated and as long as a window",
                "set --protocol.calibration=1 or more",
            )
    build_alignment(experiment, method, network, domains + 1)


def build_augmentations(
    chosen: Mapping[str, Sequence[Component]], key: str, shapes: Mapping[str, StreamShape]
) -> dict[str, list[Augmentation]]:
    """Stream → augmentations, of the streams that are in `shapes`; each has taken a window of zeros."""
    built: dict[str, list[Augmentation]] = {}
    for name, chain in chosen.items():
        if name not in shapes:
            continue
        shape = shapes[name]
        window = torch.zeros(1, len(shape.channels), shape.length, *(shape.size or ()))
        built[name] = [build(component, Augmentation, f"{key}.{name}.{i}") for i, component in enumerate(chain)]
        with torch.random.fork_rng(devices=[]):  # no draw that training would miss
            for i, augmentation in enumerate(built[name]):
                try:
                    augmentation(window)
                except ValueError as error:
                    raise UserError(f"{key}.{name}.{i}", chain[i].class_path, str(error), "take another") from None
    return built


def build_objective(
    experiment: Experiment, shapes: Mapping[str, StreamShape], encoders: Mapping[str, Encoder]
) -> Objective:
    """What the encoders of a pretraining experiment are trained by without labels."""
    settings = experiment.pretraining
    assert settings is not None
    assert settings.objective is not None
    given = {
        "shapes": {name: shapes[name] for name in encoders},
        "dims": {name: encoder.out_dim for name, encoder in encoders.items()},
        "augmentations": build_augmentations(
            settings.augmentations, "pretraining.augmentations", {name: shapes[name] for name in encoders}
        ),
    }
    return build(settings.objective, Objective, "pretraining.objective", given)


def check_classical(
    experiment: Experiment, method: str, shapes: Mapping[str, StreamShape], targets: Sequence[Target]
) -> None:
    """Refuse a classical model what it cannot learn from, or cannot learn."""
    component, key = experiment.methods[method].classical, f"methods.{method}.classical"
    assert component is not None
    for name in streams_of(experiment, method):
        if shapes[name].size or shapes[name].rate:
            found = f"{component.class_path} on {name}, which gives {'pictures' if shapes[name].size else 'samples'}"
            raise UserError(key, found, "features", f"add data.streams.{name}.features, or leave the stream out")
    aligns = alignment_of(experiment, method)
    if aligns and not aligns.maps:
        raise UserError(
            f"methods.{method}.alignment",
            f"{aligns.__name__}, which trains a network, beside a classical model",
            "an alignment that maps streams, such as affect.alignment.CORAL",
            f"take another, or take {key} out",
        )
    values = [target.name for target in targets if not target.classes]
    if values and not find(component, Classical, key).values:
        raise UserError(key, f"{component.class_path} for values of {values[0]}", "a model of values", "take Ridge")


def find_weights(
    experiment: Experiment, method: str, seed: int, fold: str, tested: Collection[str], normalisation: str
) -> dict[str, Weights]:
    """Stream → the weights a run begins with, refused if they met anybody of `tested` (`corpus/person`)."""
    return {
        name: saved.find(section.weights, f"{key}.weights", name, seed, fold, tested, normalisation)
        for name, (key, section) in transfer_of(experiment, method).items()
        if section.weights is not None
    }


def _check_card(weights: Weights, component: Component, shape: StreamShape, key: str) -> None:
    """Refuse an encoder of another class, or one that learned other channels or another rate than it is given."""
    card = weights.card
    if card is None:
        return
    path, expected = weights.file, "the encoder, arguments and stream the weights were trained with"
    trained = Component(class_path=card.encoder["class_path"])
    if find(trained, Encoder, str(path)) is not find(component, Encoder, key):
        found = f"{path} of {card.encoder['class_path']}, for {component.class_path}"
        raise UserError(key, found, expected, "change model.encoders, or the weights")
    for name, own in (("channels", list(shape.channels)), ("rate", shape.rate)):
        if card.shape[name] != own:
            found = f"{path} with {name} {card.shape[name]}, for a stream with {own}"
            raise UserError(key, found, expected, "prepare the stream as it was for pretraining")
