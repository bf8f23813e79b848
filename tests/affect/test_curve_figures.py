"""The figures: both files are made, the same each time, and names do not overlap."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.image import imread
from matplotlib.text import Text

from affect.reporting.figures import learning_curve, missing_streams
from affect.reporting.style import PALETTE, Score, canvas, save


def _score(mean: float, half: float = 0.04) -> Score:
    return {"mean": mean, "low": mean - half, "high": mean + half}


SUBSETS = {
    "audio+au+eeg": 0.72, "audio+au": 0.70, "audio+eeg": 0.55, "au+eeg": 0.63, "audio": 0.46, "au": 0.61, "eeg": 0.31,
}  # fmt: skip
MISSING: missing_streams.MissingStreams = {
    "title": "Eight emotions on actors never met, when streams are missing (invented numbers)",
    "metric": "balanced accuracy",
    "chance": 0.125,
    "subsets": {name: _score(mean) for name, mean in SUBSETS.items()},
    "rates": {r: _score(0.72 - 0.5 * r**2, 0.03 + 0.03 * r) for r in (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)},
    "fused": "audio+au+eeg",
}
ENDS = {
    "from scratch": 0.62, "pretrained on speech": 0.71, "pretrained, frozen": 0.715, "contrastive": 0.72,
    "ridge": 0.60, "random forest": 0.50,
}  # fmt: skip
CURVES: learning_curve.LearningCurves = {
    "title": "What few labelled trials of the new person are worth (invented numbers)",
    "metric": "balanced accuracy",
    "chance": 0.5,
    "x_label": "labelled trials of the new person",
    "lines": {
        name: {n: _score(0.52 + (end - 0.52) * (1 - 0.7**i) / (1 - 0.7**5)) for i, n in enumerate((0, 2, 4, 8, 16, 32))}
        for name, end in ENDS.items()
    },
}


@pytest.mark.parametrize(("draw", "what"), [(missing_streams.draw, MISSING), (learning_curve.draw, CURVES)])
def test_pixels_and_vectors_are_made_and_always_the_same(draw: Any, what: Any, tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    first, second = save(draw(what), tmp_path / "a" / "figure"), save(draw(what), tmp_path / "b" / "figure.png")
    assert [path.name for path in first] == ["figure.png", "figure.svg"]
    assert imread(first[0]).shape[1] == 1200
    assert "<svg" in first[1].read_text()
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
    assert dict(matplotlib.rcParams) == before


def test_a_single_subset_rate_and_count_can_be_drawn(tmp_path: Path) -> None:
    one: missing_streams.MissingStreams = {
        **MISSING, "subsets": {"eeg": _score(0.3)}, "rates": {0.0: _score(0.3)}, "fused": "eeg",
    }  # fmt: skip
    assert save(missing_streams.draw(one), tmp_path / "missing")[0].stat().st_size > 0
    line: learning_curve.LearningCurves = {**CURVES, "lines": {"ridge": {4: _score(0.6)}}}
    assert save(learning_curve.draw(line), tmp_path / "curve")[0].stat().st_size > 0


def test_names_are_moved_apart_no_more_than_they_must() -> None:
    wanted = np.array([0.0, 10.0, 11.0, 12.0, 40.0])
    found = learning_curve.spread(wanted, 5.0)
    np.testing.assert_allclose(found, [0.0, 6.0, 11.0, 16.0, 40.0])
    far = np.array([1.0, 9.0, 30.0])
    np.testing.assert_array_equal(learning_curve.spread(far, 5.0), far)


@pytest.mark.parametrize("close", [0.0, 1e-3])
def test_names_at_line_ends_do_not_overlap_and_stay_in_the_picture(close: float) -> None:
    lines = {f"method {i}": {n: _score(0.6 + i * close) for n in (1, 2, 3)} for i in range(len(PALETTE) + 1)}
    figure = learning_curve.draw({**CURVES, "lines": lines})
    figure.draw_without_rendering()
    boxes = [Text.get_window_extent(text) for text in figure.axes[0].texts]  # without their leaders
    boxes.sort(key=lambda box: box.y0)
    assert len(boxes) == len(lines) + 1  # chance
    assert all(below.y1 <= above.y0 + 1 for below, above in pairwise(boxes))
    assert all(box.x1 <= figure.bbox.x1 for box in boxes)


def test_a_canvas_is_the_projects_width(tmp_path: Path) -> None:
    with canvas("title", 2.0) as figure:
        figure.subplots().plot([0, 1], [0, 1])
        png, svg = save(figure, tmp_path / "deep" / "er" / "plain.svg")
    assert imread(png).shape[:2] == (300, 1200)
    assert svg.is_file()
