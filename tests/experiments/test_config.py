"""The config: what is typed is what is run, and mistakes are named."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel

from affect.errors import UserError
from experiments.check import check
from experiments.config import Component, Experiment
from experiments.load import describe_schema, load
from experiments.run import main

BASE = """
name: example
data:
  corpus: {class_path: datamodules.standin.StandInDeap, init_args: {root: nowhere, subjects: 3}}
  streams:
    eeg: {features: affect.preprocessing.DifferentialEntropy}
  target: {class_path: datamodules.targets.Threshold, init_args: {rating: valence, above: 5}}
  window: {seconds: 2}
protocol: datamodules.protocols.LeaveOneSubjectOut
model:
  encoders: {eeg: affect.encoders.BandMLP}
methods:
  dann: {alignment: affect.alignment.DANN}
"""


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (path := tmp_path / "example.yaml").write_text(BASE)
    return path


def at(experiment: Experiment, dotted: str) -> Any:
    """The value of a key, written as in the config with `init_args` in full."""
    node: Any = experiment.model_dump()
    for key in dotted.split("."):
        if isinstance(node, list):
            number = int(key) if key.isdigit() else 0  # one alone needs no number
            node = node[number] if key.isdigit() else node[number][key]
        else:
            node = node[key]
    return node


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("--trainer.max_epochs=3", "trainer.max_epochs", 3),
        ("--trainer.max_epochs=3.0", "trainer.max_epochs", 3),
        ("--trainer.learning_rate=2e-3", "trainer.learning_rate", 0.002),
        ("--trainer.learning_rate=1", "trainer.learning_rate", 1.0),
        ("--seeds=[0, 1, 2]", "seeds", [0, 1, 2]),
        ("--normalisation=subject", "normalisation", ["subject"]),
        ("--normalisation=[none, source]", "normalisation", ["none", "source"]),
        ("--data.window.step=0.5", "data.window.step", 0.5),
        ("--data.window.step=null", "data.window.step", None),
        ("--data.window={seconds: 1, short: repeat}", "data.window.short", "repeat"),
        ("--wandb.mode=disabled", "wandb.mode", "disabled"),
        # into a dict whose keys are the user's, with init_args and without, whether or not it was spelled out before
        ("--methods.dann.alignment.init_args.weight=0.3", "methods.dann.alignment.init_args.weight", 0.3),
        ("--methods.dann.alignment.weight=0.3", "methods.dann.alignment.init_args.weight", 0.3),
        ("--data.streams.eeg.features.segment=1.0", "data.streams.eeg.features.init_args.segment", 1.0),
        ("--data.streams.eeg.features.bands.mine=[4, 9]", "data.streams.eeg.features.init_args.bands.mine", [4, 9]),
        ("--data.corpus.root=elsewhere", "data.corpus.init_args.root", "elsewhere"),
        ("--data.corpus.subjects=5", "data.corpus.init_args.subjects", 5),
        ("--data.corpus.class_path=datamodules.corpora.Deap", "data.corpus.class_path", "datamodules.corpora.Deap"),
        ("--protocol.validation=0.2", "protocol.init_args.validation", 0.2),
        (
            "--protocol=datamodules.protocols.WithinSubject",
            "protocol.class_path",
            "datamodules.protocols.WithinSubject",
        ),
        ("--model.encoders.eeg.hidden=8", "model.encoders.eeg.init_args.hidden", 8),
        # one target stands for a list of one, and needs no number
        ("--data.target.above=4", "data.target.0.init_args.above", 4),
        ("--data.target.init_args.above=4", "data.target.0.init_args.above", 4),
        ("--data.target.class_path=datamodules.targets.Value", "data.target.0.class_path", "datamodules.targets.Value"),
        ("--data.target=datamodules.targets.Value", "data.target.0.class_path", "datamodules.targets.Value"),
        # what is not in the file yet
        ("--methods.late.alignment.class_path=affect.alignment.DANN", "methods.late.alignment.init_args", {}),
        ("--model.fusion.class_path=affect.fusion.Concatenation", "model.fusion.init_args", {}),
        ("--launcher.local.workers=2", "launcher.local.workers", 2),
    ],
)
def test_an_override_changes_one_leaf(base: Path, override: str, key: str, value: Any) -> None:
    found = at(load(base, [override]), key)
    assert found == value
    assert type(found) is type(value)


def test_an_override_leaves_the_rest_alone(base: Path) -> None:
    changed = load(base, ["--methods.dann.alignment.weight=0.3"])
    assert changed.methods["dann"].alignment == Component(class_path="affect.alignment.DANN", init_args={"weight": 0.3})
    assert changed.model_copy(update={"methods": {}}) == load(base).model_copy(update={"methods": {}})
    assert at(load(base, ["--data.corpus.root=x"]), "data.corpus.init_args.subjects") == 3


BOTH = "[{class_path: x.Threshold, init_args: {rating: valence, above: 5}}, x.Value]"


def test_a_list_of_targets_is_reached_by_number(base: Path) -> None:
    found = load(base, [f"--data.target={BOTH}", "--data.target.0.above=4", "--data.target.1.rating=arousal"])
    assert [t.init_args for t in found.data.target] == [{"rating": "valence", "above": 4}, {"rating": "arousal"}]
    with pytest.raises(UserError, match="name an entry by its number"):
        load(base, [f"--data.target={BOTH}", "--data.target.above=4"])


def test_a_list_of_one_target_needs_no_number(base: Path, tmp_path: Path) -> None:
    """As it lies beside the results."""
    written = tmp_path / "config.yaml"
    written.write_text(yaml.safe_dump(load(base).model_dump(mode="json")))
    assert load(written) == load(base)
    for override in ("--data.target.above=4", "--data.target.0.above=4"):
        assert load(written, [override]) == load(base, ["--data.target.above=4"])


def test_the_last_override_counts(base: Path) -> None:
    assert load(base, ["--seeds=[1]", "--trainer.max_epochs=2", "--seeds=[2]"]).seeds == [2]


def test_arguments_of_a_class_take_the_type_it_asks_for(base: Path) -> None:
    """As the trainer's keys do: 4.0 is a whole number, 1e-4 a number although YAML 1.1 reads a word."""
    overrides = ["--data.corpus.subjects=4.0", "--data.corpus.strength=0", "--data.streams.eeg.features.floor=1e-4"]
    checked = check(load(base, overrides))
    corpus = at(checked, "data.corpus.init_args")
    assert (corpus["subjects"], type(corpus["subjects"])) == (4, int)
    assert (corpus["strength"], type(corpus["strength"])) == (0.0, float)
    assert at(checked, "data.streams.eeg.features.init_args.floor") == 1e-4


