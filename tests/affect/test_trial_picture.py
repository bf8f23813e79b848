"""The picture of a trial: what is in it can be read, and nothing that was not recorded is in it."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.text import Text

from affect.batch import Signal, Video
from affect.reporting import trial as picture
from affect.reporting.window_features import Windows

CAP = ("Fp1", "Fp2", "F3", "F4", "F7", "F8", "T3", "T4", "C3", "C4", "T5", "T6", "P3", "P4", "O1", "O2")
Draw = Callable[..., Any]


class Film(Video):
    seconds, where = 6.0, "film"

    def frames(self, rate: float) -> Iterator[Any]:
        yield from np.random.default_rng(0).integers(0, 255, (int(6 * rate), 60, 80, 3), dtype=np.uint8)


def waves(channels: tuple[str, ...], seconds: float = 20.0, rate: float = 50.0, unit: str = "µV") -> Signal:
    noise = np.random.default_rng(0).standard_normal((len(channels), int(seconds * rate)))
    return Signal(noise.astype(np.float32), rate, channels, unit)


def cut(seconds: float, step: float, count: int, features: Any = None, names: tuple[str, ...] = ()) -> Windows:
    channels = tuple(f"c{i}" for i in range(features.shape[1])) if features is not None else ()
    starts = step * np.arange(count, dtype=np.float64)
    return {"starts": starts, "seconds": seconds, "step": step, "channels": channels, "names": names,
            "features": features}  # fmt: skip


@pytest.fixture
def draw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Draw:
    """Draws a trial; returns matplotlib's figure, after it was written."""
    kept: list[Figure] = []
    save = Figure.savefig

    def keep(figure: Figure, path: Path) -> None:
        kept.append(figure)
        save(figure, path)

    monkeypatch.setattr(Figure, "savefig", keep)

    def drawn(recorded: Signal | Video, prepared: Signal | None = None, **more: Any) -> Figure:
        trial: Any = {"title": "made 1", "recorded": recorded, "prepared": prepared or recorded, "steps": ()}
        trial |= {"onset": 0.0, "windows": cut(4.0, 4.0, 5), "mosaic": 0} | more
        assert imread(picture.draw(trial, tmp_path / "new" / "trial.png")).shape[1] == 1200
        return kept[-1]

    return drawn


def bars(axis: Any) -> list[list[tuple[float, float]]]:
    """Row by row, start and end of each bar."""
    return [[(p.vertices[:, 0].min(), p.vertices[:, 0].max()) for p in c.get_paths()] for c in axis.collections]


def words(axis: Any) -> list[str]:
    return [text.get_text() for text in axis.findobj(Text) if text.get_text()]


def test_only_intervals_between_beats_are_drawn(draw: Draw) -> None:
    beats = np.zeros((1, 80), np.float32)
    beats[0, [3, 6, 10, 70]] = 700, 800, 1000, 900
    figure = draw(waves(("bvp",)), Signal(beats, 4.0, ("ibi",), "ms"))
    (line,) = figure.axes[1].lines
    np.testing.assert_array_equal(line.get_ydata(), [700, 800, 1000, 900])
    np.testing.assert_allclose(line.get_xdata(), [0.75, 1.5, 2.5, 17.5])
    assert "ms" in figure.axes[1].get_ylabel()


def test_the_scale_bar_is_as_long_as_it_says(draw: Draw) -> None:
    signal = waves(CAP)
    axis = draw(signal).axes[0]
    *lines, bar = axis.lines
    (text,) = [word for word in words(axis) if "µV" in word]
    drawn = np.ptp(lines[4].get_ydata()) / np.ptp(signal.data[4])
    assert np.ptp(bar.get_ydata()) == pytest.approx(float(text.split()[0]) * drawn)
    assert set(CAP) <= set(words(axis))


def test_one_channel_has_an_axis_and_few_their_ranges(draw: Draw) -> None:
    one = draw(waves(("skin",), unit="µS")).axes[0]
    assert one.get_ylabel() == "skin, µS"
    assert np.ptp(one.get_ylim()) > np.ptp(one.lines[0].get_ydata())
    two = waves(("pitch", "level"), unit="semitones, dB")
    two.data[0] = np.linspace(20, 31, two.data.shape[1])
    two.data[1, 5] = np.nan
    told = words(draw(two).axes[0])
    assert " 20 … 31 semitones" in told
    assert any(word.endswith(" dB") and "nan" not in word for word in told)


@pytest.mark.parametrize(("seconds", "step", "count"), [(4.0, 4.0, 5), (4.0, 1.0, 17), (3.0, 2.0, 9), (2.0, 3.0, 6)])
@pytest.mark.parametrize("channels", [1, 64], ids=["line", "image"])
def test_every_window_is_a_bar_of_its_own(draw: Draw, seconds: float, step: float, count: int, channels: int) -> None:
    figure = draw(waves(tuple(f"c{i}" for i in range(channels))), windows=cut(seconds, step, count))
    rows = bars(figure.axes[2])
    found = sorted(bar for row in rows for bar in row)
    np.testing.assert_allclose([start for start, _ in found], step * np.arange(count))
    np.testing.assert_allclose([end - start for start, end in found], seconds)
    for row in rows:
        assert all(after >= end - 1e-9 for (_, end), (after, _) in pairwise(row))
    assert figure.axes[2].get_xlim() == figure.axes[1].get_xlim() == (0, 20)


