"""The picture of one stream of one trial: as it was recorded, as it was prepared, its windows, their features."""

import textwrap
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from affect.batch import Signal, Video
from affect.reporting.style import INK, MUTED, PALETTE, canvas
from affect.reporting.window_features import FIT, Windows, draw_features, key, named
from affect.reporting.words import counted

_OWN = 4  # channels that have a scale each
_CUTS = 60  # windows whose starts are lines
_SMALL: dict[str, Any] = {"size": 7.5, "color": INK}


class Trial(TypedDict):
    """What is drawn.

    Args:
        title: of the figure.
        recorded: as the corpus has it.
        prepared: after its steps.
        steps: their names.
        onset: s, when the stimulus begins, after the baseline.
        windows: how it was cut.
        mosaic: pictures are shown in so many tiles along a side, so that nobody is recognised; 0: as they are.
    """

    title: str
    recorded: Signal | Video
    prepared: Signal
    steps: tuple[str, ...]
    onset: float
    windows: Windows
    mosaic: int


def draw(trial: Trial, path: Path) -> Path:
    """Write the picture; its folder is made."""
    prepared, windows = trial["prepared"], trial["windows"]
    timed, values = prepared.rate > 0, windows["features"]
    bars = min(1.0, 0.2 + 0.07 * _stacked(windows))
    heights = [1.9, 1.9, *([bars] if timed else []), *([2.5] if values is not None else [])]
    with canvas(trial["title"], 0.6 + sum(heights) + 0.55 * len(heights)) as figure:
        axes = figure.subplots(len(heights), height_ratios=heights)
        _panel(axes[0], trial["recorded"], "recorded", trial)
        _panel(axes[1], prepared, " → ".join(["prepared", *trial["steps"]]), trial)
        if timed:
            _windows(axes[1], axes[2], prepared, windows)
        if values is not None:
            draw_features(axes[-1], values, windows)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)
    return path


def _panel(axis: Any, signal: Signal | Video, what: str, trial: Trial) -> None:
    """One recording, in the way its kind is read, and what it is."""
    if isinstance(signal, Video):
        frames = [frame for _, frame in zip(range(400), signal.frames(1.0), strict=False)]
        _strip(axis, frames, 1.0 if np.isfinite(signal.seconds) else 0.0, trial["mosaic"])
        facts = [f"a film of {signal.seconds:.3g} s" if np.isfinite(signal.seconds) else "a still"]
    elif signal.data.ndim == 4:
        _strip(axis, list(signal.data.transpose(1, 2, 3, 0)), signal.rate, trial["mosaic"])
        height, width = signal.data.shape[2:]
        facts = [counted(signal.data.shape[1], "picture"), f"{height} × {width} pixels"]
    else:
        facts = [counted(len(signal.channels), "channel")]
        if signal.rate == 0:
            axis.bar(np.arange(len(signal.channels)), signal.data[:, 0], color=PALETTE[0])
            axis.set_ylabel(textwrap.fill(signal.unit, 24))
            axis.set_xticks(np.arange(len(signal.channels)), signal.channels, rotation=90, size=7)
            axis.grid(visible=False, axis="x")
        else:
            _over_time(axis, signal, trial["onset"])
    if isinstance(signal, Signal):
        facts += [f"{signal.rate:g} Hz, {signal.seconds:.4g} s"] if signal.rate else ["for the whole trial"]
        before = trial["recorded"].seconds
        if signal.rate and np.isfinite(before) and abs(signal.seconds - before) > 2 / signal.rate:
            facts[-1] += f" of the {before:.4g} s recorded, on a time of its own"
    if trial["mosaic"] and (isinstance(signal, Video) or signal.data.ndim == 4):
        facts.append(f"shown in {trial['mosaic']} × {trial['mosaic']} tiles")
    axis.set_title(textwrap.fill(f"{what}: {', '.join(facts)}", 74))