@pytest.mark.parametrize(
    "methods", ["{}", "{dann: {alignment: affect.alignment.DANN}}", "{b: {}, source-only: {}, a: {}}"]
)
def test_source_only_is_always_there_and_first(base: Path, methods: str) -> None:
    others = [name for name in yaml.safe_load(methods) if name != "source-only"]
    assert list(load(base, [f"--methods={methods}"]).methods) == ["source-only", *others]


def test_source_only_is_there_when_no_method_is_named(base: Path) -> None:
    base.write_text(BASE.partition("methods:")[0])
    assert list(load(base).methods) == ["source-only"]


def test_source_only_cannot_be_given_an_alignment(base: Path) -> None:
    with pytest.raises(UserError) as caught:
        load(base, ["--methods.source-only.alignment=affect.alignment.DANN"])
    assert caught.value.where == "methods.source-only"


@pytest.mark.parametrize(
    ("override", "where", "found", "help_"),
    [
        # a key that is nearly right
        ("--trainer.max_epoch=3", "trainer.max_epoch", "no such key", "did you mean 'max_epochs'?"),
        ("--trainr.max_epochs=3", "trainr", "no such key", "did you mean 'trainer'?"),
        ("--data.windw.seconds=3", "data.windw", "no such key", "did you mean 'window'?"),
        ("--data.streams.eeg.feature=x.Y", "data.streams.eeg.feature", "no such key", "did you mean 'features'?"),
        ("--methods.dann.alignement=x.Y", "methods.dann.alignement", "no such key", "did you mean 'alignment'?"),
        ("--model.encoder.eeg=x.Y", "model.encoder", "no such key", "did you mean 'encoders'?"),
        # a key that is not
        ("--wandb.colour=red", "wandb.colour", "no such key", "see --help"),
        # a value that cannot be
        ("--trainer.max_epochs=three", "trainer.max_epochs", "'three'", "Passes over the source windows"),
        ("--trainer.max_epochs=2.5", "trainer.max_epochs", "2.5", "Passes over the source windows"),
        ("--trainer.max_epochs=0", "trainer.max_epochs", "0", "Passes over the source windows"),
        ("--trainer.label_smoothing=1", "trainer.label_smoothing", "1", "Share of the label"),
        ("--wandb.mode=silent", "wandb.mode", "'silent'", "offline"),
        ("--selection=best", "selection", "'best'", "What chooses among the settings"),
        ("--seeds=[-1]", "seeds.0", "-1", ""),
        ("--seeds=[]", "seeds", "[]", ""),
        ("--normalisation=person", "normalisation.0", "'person'", ""),
        ("--data.streams={}", "data.streams", "{}", ""),
        ("--name=a/b", "name", "'a/b'", ""),
        # an override of another form
        ("--trainer.max_epochs.more=3", "trainer.max_epochs.more", "trainer.max_epochs", ""),
        ("trainer.max_epochs=3", "trainer.max_epochs=3", "another form", "--help"),
        ("--verbose", "--verbose", "another form", "--help"),
        ("--seeds=[0", "seeds", "[0", "quote"),
    ],
)
def test_a_mistake_is_named_with_what_is_allowed(base: Path, override: str, where: str, found: str, help_: str) -> None:
    if override.startswith("--trainer.max_epochs.more"):
        base.write_text(BASE + "trainer: {max_epochs: 3}\n")
    with pytest.raises(UserError) as caught:
        load(base, [override])
    error = caught.value
    assert error.where == where
    assert found in error.found
    assert error.expected
    assert help_ in error.remedy


