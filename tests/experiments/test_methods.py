"""What a method may change: streams, fusion, a classical model; missing streams; few labels. Through the door."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from datamodules.protocols import LeaveOneSubjectOut, SubjectGroups
from experiments.run import main

pytestmark = pytest.mark.filterwarnings("ignore")
LEAVE_ONE_OUT = "datamodules.protocols.LeaveOneSubjectOut"
STREAMS = {
    "eeg": {"features": "affect.preprocessing.DifferentialEntropy"},
    "eda": {"features": "affect.preprocessing.Functionals"},
    "face": {
        "steps": [{"class_path": "affect.preprocessing.FaceCrops", "init_args": {"rate": 1, "size": 32}}],
        "features": {"class_path": "affect.preprocessing.HOG", "init_args": {"size": 32}},
    },
}


def config(folder: Path, streams: tuple[str, ...] = ("eeg", "eda"), **more: Any) -> dict[str, Any]:
    """Four people in DEAP's layout, two of them filmed."""
    people = {
        "root": str(folder / "corpora"),
        "subjects": 4,
        "trials": 4,
        "seconds": 4.0,
        "faces": 2 * ("face" in streams),
    }
    model = {"encoders": dict.fromkeys(streams, "affect.encoders.BandMLP")}
    return {
        "name": "small",
        "data": {
            "corpus": {"class_path": "datamodules.standin.StandInDeap", "init_args": people},
            "streams": {name: STREAMS[name] for name in streams},
            "target": {"class_path": "datamodules.targets.Threshold", "init_args": {"rating": "arousal", "above": 5}},
            "window": {"seconds": 2},
            "cache": str(folder / "cache"),
        },
        "protocol": LEAVE_ONE_OUT,
        "normalisation": "subject",
        "trainer": {"max_epochs": 1},
        "launcher": {"local": {"workers": 1}},
        "wandb": {"mode": "disabled"},
        "output": str(folder / "runs"),
        **more,
        "model": {**model, **more.pop("model", {})},
    }


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, dict[str, Any]]]:
    """A config through the door → exit code, what it said, the summary."""

    def knock(tree: dict[str, Any], *overrides: str) -> tuple[int, str, dict[str, Any]]:
        (path := tmp_path / "small.yaml").write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")
        output = Path(tree["output"])
        before = set(output.glob("small-*/summary.json"))
        code = main([f"--config={path}", *overrides])
        printed = capsys.readouterr()
        new = set(output.glob("small-*/summary.json")) - before
        return code, printed.out + printed.err, json.loads(new.pop().read_text()) if new else {}

    return knock


def predictions(folder: Path, summary_of: str) -> pd.DataFrame:
    """Of all runs of a method."""
    (names,) = (folder / "runs").glob("small-*/runs.json")
    runs = [name for label, name in json.loads(names.read_text()).items() if f" · {summary_of} · " in label]
    return pd.concat(pd.read_parquet(folder / "runs/runs" / name / "predictions.parquet") for name in runs)


def test_one_table_of_streams_fusions_and_classical_models(run: Any, tmp_path: Path) -> None:
    methods = {
        "eeg": {"streams": ["eeg"]},
        "decision": {"fusion": {"class_path": "affect.fusion.Decision", "init_args": {"by": "learned"}}},
        "forest": {"classical": {"class_path": "affect.classical.RandomForest", "init_args": {"trees": 5}}},
        "naive-bayes": {"streams": ["eda"], "classical": "affect.classical.FisherNaiveBayes"},
        "dann": {
            "streams": ["eeg"],
            "alignment": {"class_path": "affect.alignment.DANN", "init_args": {"weight": 0.1}},
        },
    }
    model = {"stream_heads": 0.5, "stream_dropout": 0.3}
    code, said, summary = run(config(tmp_path, methods=methods, model=model, missing_streams=True))
    assert code == 0, said
    block = summary["targets"]["arousal"]
    rows = {row["method"]: row for row in block["methods"].values()}
    assert list(rows) == ["source-only", *methods]
    assert rows["dann"]["setting"] == "transductive"
    assert all(rows[name]["setting"] == "transductive-stats" for name in rows if name != "dann")
    assert all(rows[name]["window"]["balanced_accuracy"]["people"] == 4 for name in rows)
    assert set(block["stream_heads"]) == {"source-only/subject", "decision/subject"}
    for heads in block["stream_heads"].values():
        assert set(heads) == {"eeg", "eda"}
    assert set(block["missing_streams"]) == {"source-only/subject", "decision/subject"}
    missing = block["missing_streams"]["decision/subject"]
    assert set(missing["subsets"]) == {"eeg", "eda", "eeg+eda"}
    assert list(missing["rates"]) == [f"{i / 10:g}" for i in range(10)]
    # With every stream, and none lost, it is the model that was tested; alone, a fused decision is the head's own.
    whole = rows["decision"]["window"]["balanced_accuracy"]["subjects"]
    assert missing["subsets"]["eeg+eda"]["subjects"] == missing["rates"]["0"]["subjects"] == whole
    assert missing["subsets"]["eeg"]["subjects"] == block["stream_heads"]["decision/subject"]["eeg"]["subjects"]
    shares = summary["shares"]["decision/subject"]
    assert sum(shares["mean"].values()) == pytest.approx(1, abs=1e-3)
    assert set(shares["subjects"]) == {"s01", "s02", "s03", "s04"}
    assert {"share_eeg", "p_arousal_low@eda"} <= set(predictions(tmp_path, "decision"))
    assert "eeg+eda" in said
    assert "own head" in said


