"""The figure of saliency: which parts of a spectrogram, of features or of a face a network looks at."""

from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from affect.reporting.style import PALETTE, Figure, canvas
from affect.reporting.window_features import named


class Saliency(TypedDict):
    """What is drawn.

    Args:
        title: of the figure.
        channels: names of the rows.
        columns: names of features; none for samples, which are a stretch of time, and for pictures.
        seconds: length of a window, where columns are its samples.
        seen: what the network looks at: (C, T) samples, an (H, W, 3) picture in 0 … 1; None for features.
        attribution: (C, T), (C, F) or (H, W), absolute.
        note: how it was computed.
    """

    title: str
    channels: Sequence[str]
    columns: Sequence[str]
    seconds: float
    seen: NDArray[np.float64] | None
    attribution: NDArray[np.float64]
    note: str


def draw(saliency: Saliency) -> Figure:
    """What is looked at, and beside it, or below in time, how much each part of it counts."""
    share = saliency["attribution"] / (saliency["attribution"].sum() or 1)
    seen = saliency["seen"]
    with canvas(saliency["title"], 3.9 if seen is None or seen.ndim == 3 else 5.0) as figure:
        if share.shape[1:] == (1,):
            _bars(figure.subplots(), share[:, 0], saliency)
            figure.supxlabel(saliency["note"], size=8)
            return figure
        if seen is None:
            axis = figure.subplots()
            image = _image(axis, share, saliency, "magma")
        elif seen.ndim == 3:
            left, axis = figure.subplots(1, 2)
            left.imshow(seen)
            axis.imshow(seen.mean(axis=2), cmap="gray")
            image = axis.imshow(share, cmap="magma", alpha=0.6)
            for one in (left, axis):
                one.set_axis_off()
            left.set_title("mean of the pictures")
        else:
            above, axis = figure.subplots(2, 1, sharex=True)
            kept = _image(above, seen, saliency, "viridis")
            figure.colorbar(kept, ax=above, label="as recorded")
            above.set_xlabel("")
            above.set_title("the window")
            image = _image(axis, share, saliency, "magma")
        if seen is not None:
            axis.set_title("how much each part counts")
        figure.colorbar(image, ax=axis, label="share of all attribution", format="{x:.2%}")
        figure.supxlabel(saliency["note"], size=8)
        return figure


def _bars(axis: Any, share: NDArray[np.float64], saliency: Saliency) -> None:
    """Of one number a channel."""
    axis.bar(range(len(share)), share, color=PALETTE[0])
    axis.set_xticks(range(len(share)), saliency["channels"], rotation=90, size=8)
    axis.set_ylabel("share of all attribution")
    axis.yaxis.set_major_formatter("{x:.0%}")
    axis.grid(visible=False, axis="x")


def _image(axis: Any, values: NDArray[np.float64], saliency: Saliency, colours: str) -> Any:
    look: dict[str, Any] = {"aspect": "auto", "interpolation": "nearest", "origin": "lower", "cmap": colours}
    if not saliency["columns"]:
        look["extent"] = (0, saliency["seconds"], -0.5, len(saliency["channels"]) - 0.5)
        axis.set_xlabel("s")
    image = axis.imshow(values, **look)
    named(axis.yaxis, tuple(saliency["channels"]))
    if saliency["columns"]:
        named(axis.xaxis, tuple(saliency["columns"]), rotation=90 if len(saliency["columns"]) > 6 else 0)
    axis.grid(visible=False)
    return image
