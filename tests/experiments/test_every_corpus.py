"""Every corpus: stand-in written, all its streams prepared, one experiment run through the door."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from test_every_config import small

import datamodules.standin
from datamodules.corpora.base import Corpus
from experiments.data import build_corpora
from experiments.load import load
from experiments.run import main

STAND_INS = sorted(name.removeprefix("StandIn") for name in datamodules.standin.__all__)
WITH_FILMS = {"Deap": {"faces": 2}, "Ravdess": {"videos": 2}, "CremaD": {"videos": 2}}
FEATURES = {
    "face": {
        "steps": [{"class_path": "affect.preprocessing.FaceCrops", "init_args": {"rate": 1, "size": 32}}],
        "features": {"class_path": "affect.preprocessing.HOG"},
    },
    "other": {"features": {"class_path": "affect.preprocessing.Functionals"}},
}


def experiment(corpus: type[Corpus], component: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """All streams of a corpus, summed up window by window, tell one of its ratings."""
    rating, scale = next(iter(corpus.ratings.items())) if corpus.name != "folder" else ("valence", (1.0, 9.0))
    if isinstance(scale[0], str):
        target = {"class_path": "datamodules.targets.Classes", "init_args": {"rating": rating, "classes": list(scale)}}
    else:
        middle = (float(scale[0]) + float(scale[1])) / 2
        target = {"class_path": "datamodules.targets.Threshold", "init_args": {"rating": rating, "above": middle}}
    streams = list(corpus.streams) if corpus.name != "folder" else ["eeg", "eda", "ecg", "audio"]
    absent = {"annotation", *(["face"] if corpus.name == "amigos" else [])}  # its stand-in writes no films
    streams = [s for s in streams if s not in absent]
    return {
        "name": "every",
        "data": {
            "corpus": component,
            "streams": {s: FEATURES["face" if s == "face" else "other"] for s in streams},
            "target": target,
            "window": {"seconds": 2, "step": 4, "short": "repeat"},
            "bad_trials": "absent",
            "cache": str(tmp_path / "cache"),
        },
        "protocol": "datamodules.protocols.LeaveOneSubjectOut",
        "normalisation": ["subject"],
        "model": {"encoders": dict.fromkeys(streams, "affect.encoders.BandMLP")},
        "trainer": {"max_epochs": 1, "batch_size": 256},
        "launcher": {"local": {"workers": 1}},
        "wandb": {"mode": "disabled"},
        "output": str(tmp_path / "runs"),
    }


@pytest.mark.parametrize("name", STAND_INS)
@pytest.mark.filterwarnings("ignore")
def test_every_corpus_goes_from_its_files_to_a_table(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    component = small(name, tmp_path / "corpora", 6.0)
    component["init_args"] |= WITH_FILMS.get(name, {})
    corpus = getattr(datamodules.standin, f"StandIn{name}")
    config = experiment(corpus, component, tmp_path)
    (path := tmp_path / "every.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    code = main([f"--config={path}"])
    printed = capsys.readouterr()
    assert code == 0, printed.err
    (written,) = (tmp_path / "runs").glob("every-*/summary.json")
    summary = json.loads(written.read_text(encoding="utf-8"))
    assert summary["subjects"] == 3
    predictions = pd.concat(pd.read_parquet(p) for p in (tmp_path / "runs/runs").glob("*/predictions.parquet"))
    assert predictions["subject"].nunique() == 3


CONFIGS = Path(__file__).parents[2] / "experiments/configs"
REAL = {
    "eegmat": "eegmat",
    "stress_predict": "stress_predict",
    "ceap": "ceap",
    "nemo": "nemo",
    "london_faces": "london_faces",
    "uci_har": "uci_har",
    "ravdess": "ravdess",
    "ravdess_action_units": "ravdess",
    "ravdess_audio_au": "ravdess",
}


@pytest.mark.real
@pytest.mark.parametrize("name", REAL)
@pytest.mark.filterwarnings("ignore")
def test_every_open_corpus_goes_from_its_files_to_a_table(
    name: str, real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three real people through the config that is shipped, source-only, one epoch; figures: test_figures."""
    config, root = CONFIGS / f"{name}.yaml", real_data / REAL[name]
    experiment = load(config, [f"--data.corpus.root={root}"])
    people = build_corpora(experiment)[0].subjects()[:3]
    code = main(
        [
            f"--config={config}",
            f"--data.corpus.root={root}",
            f"--data.corpus.subjects={json.dumps(people)}",
            "--protocol=datamodules.protocols.LeaveOneSubjectOut",
            "--methods={}",
            *(["--search=null", "--selection=last"] if experiment.search else []),
            *("--trainer.max_epochs=1", "--seeds=[0]", "--launcher.local.workers=1", "--wandb.mode=disabled"),
            *(f"--data.cache={tmp_path / 'cache'}", f"--output={tmp_path / 'runs'}"),
        ]
    )
    printed = capsys.readouterr()
    assert code == 0, printed.err
    (written,) = (tmp_path / "runs").glob("*/summary.json")
    assert json.loads(written.read_text(encoding="utf-8"))["subjects"] == 3