def test_people_who_lack_a_stream_train_and_are_tested(run: Any, tmp_path: Path) -> None:
    methods = {"face": {"streams": ["face"]}, "gated": {"fusion": "affect.fusion.Gated"}}
    tree = config(tmp_path, ("eeg", "face"), methods=methods, missing_streams=True)
    code, said, summary = run(tree)
    assert code == 0, said
    block = summary["targets"]["arousal"]
    subsets = block["missing_streams"]["gated/subject"]["subsets"]
    assert subsets["face"]["people"] == 2  # nobody is scored on a stream they lack
    assert subsets["eeg"]["people"] == subsets["eeg+face"]["people"] == 4
    shares = summary["shares"]["gated/subject"]["subjects"]
    assert shares["s03"] == {"eeg": 1.0, "face": 0.0}
    assert 0 < shares["s01"]["face"] < 1


def test_a_stream_that_nobody_trained_on_has_is_refused(run: Any, tmp_path: Path) -> None:
    tree = config(tmp_path, ("eeg", "face"))
    tree["data"]["corpus"]["init_args"]["faces"] = 1
    code, said, _ = run(tree)
    assert code == 2
    assert "data.streams.face" in said
    assert "training windows of fold s01" in said


def test_few_labels_of_the_tested_person(run: Any, tmp_path: Path) -> None:
    """They are learned from, never scored; more of them are scored on the same trials."""
    tested = {}
    for count in (0, 1, 2):
        protocol = {"class_path": LEAVE_ONE_OUT, "init_args": {"calibration": count}}
        protocol["init_args"]["calibration_reserve"] = 2
        methods = {"ridge": {"classical": "affect.classical.Ridge"}}
        code, said, summary = run(config(tmp_path / str(count), protocol=protocol, methods=methods))
        assert code == 0, said
        rows = summary["targets"]["arousal"]["methods"].values()
        assert {row["setting"] for row in rows} == {f"calibrated({count})" if count else "transductive-stats"}
        tested[count] = set(predictions(tmp_path / str(count), "source-only")["trial"])
        assert len(tested[count]) == 8  # two trials of each person are kept out of the test
    assert tested[0] == tested[1] == tested[2]


@pytest.fixture
def trials() -> pd.DataFrame:
    people = [f"s{i:02d}" for i in range(1, 9) for _ in range(6)]
    return pd.DataFrame({"subject": people, "stimulus": ["v"] * len(people), "corpus": "deap"})


@pytest.mark.parametrize("groups", [None, 4])
def test_fewer_source_people_are_some_of_more(trials: pd.DataFrame, groups: int | None) -> None:
    def people(count: int | None) -> list[set[str]]:
        protocol = SubjectGroups(groups, source_people=count) if groups else LeaveOneSubjectOut(source_people=count)
        return [set(trials["subject"].iloc[fold.source_train]) for fold in protocol.split(trials)]

    for few, more, everybody in zip(people(2), people(4), people(None), strict=True):
        assert len(few) == 2
        assert len(more) == 4
        assert few < more < everybody


