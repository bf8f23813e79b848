"""The README's figures on real people, made again from its configs: `AFFECT_DATA=… uv run pytest -m slow`."""

import json
from pathlib import Path

import pytest

from experiments.run import main

CORPUS = {"ravdess_action_units": "ravdess", "ravdess_audio_au": "ravdess"}
CONFIGS = Path(__file__).parents[2] / "experiments" / "configs"


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "level", "source", "subject"),
    [
        ("eegmat", "window", 0.72, 0.80),
        ("ravdess", "trial", 0.44, 0.54),
        ("ravdess_action_units", "window", 0.57, 0.74),
        ("ravdess_audio_au", "window", 0.65, 0.80),
        ("nemo", "window", 0.31, 0.43),
        ("stress_predict", "window", 0.62, 0.73),
        ("ceap", "window", 0.58, 0.58),
    ],
)
def test_source_only_reaches_a_linear_model(
    real_data: Path, tmp_path: Path, name: str, level: str, source: float, subject: float
) -> None:
    """Balanced accuracy of source-only, about what a linear model gets there, under both normalisations."""
    arguments = [
        f"--config={CONFIGS / name}.yaml",
        f"--data.corpus.root={real_data / CORPUS.get(name, name)}",
        f"--data.cache={tmp_path / 'cache'}",
        f"--output={tmp_path / 'runs'}",
    ]
    assert main(arguments) == 0
    (path,) = (tmp_path / "runs").glob(f"{name}-*/summary.json")
    (block,) = json.loads(path.read_text())["targets"].values()
    methods = block["methods"]
    assert methods["source-only/source"][level]["balanced_accuracy"]["mean"] >= source
    assert methods["source-only/subject"][level]["balanced_accuracy"]["mean"] >= subject


@pytest.mark.real
@pytest.mark.slow
def test_voice_and_face_together_beat_either_and_do_without_one(real_data: Path, tmp_path: Path) -> None:
    arguments = [
        f"--config={CONFIGS / 'ravdess_audio_au.yaml'}",
        f"--data.corpus.root={real_data / 'ravdess'}",
        f"--data.cache={tmp_path / 'cache'}",
        f"--output={tmp_path / 'runs'}",
    ]
    assert main(arguments) == 0
    (path,) = (tmp_path / "runs").glob("ravdess_audio_au-*/summary.json")
    (block,) = json.loads(path.read_text())["targets"].values()
    score = {row: found["window"]["balanced_accuracy"]["mean"] for row, found in block["methods"].items()}
    assert score["source-only/source"] >= 0.66
    assert score["source-only/subject"] >= 0.82
    assert score["source-only/subject"] >= max(score["au/subject"], score["audio/subject"]) + 0.04
    alone = block["missing_streams"]["source-only/subject"]["subsets"]
    assert alone["au"]["mean"] >= score["au/subject"] - 0.03
    assert alone["audio"]["mean"] >= score["audio/subject"] - 0.03