def test_a_trial_shorter_than_recorded_says_so(draw: Draw) -> None:
    recorded, prepared = waves(("mono",), 20.0), waves(("mono",), 7.5)
    axes = draw(recorded, prepared, steps=("TrimSilence",), windows=cut(10.0, 10.0, 1)).axes
    assert "prepared → TrimSilence" in axes[1].get_title(loc="left")
    assert "7.5 s of the 20 s recorded" in axes[1].get_title(loc="left").replace("\n", " ")
    assert "repeating the 7.5 s" in axes[2].get_xlabel()
    assert "recorded," not in draw(recorded, waves(("mono",), 20.02)).axes[1].get_title(loc="left")


def test_features_are_named(draw: Draw) -> None:
    bands = ("delta", "theta", "alpha")
    values = np.random.default_rng(0).standard_normal((5, 2, 3)).astype(np.float32)
    axis = draw(waves(CAP), windows=cut(4.0, 4.0, 5, values, bands)).axes[3]
    assert {f"c{i} {band}" for i in range(2) for band in bands} <= set(words(axis))
    assert f"{values[2, 1, 1]:.4g}" in words(axis)
    many = draw(waves(CAP), windows=cut(4.0, 4.0, 5, values.repeat(6, axis=1), bands)).axes[3]
    assert {f"c{i}" for i in range(12)} <= set(words(many))
    assert "delta, theta, alpha" in many.get_ylabel()
    alone = draw(waves(CAP), windows=cut(20.0, 20.0, 1, values[:1, :1], bands)).axes[3]
    assert set(bands) <= set(words(alone))
    np.testing.assert_allclose([bar.get_height() for bar in alone.patches], values[0, 0])


def test_a_thousand_features_are_a_line(draw: Draw) -> None:
    still = Signal(np.zeros((3, 1, 32, 32), np.uint8), 0.0, ("red", "green", "blue"), "8 bit")
    values = np.random.default_rng(0).standard_normal((1, 1, 1764)).astype(np.float32)
    names = tuple(f"row{i // 252} column{i // 36 % 7} bin{i % 36}" for i in range(1764))
    figure = draw(still, windows=cut(1.0, 1.0, 1, values, names))
    axis = figure.axes[2]
    np.testing.assert_array_equal(axis.lines[0].get_ydata(), values[0, 0])
    assert names[-1] in axis.get_xlabel()


@pytest.mark.parametrize("mosaic", [0, 5])
def test_nobody_is_recognised_in_a_mosaic(draw: Draw, mosaic: int) -> None:
    crops = np.random.default_rng(0).integers(0, 255, (3, 30, 64, 64), dtype=np.uint8)
    figure = draw(Film(), Signal(crops, 5.0, ("red", "green", "blue"), "8 bit"), mosaic=mosaic)
    for axis, width, count in ((figure.axes[0], 80, 6), (figure.axes[1], 64, 8)):
        shown = np.asarray(axis.images[0].get_array())
        assert shown.shape[1] == count * width
        colours = np.unique(shown[:, :width].reshape(-1, 3), axis=0)
        assert len(colours) <= 25 if mosaic else len(colours) > 1000
        assert ("tiles" in axis.get_title(loc="left")) == bool(mosaic)
    assert len(bars(figure.axes[2])[0]) == 5


def test_everything_written_is_inside_the_picture(draw: Draw) -> None:
    """However long the names: of the trial, of its steps, of its features."""
    values = np.random.default_rng(0).standard_normal((5, 1, 200)).astype(np.float32)
    names = tuple(f"a feature with quite a long name {i}" for i in range(200))
    windows = cut(4.0, 4.0, 5, values, names)
    steps = ("Resample", "BandPass", "Notch", "BadChannels", "AverageReference", "IndependentComponents") * 2
    title = "a corpus with a long name, a person with another, and a film whose title is longer than both: eeg"
    for signal in (waves(CAP), waves(("tonic", "phasic"), unit="µS"), waves(tuple(f"channel{i}" for i in range(64)))):
        figure = draw(signal, steps=steps, title=title, windows=windows, onset=3.0)
        box = figure.bbox
        for text in figure.findobj(Text):
            if text.get_visible() and text.get_text().strip():
                extent = text.get_window_extent()
                inside = box.x0 <= extent.x0 and extent.x1 <= box.x1 and box.y0 <= extent.y0 and extent.y1 <= box.y1
                assert inside, text.get_text()


def test_a_trial_without_windows_can_be_drawn(draw: Draw) -> None:
    figure = draw(waves(("skin",)), windows=cut(60.0, 60.0, 0))
    assert figure.axes[2].get_xlabel() == "s; 0 windows of 60 s"