def test_calibration_trials_are_the_tested_persons_and_grow(trials: pd.DataFrame) -> None:
    def folds(count: int) -> list[Any]:
        return LeaveOneSubjectOut(calibration=count, calibration_reserve=3).split(trials)

    for one, two in zip(folds(1), folds(2), strict=True):
        assert set(one.target_calibration) < set(two.target_calibration)
        assert set(trials["subject"].iloc[two.target_calibration]) == {two.name}
        assert np.array_equal(one.target_test, two.target_test)
        assert not set(two.target_calibration) & (set(two.target_test) | set(two.source_train) | set(two.source_val))
        assert len(two.target_test) == 3


def test_a_classical_model_of_the_experiment_and_decisions_of_groups(run: Any, tmp_path: Path) -> None:
    """It is source-only's and every method's; decisions are averaged, of models that each see their own streams."""
    tree = config(
        tmp_path,
        protocol={"class_path": "datamodules.protocols.WithinSubject", "init_args": {"parts": None}},
        methods={"eeg": {"streams": ["eeg"]}, "eda": {"streams": ["eda"]}, "both": {"decisions": [["eeg"], ["eda"]]}},
    )
    tree["data"]["corpus"]["init_args"] |= {"subjects": 2, "trials": 6}
    tree["model"] = {"classical": "affect.classical.LogisticRegression"}
    code, said, summary = run(tree)
    assert code == 0, said
    assert summary["folds"] == 12
    assert list(summary["targets"]["arousal"]["methods"]) == [f"{m}/subject" for m in ("source-only", *tree["methods"])]
    assert not list((tmp_path / "runs").rglob("weights.safetensors"))
    eeg, eda, both = (predictions(tmp_path, name)["p_arousal_high"].to_numpy() for name in ("eeg", "eda", "both"))
    np.testing.assert_allclose(both, (eeg + eda) / 2)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("--model={}", "encoders, or a classical model"),
        ("--model.classical=affect.classical.SVM", "encoders and a classical model"),
        ("--methods.m.decisions=[[eeg], [eda]]", "use affect.fusion.Decision"),
        ("--methods.m={classical: affect.classical.SVM, decisions: [[eeg], [ecg]]}", "methods.m.decisions"),
        ("--methods.m.streams=[ecg]", "methods.m.streams"),
        ("--methods.m.transfer.ecg.mode=affect.transfer.Frozen", "methods.m.transfer"),
        ("--model.transfer.eeg.mode=affect.transfer.Frosen", "did you mean affect.transfer.Frozen"),
        ("--model.augmentations.ecg=[affect.augmentation.Noise]", "model.augmentations"),
        ("--model.augmentations.eeg=[affect.augmentation.Noize]", "did you mean affect.augmentation.Noise"),
        ("--methods.m.classical=affect.classical.SWM", "did you mean affect.classical.SVM"),
        ("--methods.m={classical: affect.classical.SVM, fusion: affect.fusion.Gated}", "beside a classical model"),
        ("--methods.source-only.streams=[eeg]", "methods.source-only"),
        ("--model.fusion={class_path: affect.fusion.Decision, init_args: {by: validation}}", "held-out source people"),
        ("--methods.m={classical: affect.classical.SVM, streams: [raw]}", "add data.streams.raw.features"),
        ("--model.augmentations.eeg=[affect.augmentation.PictureJitter]", "model.augmentations.eeg.0"),
        (
            f"--protocol={{class_path: {LEAVE_ONE_OUT}, init_args: {{calibration: 1, new_stimuli: 2}}}}",
            "with new_stimuli",
        ),
        ("--protocol.source_people=9", "9 of 3 source people"),
        ("--protocol.calibration=4", "4 of s01's 4 trials"),
        ("--protocol=datamodules.protocols.Everyone", "nobody is tested"),
    ],
)
def test_what_cannot_be_is_told(run: Any, tmp_path: Path, override: str, told: str) -> None:
    tree = config(tmp_path)
    if "[raw]" in override:
        tree["data"]["streams"]["raw"] = {"stream": "eeg"}
        tree["model"]["encoders"]["raw"] = "affect.encoders.SpatialFirstEEGNet"
    code, said, _ = run(tree, override)
    assert code == 2, said
    assert told in said
    assert "Traceback" not in said