def test_what_is_missing_is_named(base: Path) -> None:
    base.write_text(BASE.replace("window: {seconds: 2}", "window: {step: 2}").replace("name: example\n", ""))
    with pytest.raises(UserError) as caught:
        load(base)
    assert caught.value.where == "name"
    assert "and 1 more" in caught.value.found


@pytest.mark.parametrize(
    ("text", "found"),
    [("[1, 2]", "list"), ("", "NoneType"), ("a: [", "not YAML"), ("a: !!python/name:os.system", "YAML")],
)
def test_a_file_that_is_no_config_is_refused(tmp_path: Path, text: str, found: str) -> None:
    path = tmp_path / "other.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        load(path)
    assert caught.value.where == str(path)
    assert found in caught.value.found


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        load(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("override", "where", "help_"),
    [
        (
            "--methods.dann.alignment=affect.alignment.DANNN",
            "methods.dann.alignment.class_path",
            "affect.alignment.DANN?",
        ),
        ("--methods.dann.alignment=affect.alignments.DANN", "methods.dann.alignment.class_path", "affect.alignment"),
        ("--methods.dann.alignment=affect.encoders.BandMLP", "methods.dann.alignment.class_path", "affect.alignment"),
        ("--methods.dann.alignment=affect.alignment.Alignment", "methods.dann.alignment.class_path", ""),
        ("--methods.dann.alignment.wieght=1", "methods.dann.alignment.wieght", "did you mean 'weight'?"),
        ("--methods.dann.alignment.weight=much", "methods.dann.alignment.weight", ""),
        ("--methods.dann.alignment.domains=3", "methods.dann.alignment.domains", ""),
        ("--methods.dann.alignment.between=people", "methods.dann.alignment.between", ""),
        ("--protocol=datamodules.protocols.LeaveOneSubject", "protocol.class_path", "LeaveOneSubjectOut?"),
        ("--protocol=datamodules.protocols.SubjectGroups", "protocol.groups", ""),
        ("--protocol.validation=1.5", "protocol.validation", ""),
        ("--data.corpus.subject=3", "data.corpus.subject", "did you mean 'subjects'?"),
        ("--data.corpus.subjects=some", "data.corpus.subjects", ""),
        ("--data.target.rating=joy", "data.target.rating", ""),
        ("--data.target.above=9", "data.target.above", ""),
        ("--data.target.name=a b", "data.target.name", ""),
        ("--data.target=datamodules.targets.Medial", "data.target.class_path", "Median?"),
        ("--data.target=[]", "data.target", ""),
        ("--data.streams.ecg.steps=[]", "data.streams.ecg", ""),
        ("--model.encoders.eda=affect.encoders.BandMLP", "model.encoders", ""),
        ("--model.encoders.eeg=affect.encoders.SpatialFirstEEGNet", "model.encoders.eeg", "features"),
        ("--model.encoders.eeg.shape=3", "model.encoders.eeg.shape", ""),
        ("--selection=source-validation", "selection", "protocol.validation"),
    ],
)
def test_parts_that_do_not_fit_are_refused_unread(base: Path, override: str, where: str, help_: str) -> None:
    """Before any data is read, or a stand-in written."""
    with pytest.raises(UserError) as caught:
        check(load(base, [override]))
    assert caught.value.where == where
    assert help_ in caught.value.remedy
    assert not Path("nowhere").exists()


