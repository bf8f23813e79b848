"""What was made of the windows of one stream of one trial, as a panel of its picture."""

import textwrap
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from affect.reporting.style import INK, PALETTE
from affect.reporting.words import counted

FIT = 24
"""Names that fit beside an axis."""
_CELLS = 96  # values that fit into an image


class Windows(TypedDict):
    """How the trial was cut.

    Args:
        starts: s, of each.
        seconds, step: length and distance.
        channels, names: of their features.
        features: (windows, channels, names); None where networks see samples.
    """

    starts: NDArray[np.float64]
    seconds: float
    step: float
    channels: tuple[str, ...]
    names: tuple[str, ...]
    features: NDArray[np.float32] | None


def draw_features(axis: Any, values: NDArray[np.float32], windows: Windows) -> None:
    """Of several windows how each feature moves; of one its values.

    Args:
        axis: matplotlib's, to draw on.
        values: (windows, channels, names).
        windows: what they are called.
    """
    channels, names = windows["channels"], windows["names"]
    each = f"{counted(len(channels), 'channel')} × {counted(len(names), 'feature')}"
    axis.set_title(f"features of {'the window' if len(values) == 1 else 'each window'}: {each}")
    if len(values) != 1:
        _movement(axis, values, channels, names)
    elif len(channels) > 1:
        image = axis.imshow(values[0], aspect="auto", interpolation="nearest", cmap="viridis")
        axis.invert_yaxis() if len(channels) > FIT else None  # as the panel above has them
        key(axis, image, "value")
        named(axis.xaxis, names, rotation=90 if len(names) > 12 else 0)
        named(axis.yaxis, channels)
    elif len(names) <= FIT:
        bars = axis.bar(np.arange(len(names)), values[0, 0], color=PALETTE[0])
        axis.bar_label(bars, fmt="%.3g", size=7.5)
        axis.margins(y=0.15)
        axis.grid(visible=False, axis="x")
        named(axis.xaxis, names, rotation=90 if len(names) > 12 else 0)
    else:
        axis.plot(np.arange(1, len(names) + 1), values[0, 0], color=PALETTE[0], linewidth=0.6)
        axis.set_xlim(1, len(names))
        axis.set_xlabel(textwrap.fill(f"feature, from {names[0]} to {names[-1]}", 74))
        axis.set_ylabel("value")


def _movement(axis: Any, values: NDArray[np.float32], channels: tuple[str, ...], names: tuple[str, ...]) -> None:
    """Features against windows: the colour is z over the windows, the numbers, where they fit, are the values."""
    flat = values.reshape(len(values), -1).T.astype(float)
    deviation = flat.std(axis=1, keepdims=True)
    z = (flat - flat.mean(axis=1, keepdims=True)) / np.where(deviation > 0, deviation, 1)
    limit = float(np.abs(z).max(initial=0)) or 1.0
    extent = (0.5, len(values) + 0.5, len(flat) - 0.5, -0.5)
    look = {"aspect": "auto", "interpolation": "nearest", "cmap": "RdBu_r", "extent": extent}
    key(axis, axis.imshow(z, vmin=-limit, vmax=limit, **look), "z over these windows")
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.set_xlabel("window")
    if flat.size <= _CELLS:
        for (row, window), value in np.ndenumerate(flat):
            colour = "white" if abs(z[row, window]) > 0.6 * limit else INK
            axis.text(window + 1, row, f"{value:.4g}", ha="center", va="center", size=7.5, color=colour)
    if len(flat) <= FIT:
        named(axis.yaxis, names if len(channels) == 1 else tuple(f"{c} {n}" for c in channels for n in names))
    elif len(channels) <= FIT:
        axis.set_yticks((np.arange(len(channels)) + 0.5) * len(names) - 0.5, channels, size=7)
        each = textwrap.shorten(f"each: {', '.join(names)}", 110, placeholder=" …")
        axis.set_ylabel(textwrap.fill(each, 40), size=8)
    else:
        axis.set_yticks([])
        axis.set_ylabel("channel by channel")


def named(axis: Any, names: tuple[str, ...], **look: Any) -> None:
    """Names of the rows (or columns) of an image on its yaxis (or xaxis): every one, or as many as fit."""
    chosen = range(0, len(names), 1 if len(names) <= FIT else max(2, len(names) // 6))
    axis.set_ticks(chosen, [names[i] for i in chosen], size=7, **look)


def key(axis: Any, image: Any, label: str) -> None:
    """The colour bar of an image, beside its panel, so that panels stay below each other."""
    axis.grid(visible=False)
    bar = axis.inset_axes((1.01, 0, 0.012, 1))
    axis.figure.colorbar(image, cax=bar, label=label)
