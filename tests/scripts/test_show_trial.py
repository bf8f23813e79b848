"""scripts/show_trial.py: a picture for each stream of the trial that was asked for."""

from pathlib import Path

import pytest
from matplotlib.image import imread

from scripts.show_trial import main


@pytest.fixture
def arguments(config: Path, people: Path, tmp_path: Path) -> list[str]:
    cache, out = tmp_path / "cache", tmp_path / "pictures"
    return [f"--config={config}", f"--data.corpus.root={people}", f"--data.cache={cache}", f"--out={out}",
            "--data.corpus.subjects=[s02]", "--launcher.local.workers=1"]  # fmt: skip


def test_a_picture_per_stream(arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    skin = ["--data.streams.eda={features: affect.preprocessing.Trend}", "--model.encoders.eda=affect.encoders.BandMLP"]
    assert main([*arguments, "--trial=3", *skin]) == 0
    paths = [tmp_path / "pictures" / f"deap-s02-3-{stream}.png" for stream in ("eeg", "eda")]
    assert capsys.readouterr().out == "".join(f"{path}\n" for path in paths)
    assert [imread(path).shape[1] for path in paths] == [1200, 1200]


def test_a_trial_that_is_not_there(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments, "--trial=5"]) == 2
    assert "1 … 4" in capsys.readouterr().err