VALENCE = "{class_path: datamodules.targets.Threshold, init_args: {rating: valence, above: %s}}"
MEDIAN = "{class_path: datamodules.targets.Median, init_args: {rating: %s}}"


@pytest.mark.parametrize(
    ("second", "where", "found"),
    [
        (MEDIAN % "joy", "data.target.1.rating", "joy"),
        (MEDIAN % "valence", "data.target.1.name", "'valence'"),
        (VALENCE % "20", "data.target.1.above", "20"),
        (
            "{class_path: datamodules.targets.Median, init_args: {rating: arousal, cut: 3}}",
            "data.target.1.cut",
            "Median",
        ),
    ],
)
def test_of_several_targets_the_wrong_one_is_named(base: Path, second: str, where: str, found: str) -> None:
    with pytest.raises(UserError) as caught:
        check(load(base, [f"--data.target=[{VALENCE % '5'}, {second}]"]))
    assert caught.value.where == where
    assert found in caught.value.found


def test_the_same_rating_may_be_two_targets_of_different_names(base: Path) -> None:
    check(load(base, [f"--data.target=[{VALENCE % '5'}, {MEDIAN % 'valence, name: own'}]"]))


def test_a_stream_that_a_target_is_made_from_is_not_shown(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datamodules.corpora.deap.Deap.streams", ("eeg", "annotation"))
    target = "--data.target={class_path: datamodules.targets.Continuous, init_args: {rating: valence}}"
    check(load(base, [target]))
    shown = ["--data.streams.annotation={}", "--model.encoders.annotation=affect.encoders.BandMLP"]
    with pytest.raises(UserError) as caught:
        check(load(base, [target, *shown]))
    assert caught.value.where == "data.streams.annotation"


EEGMAT = [
    "--data.corpus={class_path: datamodules.corpora.Eegmat, init_args: {root: nowhere}}",
    "--data.target={class_path: datamodules.targets.Classes, init_args: {rating: task, classes: [rest, arithmetic]}}",
]


def test_a_corpus_that_is_not_there_is_refused(base: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        check(load(base, EEGMAT))


@pytest.mark.parametrize("normalisation", ["baseline", "baseline+subject"])
def test_a_baseline_needs_a_corpus_that_has_one(base: Path, tmp_path: Path, normalisation: str) -> None:
    with pytest.raises(UserError) as caught:
        check(load(base, [*EEGMAT, f"--data.corpus.root={tmp_path}", f"--normalisation={normalisation}"]))
    assert caught.value.where == "normalisation"
    assert normalisation in caught.value.found


def leaves(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str | None]]:
    """Dotted key and help of every leaf of the schema; NAME stands for a name of the user's."""
    for name, field in model.model_fields.items():
        parts = [field.annotation]
        while any(get_args(part) for part in parts):
            parts = [inner for part in parts for inner in (get_args(part) or (part,))]
        sections = [p for p in parts if isinstance(p, type) and issubclass(p, BaseModel) and p is not Component]
        if sections:
            yield from leaves(sections[0], f"{prefix}{name}." + ("NAME." if "dict" in str(field.annotation) else ""))
        else:
            yield f"{prefix}{name}", field.description


def test_the_schema_is_described_to_its_last_leaf() -> None:
    lines = describe_schema().splitlines()
    keys = {line.split()[0]: number for number, line in enumerate(lines) if line.startswith("  --")}
    expected = dict(leaves(Experiment))
    assert {"trainer.max_epochs", "methods.NAME.alignment", "data.streams.NAME.steps", "seeds"} <= set(expected)
    for key, description in expected.items():
        assert f"--{key}" in keys
        if description:
            assert lines[keys[f"--{key}"] + 1].strip() == description


def test_help_needs_no_config(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "--trainer.max_epochs [30]" in capsys.readouterr().out


def test_an_unknown_flag_takes_no_other_for_its_value(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--verbose", f"--config={base}"]) == 2
    assert "--verbose" in capsys.readouterr().err
