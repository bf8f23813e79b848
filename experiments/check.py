"""Everything about a config that can be wrong and is known before any data is read."""

from pathlib import Path

from affect.errors import UserError
from datamodules.corpora.base import Corpus
from datamodules.protocols import Protocol
from datamodules.targets import Target
from experiments.components import arguments, build, find
from experiments.config import Experiment

GIVEN = {"encoder": ("shape",), "fusion": ("dims",), "alignment": ("dim", "classes", "domains")}
"""Arguments the program supplies to each kind of component."""


def check(experiment: Experiment) -> Experiment:
    """The experiment with every class's arguments checked and completed by their defaults.

    Raises:
        UserError: a class that is not there, arguments it does not take, parts that do not fit together.
    """
    data = experiment.data
    corpus = find(data.corpus, Corpus, "data.corpus")  # type: ignore[type-abstract]
    build(data.corpus, Corpus, "data.corpus").check()  # type: ignore[type-abstract]
    build(data.target, Target, "data.target").check(corpus)  # type: ignore[type-abstract]
    protocol = build(experiment.protocol, Protocol, "protocol")  # type: ignore[type-abstract]
    for name in data.streams:
        if name not in corpus.streams:
            raise UserError(
                f"data.streams.{name}", f"{name!r}", f"a stream of {corpus.name}: {list(corpus.streams)}", "rename it"
            )
    if set(data.streams) != set(experiment.model.encoders):
        raise UserError(
            "model.encoders",
            f"encoders for {sorted(experiment.model.encoders)}",
            f"one for each stream of data.streams: {sorted(data.streams)}",
            "add or remove an encoder",
        )
    if "baseline" in experiment.normalisation and corpus.baseline_seconds == 0:
        raise UserError(
            "normalisation", f"'baseline' for {corpus.name}", "a corpus with a baseline before each trial", "use source"
        )
    if experiment.selection == "source-validation" and protocol.validation == 0:
        raise UserError(
            "selection",
            "'source-validation' without held-out source people",
            "protocol.validation above 0",
            "set --protocol.validation=0.2, or --selection=last",
        )
    for key, text in {"data.cache": data.cache, "output": experiment.output}.items():
        path = Path(text).expanduser()
        there = next(p for p in (path, *path.absolute().parents) if p.exists())
        if not there.is_dir():
            raise UserError(path, "not a folder", "a folder that may be written to", f"set --{key} to another folder")
    return _complete(experiment)


def _complete(experiment: Experiment) -> Experiment:
    """Import the classes that need torch, check their arguments, write the defaults into the config."""
    from affect.alignment import Alignment
    from affect.encoders import Encoder
    from affect.fusion import Fusion
    from affect.preprocessing import Features, Step

    tree = experiment.model_dump()
    data, model = tree["data"], tree["model"]
    data["corpus"]["init_args"] = arguments(experiment.data.corpus, Corpus, "data.corpus")
    data["target"]["init_args"] = arguments(experiment.data.target, Target, "data.target")
    tree["protocol"]["init_args"] = arguments(experiment.protocol, Protocol, "protocol")
    for name, stream in experiment.data.streams.items():
        key = f"data.streams.{name}"
        for i, step in enumerate(stream.steps):
            data["streams"][name]["steps"][i]["init_args"] = arguments(step, Step, f"{key}.steps.{i}")
        if stream.features:
            data["streams"][name]["features"]["init_args"] = arguments(stream.features, Features, f"{key}.features")
        component, where = experiment.model.encoders[name], f"model.encoders.{name}"
        model["encoders"][name]["init_args"] = arguments(component, Encoder, where, GIVEN["encoder"])
        gives = "features" if stream.features else "samples"
        reads = find(component, Encoder, where).reads  # type: ignore[type-abstract]
        if reads not in (gives, "either"):
            raise UserError(
                where,
                f"{component.class_path}, which reads {reads}, on a stream that gives {gives}",
                f"an encoder that reads {gives}, or a stream that gives {reads}",
                f"{'take out' if gives == 'features' else 'add'} {key}.features, or change the encoder",
            )
    model["fusion"]["init_args"] = arguments(experiment.model.fusion, Fusion, "model.fusion", GIVEN["fusion"])
    for name, method in experiment.methods.items():
        if method.alignment:
            tree["methods"][name]["alignment"]["init_args"] = arguments(
                method.alignment, Alignment, f"methods.{name}.alignment", GIVEN["alignment"]
            )
            # Built once, small, so that a class can refuse its arguments before any data is read.
            build(method.alignment, Alignment, f"methods.{name}.alignment", dict.fromkeys(GIVEN["alignment"], 2))  # type: ignore[type-abstract]
    accelerator = experiment.compute.accelerator
    if accelerator != "cpu":
        import torch

        if not (torch.cuda.is_available() if accelerator == "gpu" else torch.backends.mps.is_available()):
            raise UserError("compute.accelerator", f"{accelerator!r}", "one that torch finds here", "use cpu")
    return Experiment.model_validate(tree)