def _over_time(axis: Any, signal: Signal, onset: float) -> None:
    if signal.channels == ("ibi",):
        _beats(axis, signal)
    elif len(signal.channels) == 1:
        axis.plot(_times(signal), signal.data[0], color=PALETTE[0], linewidth=0.6)
        axis.set_ylabel(f"{signal.channels[0]}, {signal.unit}")
    elif len(signal.channels) <= FIT:
        _lines(axis, signal)
    else:
        _image(axis, signal)
    axis.set_xlim(0, signal.seconds)
    axis.set_xlabel("s")
    if onset:
        axis.axvline(onset, color=PALETTE[1], linewidth=1)
        text = axis.text(onset, 1, " stimulus", va="top", transform=axis.get_xaxis_transform(), **_SMALL)
        text.set_bbox({"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 1})


def _times(signal: Signal) -> NDArray[np.float64]:
    times: NDArray[np.float64] = np.arange(signal.data.shape[1]) / signal.rate
    return times


def _beats(axis: Any, signal: Signal) -> None:
    """A tachogram: every interval at the beat that ends it; the zeros between beats are no intervals."""
    at = np.flatnonzero(signal.data[0])
    axis.plot(_times(signal)[at], signal.data[0, at], ".-", color=PALETTE[0], linewidth=0.5, markersize=3)
    axis.set_ylabel(f"beat to beat, {signal.unit}")


def _lines(axis: Any, signal: Signal) -> None:
    """Channels one below the other: few, or of several units, each filling its row, its range beside it; many on one
    scale, with a bar of its size."""
    units, count = signal.unit.split(", "), len(signal.channels)
    mixed = len(units) == count
    low, high = (np.nan_to_num(bound(signal.data, axis=1)) for bound in (np.fmin.reduce, np.fmax.reduce))
    span = np.where(high > low, high - low, 1.0)
    own = mixed or count <= _OWN
    usual = np.nanpercentile(signal.data, 99, axis=1) - np.nanpercentile(signal.data, 1, axis=1)
    scale = 1.15 * span if own else np.full(count, 1.5 * np.median(usual) or 1.0)  # a few swings may cross other rows
    middle = (low + high) / 2 if own else np.nanmedian(signal.data, axis=1)
    for row in range(count):
        values = (signal.data[row] - middle[row]) / scale[row] - row
        axis.plot(_times(signal), values, color=PALETTE[0], linewidth=0.6)
        if own:
            text = f" {low[row]:.3g} … {high[row]:.3g} {units[row] if mixed else signal.unit}"
            axis.text(1, -row, text, va="center", transform=axis.get_yaxis_transform(), **_SMALL)
    if not own:
        size = _round(2 * float(scale[0]))
        x, middle_row = 1.01, -(count - 1) / 2
        ends = [middle_row - size / scale[0] / 2, middle_row + size / scale[0] / 2]
        sideways = axis.get_yaxis_transform()
        axis.plot([x, x], ends, color=INK, linewidth=1.5, transform=sideways, clip_on=False)
        axis.text(x, middle_row, f"  {size:g} {signal.unit}", va="center", transform=sideways, **_SMALL)
    axis.set_yticks(-np.arange(count), signal.channels, size=7 if count > 8 else 9)
    axis.grid(visible=False, axis="y")


def _round(size: float) -> float:
    """The largest of 1, 2, 5, 10 … that is not above."""
    power = 10.0 ** np.floor(np.log10(size))
    return float(max(n for n in (1, 2, 5) if n * power <= size * (1 + 1e-9)) * power)


def _image(axis: Any, signal: Signal) -> None:
    low, high = np.nanpercentile(signal.data, [1, 99])
    look = {"origin": "lower", "extent": (0, signal.seconds, -0.5, len(signal.channels) - 0.5), "cmap": "magma"}
    image = axis.imshow(signal.data, aspect="auto", vmin=low, vmax=high, **look)
    named(axis.yaxis, signal.channels)
    key(axis, image, signal.unit)


def _strip(axis: Any, pictures: list[NDArray[Any]], rate: float, mosaic: int) -> None:
    """Some pictures side by side, and when they were."""
    import cv2

    chosen = np.unique(np.linspace(0, len(pictures) - 1, 8).astype(int))
    height, width = pictures[0].shape[:2]
    shown = [np.ascontiguousarray(pictures[i]) for i in chosen]
    if mosaic:
        small = [cv2.resize(picture, (mosaic, mosaic), interpolation=cv2.INTER_AREA) for picture in shown]
        shown = [cv2.resize(picture, (width, height), interpolation=cv2.INTER_NEAREST) for picture in small]
    axis.imshow(np.concatenate(shown, axis=1))
    axis.set_xticks(width * (np.arange(len(chosen)) + 0.5), [f"{i / rate:.3g} s" if rate else "" for i in chosen])
    axis.set_yticks([])
    axis.tick_params(length=0)
    axis.grid(visible=False)
    axis.set_anchor("W")
    axis.set_frame_on(False)


def _stacked(windows: Windows) -> int:
    """Windows that are there at once."""
    return max(1, int(np.ceil(windows["seconds"] / windows["step"] - 1e-6)))


def _windows(above: Any, axis: Any, signal: Signal, windows: Windows) -> None:
    """Every window a bar, those that overlap in rows of their own; in the panel above, where each starts."""
    starts, seconds = windows["starts"], windows["seconds"]
    ends = np.minimum(starts + seconds, signal.seconds)
    rows = _stacked(windows)
    for row in range(min(rows, len(starts))):
        spans = list(zip(starts[row::rows], (ends - starts)[row::rows], strict=True))
        colours = [PALETTE[2], "#7FCEB9"] if rows == 1 else [PALETTE[2] if row % 2 == 0 else "#7FCEB9"]
        axis.broken_barh(spans, (-row - 0.9, 0.8), facecolors=colours, edgecolor="white", linewidth=0.5)
    axis.set_ylim(-rows, 0)
    axis.set_yticks([])
    axis.grid(visible=False)
    axis.spines["left"].set_visible(False)
    axis.set_xlim(0, signal.seconds)
    cut = f"{counted(len(starts), 'window')} of {seconds:g} s"
    if len(starts) > 1:
        cut += f", every {windows['step']:g} s"
    if len(starts) and (there := ends[0] - starts[0]) < seconds - 1e-6:
        cut += f", filled by repeating the {there:.3g} s there are"
    axis.set_xlabel(f"s; {cut}")
    if signal.data.ndim == 2:
        axis.sharex(above)
        above.tick_params(labelbottom=False)
        above.set_xlabel("")
        if len(starts) <= _CUTS:
            dark = len(signal.channels) > FIT
            look = {"colors": "white" if dark else MUTED, "linestyles": ":", "linewidth": 0.9}
            above.vlines(starts, 0, 1, transform=above.get_xaxis_transform(), **look)
