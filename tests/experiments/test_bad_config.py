"""Every mistake in a config gets one clear message, soon, before any data is read."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.experiments.conftest import Answer, Door, Place, Start

EEGMAT = (
    "--data.corpus.class_path=datamodules.corpora.Eegmat",
    "--data.target={class_path: datamodules.targets.Classes, init_args: {rating: task, classes: [rest, arithmetic]}}",
)


@pytest.mark.parametrize(
    ("override", "where", "found", "expected", "do"),
    [
        # keys
        ("trainer.max_epoch=3", "trainer.max_epoch", "no such key", "max_epochs, batch_size", "'max_epochs'"),
        ("seed=[0]", "seed", "no such key", "name, data, protocol", "'seeds'"),
        ("data.streams.eeg.feature={}", "data.streams.eeg.feature", "no such key", "steps, features", "'features'"),
        ("methods.dann.aligment={}", "methods.dann.aligment", "no such key", "alignment", "'alignment'"),
        ("nonsense=1", "nonsense", "no such key", "name, data", "--help"),
        # types and values
        ("trainer.max_epochs=many", "trainer.max_epochs", "'many'", "integer", "Passes"),
        ("trainer.max_epochs=0", "trainer.max_epochs", "0", "greater than 0", "Passes"),
        ("seeds=[0, -1]", "seeds.1", "-1", "greater than or equal to 0", ""),
        ("seeds=3", "seeds", "3", "list", "seed"),
        (
            "normalisation=subjects",
            "normalisation.0",
            "'subjects'",
            "'none', 'source', 'subject', 'baseline' or 'baseline+subject'",
            "",
        ),
        ("data=3", "data", "3", "dictionary", ""),
        ("data.window.seconds=.inf", "data.window.seconds", "inf", "finite", "window"),
        ("data.target.above=20", "data.target.above", "20", "1 ≤ above < 9", "threshold"),
        ("protocol.validation=2", "protocol.validation", "2", "validation < 1", "share"),
        ("data.corpus.root=5", "data.corpus.root", "5", "string", "datamodules.corpora.Deap"),
        # class paths
        (
            "methods.dann.alignment=affect.alignment.DANNN",
            "methods.dann.alignment.class_path",
            "'affect.alignment.DANNN'",
            "DANN",
            "did you mean affect.alignment.DANN?",
        ),
        (
            "model.encoders.eeg=affect.encoders.BandMPL",
            "model.encoders.eeg.class_path",
            "'affect.encoders.BandMPL'",
            "BandMLP, Braindecode",
            "did you mean affect.encoders.BandMLP?",
        ),
        (
            "data.corpus.class_path=datamodules.corpora.DEAP",
            "data.corpus.class_path",
            "'datamodules.corpora.DEAP'",
            "Deap, ",
            "did you mean datamodules.corpora.Deap?",
        ),
        (
            "model.fusion=affect.fusions.Concatenation",
            "model.fusion.class_path",
            "No module named 'affect.fusions'",
            "Fusion",
            "affect.fusion",
        ),
        ("methods.dann.alignment=.alignment.DANN", "methods.dann.alignment.class_path", "'.alignment.DANN'", "", ""),
        ("methods.dann.alignment=DANN", "methods.dann.alignment.class_path", "'DANN'", "Alignment", "affect.alignment"),
        (
            "methods.dann.alignment=affect.encoders.BandMLP",
            "methods.dann.alignment.class_path",
            "'affect.encoders.BandMLP'",
            "Alignment",
            "affect.alignment",
        ),
        # arguments of classes
        ("methods.dann.alignment.weigth=1", "methods.dann.alignment.weigth", "DANN", "weight, between", "'weight'"),
        ("methods.dann.alignment.weight=much", "methods.dann.alignment.weight", "'much'", "number", "DANN"),
        ("methods.dann.alignment.between=us", "methods.dann.alignment.between", "'us'", "'source-target'", "DANN"),
        ("model.encoders.eeg.hiden=3", "model.encoders.eeg.hiden", "BandMLP", "hidden", "'hidden'"),
        (
            "data.streams.eeg.features.band={}",
            "data.streams.eeg.features.band",
            "DifferentialEntropy",
            "bands",
            "'bands'",
        ),
        ("data.target.abov=5", "data.target.abov", "Threshold", "rating, above", "'above'"),
        ("data.target=datamodules.targets.Threshold", "data.target.rating", "nothing", "a value", "add it"),
        ("data.target.rating=valance", "data.target.rating", "'valance'", "valence", ""),
        # combinations
        ("data.streams.ecg={}", "data.streams.ecg", "'ecg'", "'eeg'", "rename"),
        (
            "model.encoders.ecg=affect.encoders.BandMLP",
            "model.encoders",
            "['ecg', 'eeg']",
            "['eeg']",
            "remove an encoder",
        ),
        ("data.streams.eda={}", "model.encoders", "['eeg']", "['eda', 'eeg']", "add"),
        (
            "selection=source-validation",
            "selection",
            "'source-validation'",
            "protocol.validation",
            "--protocol.validation",
        ),
        (
            "model.encoders.eeg=affect.encoders.SpatialFirstEEGNet",
            "model.encoders.eeg",
            "reads samples, on a stream that gives features",
            "reads features",
            "take out data.streams.eeg.features",
        ),
        ("methods.source-only.alignment=affect.alignment.DANN", "methods.source-only", "alignment", "none", "rename"),
        # places
        ("data.cache=/dev/null", "/dev/null", "", "folder", "--data.cache"),
        ("output=/dev/null", "/dev/null", "", "folder", "--output"),
        # the command line
        ("trainer.max_epochs", "trainer.max_epochs", "another form", "--any.key=value", "--help"),
    ],
)
def test_a_wrong_config_is_refused_before_any_data_is_read(
    place: Place, door: Door, override: str, where: str, found: str, expected: str, do: str
) -> None:
    door(place.arguments(f"--{override}")).refused(where, found, expected, do)
    assert not place.cache.exists()
    assert not place.output.exists()


@pytest.mark.parametrize("override", ["hidden=-5", "dropout=2"])
def test_a_size_that_no_encoder_can_have(place: Place, door: Door, override: str) -> None:
    answer = door(place.arguments(f"--model.encoders.eeg.{override}"))
    answer.refused("model.encoders.eeg", override.partition("=")[2], "", "BandMLP")
    assert not place.output.exists()


def test_no_baseline_to_normalise_by(place: Place, door: Door, people: Path) -> None:
    arguments = place.arguments(*EEGMAT, "--normalisation=[source, baseline]")
    door(arguments).refused("normalisation", "'baseline' for eegmat", "a corpus with a baseline", "source")
    assert not place.cache.exists()


def test_a_config_that_is_none(place: Place, door: Door, tmp_path: Path) -> None:
    def with_config(path: Path) -> Answer:
        return door(place.arguments(f"--config={path}"))

    with_config(tmp_path / "x.yaml").refused("x.yaml", "No such file", "YAML", "experiments/configs")
    with_config(tmp_path).refused(str(tmp_path), "directory", "YAML", "experiments/configs")
    path, marker = tmp_path / "bad.yaml", tmp_path / "ran"
    for text, found in [
        ("data: [1, 2", "not YAML"),
        ("- 1\n- 2\n", "list"),
        (f"name: !!python/object/apply:os.mkdir [{marker}]\n", "not YAML"),
    ]:
        path.write_text(text)
        with_config(path).refused("bad.yaml", found, "a", "")
    assert not marker.exists()
    answer = door(["--seeds=[0]"])
    assert answer.code == 2
    assert "--config" in answer.err


# ---- how soon it is said


def of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def quickest(start: Start, arguments: list[str], limit: float) -> tuple[float, Answer]:
    """The best of up to three times in seconds of a core: others work on the machine too."""
    best = float("inf")
    for _ in range(3):
        began = of_children()
        answer = start(arguments).answer()
        best = min(best, of_children() - began)
        if best < limit:
            break
    return best, answer


@pytest.mark.parametrize(
    ("arguments", "limit", "code", "says"),
    [
        (["--help"], 1.5, 0, "--trainer.max_epochs"),
        (["--trainer.max_epoch=3"], 2.0, 2, "did you mean 'max_epochs'?"),
        (["--trainer.max_epochs=many"], 2.0, 2, "valid integer"),
        (["--methods.dann.alignment.weigth=1"], 6.0, 2, "did you mean 'weight'?"),
    ],
    ids=["help", "key", "type", "argument"],
)
def test_it_is_said_soon(place: Place, start: Start, arguments: list[str], limit: float, code: int, says: str) -> None:
    seconds, answer = quickest(start, place.arguments(*arguments), limit)
    assert answer.code == code
    assert says in (answer.out if code == 0 else answer.err)
    assert seconds < limit
