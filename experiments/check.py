"""Everything about a config that can be wrong and is known before any data is read."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from affect.errors import UserError
from affect.evaluation.selection import NEEDS_VALIDATION
from datamodules.corpora.base import Corpus, CorpusFacts
from datamodules.protocols import Protocol
from datamodules.targets import Target
from experiments.components import arguments, build, find
from experiments.config import Component, Experiment
from experiments.config import Transfer as TransferConfig
from experiments.data import build_corpora, key_of
from experiments.search import candidates

GIVEN = {
    "encoder": ("shape",),
    "fusion": ("dims",),
    "alignment": ("dim", "classes", "domains"),
    "objective": ("shapes", "dims", "augmentations"),
}
"""Arguments the program supplies to each kind of component."""


def check(experiment: Experiment) -> Experiment:
    """The experiment with every class's arguments checked and completed by their defaults.

    Raises:
        UserError: a class that is not there, arguments it does not take, parts that do not fit together.
    """
    data = experiment.data
    corpora = build_corpora(experiment)
    protocol = build(experiment.protocol, Protocol, "protocol")
    for corpus in corpora:
        corpus.check()
        facts = corpus.facts(data.scale)
        _check_targets(experiment, facts)
        for name, stream in data.streams.items():
            if (of := stream.stream or name) not in facts.streams:
                raise UserError(
                    f"data.streams.{name}", f"{of!r}", f"a stream of {facts.name}: {list(facts.streams)}", "rename it"
                )
    _check_scales(corpora, data.scale)
    names = [corpus.name for corpus in corpora]
    if len(set(names)) < len(names):
        raise UserError("data.corpus", f"{names}", "each corpus once", "remove the repeated ones")
    if experiment.domain == "corpus" and len(corpora) < 2:
        raise UserError("domain", "'corpus' with one corpus", "two corpora or more in data.corpus", "use subject")
    if experiment.model.encoders and set(data.streams) != set(experiment.model.encoders):
        raise UserError(
            "model.encoders",
            f"encoders for {sorted(experiment.model.encoders)}",
            f"one for each stream of data.streams: {sorted(data.streams)}",
            "add or remove an encoder",
        )
    _check_streams(experiment)
    _check_search(experiment)
    removed = [name for name in experiment.normalisation if "baseline" in name]
    if removed and (without := [c.name for c in corpora if c.baseline_seconds == 0]):
        raise UserError(
            "normalisation",
            f"{removed[0]!r} for {without[0]}",
            "a corpus with a baseline before each trial",
            "use source or subject",
        )
    if experiment.selection in NEEDS_VALIDATION and not protocol.holds_out:
        raise UserError(
            "selection",
            f"{experiment.selection!r} without held-out source people",
            "protocol.validation above 0",
            "set --protocol.validation=0.2, or another --selection",
        )
    if experiment.selection not in ("last", "source-validation") and experiment.search is None:
        raise UserError(
            "selection",
            f"{experiment.selection!r} with one setting of each method",
            "several settings to choose among",
            "add a search, or set --selection=last",
        )
    for key, text in {"data.cache": data.cache, "output": experiment.output}.items():
        path = Path(text).expanduser()
        there = next(p for p in (path, *path.absolute().parents) if p.exists())
        if not there.is_dir():
            raise UserError(path, "not a folder", "a folder that may be written to", f"set --{key} to another folder")
    if experiment.wandb.mode == "online":
        from experiments.tracking import logged_in

        experiment = logged_in(experiment)
    return _complete(experiment)


def _check_streams(experiment: Experiment) -> None:
    """Refuse keys about streams that the experiment, or the method, does not have."""
    own = list(experiment.data.streams)
    named: dict[str, tuple[Iterable[str], list[str]]] = {
        "model.transfer": (experiment.model.transfer, own),
        "model.augmentations": (experiment.model.augmentations, own),
    }
    if experiment.pretraining:
        named["pretraining.augmentations"] = (experiment.pretraining.augmentations, own)
    for name, method in experiment.methods.items():
        named[f"methods.{name}.streams"] = (method.streams or [], own)
        grouped = [stream for group in method.decisions or [] for stream in group]
        named[f"methods.{name}.decisions"] = (grouped, method.streams or own)
        named[f"methods.{name}.transfer"] = (method.transfer, method.streams or own)
    for key, (streams, allowed) in named.items():
        if strange := [stream for stream in streams if stream not in allowed]:
            raise UserError(key, f"{strange[0]!r}", f"some of the streams {allowed}", "rename it, or take it out")


def _check_search(experiment: Experiment) -> None:
    """Refuse a search that changes what its runs must share, or that cannot give every method an equal budget."""
    if experiment.search is None:
        return
    if experiment.pretraining:
        raise UserError("search", "with pretraining", "an experiment that is scored", "take one of them out")
    keys = [*experiment.search.space]
    if strange := [key for key in keys if key.split(".")[0] not in ("trainer", "model")]:
        raise UserError(
            f"search.space.{strange[0]}",
            "a key that all runs share, or that belongs to a method",
            "keys below trainer and model; those of one method go to methods.NAME.search",
            "move it",
        )
    for several in candidates(experiment).values():
        for candidate in several:
            _complete(candidate.experiment)


def _check_scales(corpora: Sequence[Corpus], scale: tuple[float, float] | None) -> None:
    """Refuse ratings of one name on different scales."""
    seen: dict[str, tuple[str, object]] = {}
    for corpus in corpora:
        for rating, own in corpus.facts(scale).ratings.items():
            first, expected = seen.setdefault(rating, (corpus.name, own))
            if own != expected:
                raise UserError(
                    "data.scale",
                    f"{rating} of {corpus.name} is {own}, of {first} {expected}",
                    "one scale for the ratings of all corpora",
                    "set --data.scale='[1, 9]' (classes must have the same names)",
                )


def _check_targets(experiment: Experiment, corpus: CorpusFacts) -> None:
    names = set()
    for i, component in enumerate(experiment.data.target):
        key = key_of("target", i, len(experiment.data.target))
        target = build(component, Target, key)
        try:
            target.check(corpus)
        except UserError as error:  # a target knows its arguments, not its place in the list
            where = error.where.replace("data.target", key, 1)
            raise UserError(where, error.found, error.expected, error.remedy) from None
        if target.name in names:
            raise UserError(f"{key}.name", f"another target named {target.name!r}", "names that differ", "set a name")
        names.add(target.name)
        if shown := [stream for stream in target.streams if stream in experiment.data.streams]:
            raise UserError(
                f"data.streams.{shown[0]}",
                f"the stream that {key} is made from",
                "streams that do not hold the answer",
                "take it out of data.streams and model.encoders",
            )


def _complete(experiment: Experiment) -> Experiment:
    """Import the classes that need torch, check their arguments, write the defaults into the config."""
    from affect.alignment import Alignment
    from affect.classical import Classical
    from affect.encoders import Encoder
    from affect.fusion import Fusion
    from affect.preprocessing import Features
    from affect.preprocessing.step import Step, VideoStep
    from affect.pretraining import Objective

    tree = experiment.model_dump()
    data, model = tree["data"], tree["model"]
    for i, corpus in enumerate(experiment.data.corpus):
        data["corpus"][i]["init_args"] = arguments(corpus, Corpus, key_of("corpus", i, len(data["corpus"])))
    for i, target in enumerate(experiment.data.target):
        data["target"][i]["init_args"] = arguments(target, Target, key_of("target", i, len(experiment.data.target)))
    tree["protocol"]["init_args"] = arguments(experiment.protocol, Protocol, "protocol")
    for name, stream in experiment.data.streams.items():
        key = f"data.streams.{name}"
        for i, step in enumerate(stream.steps):
            data["streams"][name]["steps"][i]["init_args"] = arguments(step, (Step, VideoStep), f"{key}.steps.{i}")
        if stream.features:
            data["streams"][name]["features"]["init_args"] = arguments(stream.features, Features, f"{key}.features")
        if not experiment.model.encoders:
            continue
        component, where = experiment.model.encoders[name], f"model.encoders.{name}"
        model["encoders"][name]["init_args"] = arguments(component, Encoder, where, GIVEN["encoder"])
        gives = "features" if stream.features else "samples"
        reads = find(component, Encoder, where).reads
        if reads not in (gives, "either"):
            raise UserError(
                where,
                f"{component.class_path}, which reads {reads}, on a stream that gives {gives}",
                f"an encoder that reads {gives}, or a stream that gives {reads}",
                f"{'take out' if gives == 'features' else 'add'} {key}.features, or change the encoder",
            )
    if experiment.model.classical:
        model["classical"]["init_args"] = arguments(experiment.model.classical, Classical, "model.classical")
    model["fusion"]["init_args"] = arguments(experiment.model.fusion, Fusion, "model.fusion", GIVEN["fusion"])
    _complete_transfer(model["transfer"], experiment.model.transfer, "model.transfer")
    _complete_chains(model["augmentations"], experiment.model.augmentations, "model.augmentations")
    if pretraining := experiment.pretraining:
        section = tree["pretraining"]
        _check_pretraining(experiment)
        _complete_chains(section["augmentations"], pretraining.augmentations, "pretraining.augmentations")
        if pretraining.objective:
            section["objective"]["init_args"] = arguments(
                pretraining.objective, Objective, "pretraining.objective", GIVEN["objective"]
            )
    for name, method in experiment.methods.items():
        own = tree["methods"][name]
        _complete_transfer(own["transfer"], method.transfer, f"methods.{name}.transfer")
        if method.fusion:
            own["fusion"]["init_args"] = arguments(method.fusion, Fusion, f"methods.{name}.fusion", GIVEN["fusion"])
        if method.classical:
            own["classical"]["init_args"] = arguments(method.classical, Classical, f"methods.{name}.classical")
            build(method.classical, Classical, f"methods.{name}.classical")
        _check_validation(experiment, name)
        if method.alignment:
            tree["methods"][name]["alignment"]["init_args"] = arguments(
                method.alignment, Alignment, f"methods.{name}.alignment", GIVEN["alignment"]
            )
            # Built once, small, so that a class can refuse its arguments before any data is read.
            given = {"dim": 2, "classes": (2,), "domains": 2}
            build(method.alignment, Alignment, f"methods.{name}.alignment", given)
    _check_compute(experiment)
    return Experiment.model_validate(tree)


def _check_compute(experiment: Experiment) -> None:
    """Refuse a device that is not there; on a cluster it is known where the runs are made."""
    compute = experiment.compute
    if compute.precision == "16-mixed" and compute.accelerator == "cpu":
        raise UserError("compute.precision", "'16-mixed' on a CPU", "a GPU, or another precision", "use bf16-mixed")
    if compute.accelerator != "cpu" and experiment.launcher.local is not None:
        import torch

        if not (torch.cuda.is_available() if compute.accelerator == "gpu" else torch.backends.mps.is_available()):
            raise UserError("compute.accelerator", f"{compute.accelerator!r}", "one that torch finds here", "use cpu")
        found = torch.cuda.device_count() if compute.accelerator == "gpu" else 1
        if compute.devices > found:
            raise UserError(
                "compute.devices", str(compute.devices), f"at most {found}, as many as are here", "ask for fewer"
            )
    for name, cluster in (("ray", experiment.launcher.ray), ("slurm", experiment.launcher.slurm)):
        if cluster and compute.accelerator == "gpu" and compute.devices > max(1, cluster.gpus):
            given = f"{cluster.gpus:g} for {compute.devices} devices of each run"
            raise UserError(f"launcher.{name}.gpus", given, "one for each device", "ask for as many")


def _complete_transfer(tree: dict[str, Any], sections: Mapping[str, TransferConfig], key: str) -> None:
    from affect.transfer import Transfer

    for stream, section in sections.items():
        tree[stream]["mode"]["init_args"] = arguments(section.mode, Transfer, f"{key}.{stream}.mode")


def _complete_chains(tree: dict[str, Any], chains: Mapping[str, Sequence[Component]], key: str) -> None:
    from affect.augmentation import Augmentation

    for stream, chain in chains.items():
        for i, component in enumerate(chain):
            tree[stream][i]["init_args"] = arguments(component, Augmentation, f"{key}.{stream}.{i}")
            build(component, Augmentation, f"{key}.{stream}.{i}")


def _check_pretraining(experiment: Experiment) -> None:
    """Refuse what would be ignored, or would leave encoders behind that nobody can take up."""
    pretraining = experiment.pretraining
    assert pretraining is not None
    if pretraining.augmentations and pretraining.objective is None:
        raise UserError(
            "pretraining.augmentations", "without an objective", "an objective", "use model.augmentations with labels"
        )
    whole = ("FineTune",) if pretraining.objective else ("FineTune", "GradualUnfreezing")
    for stream, section in experiment.model.transfer.items():
        if section.mode.class_path.rpartition(".")[2] not in whole:
            raise UserError(
                f"model.transfer.{stream}.mode",
                f"{section.mode.class_path} in pretraining",
                f"{' or '.join(whole)}: an encoder that learns as a whole",
                "take it out",
            )
    if pretraining.objective and (experiment.model.augmentations or experiment.trainer.mixup):
        key = "model.augmentations" if experiment.model.augmentations else "trainer.mixup"
        raise UserError(key, "beside an objective without labels", "nothing", "use pretraining.augmentations")


def _check_validation(experiment: Experiment, method: str) -> None:
    """Refuse a fusion that weighs streams by held-out source people where there are none."""
    fusion = experiment.methods[method].fusion or experiment.model.fusion
    protocol = build(experiment.protocol, Protocol, "protocol")
    if fusion.init_args.get("by") == "validation" and not protocol.holds_out:
        key = f"methods.{method}.fusion.by" if experiment.methods[method].fusion else "model.fusion.by"
        raise UserError(
            key,
            "'validation' without held-out source people",
            "protocol.validation above 0",
            f"set --protocol.validation=0.2, or --{key}=equal",
        )
