"""The figure of saliency: which parts of a spectrogram, of features or of a face a network looks at."""

from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from affect.reporting.style import Figure, canvas
from affect.reporting.window_features import FIT, named


class Saliency(TypedDict):
    """What is drawn.

    Args:
        title: of the figure.
        channels, columns: names of the C rows and of the columns; columns without names are a stretch of time.
        seconds: length of a window, where columns are its samples.
        seen: (C, T) mean of what the network gets; of pictures (H, W, 3) in 0 … 1.
        attribution: (C, T) or (H, W) mean absolute attribution.
        note: how it was computed.
    """

    title: str
    channels: Sequence[str]
    columns: Sequence[str]
    seconds: float
    seen: NDArray[np.float64]
    attribution: NDArray[np.float64]
    note: str


def draw(saliency: Saliency) -> Figure:
    """Left what the network gets on average, right how much it counts."""
    share = saliency["attribution"] / (saliency["attribution"].sum() or 1)
    is_picture = saliency["seen"].ndim == 3
    with canvas(saliency["title"], 3.8 if is_picture else 4.6) as figure:
        left, right = figure.subplots(1, 2, sharex=True, sharey=True)
        if is_picture:
            left.imshow(saliency["seen"])
            right.imshow(saliency["seen"].mean(axis=2), cmap="gray", alpha=0.55)
            image = right.imshow(share, cmap="magma", alpha=0.7)
            for axis in (left, right):
                axis.set_axis_off()
        else:
            look: dict[str, Any] = {"aspect": "auto", "interpolation": "nearest", "origin": "lower"}
            if not saliency["columns"]:
                look["extent"] = (0, saliency["seconds"], -0.5, len(saliency["channels"]) - 0.5)
            most = float(np.abs(saliency["seen"]).max()) or 1.0
            seen = left.imshow(saliency["seen"], cmap="RdBu_r", vmin=-most, vmax=most, **look)
            image = right.imshow(share, cmap="magma", vmin=0, **look)
            named(left.yaxis, tuple(saliency["channels"]))
            if saliency["columns"]:
                turned = 90 if len(saliency["columns"]) > 4 or len(saliency["columns"]) > FIT else 0
                for axis in (left, right):
                    named(axis.xaxis, tuple(saliency["columns"]), rotation=turned)
            else:
                for axis in (left, right):
                    axis.set_xlabel("s")
            for axis in (left, right):
                axis.grid(visible=False)
            figure.colorbar(seen, ax=left, label="as the network gets it", shrink=0.8)
        figure.colorbar(image, ax=right, label="share of all attribution", shrink=0.8)
        left.set_title("mean of the windows")
        right.set_title("attribution")
        figure.supxlabel(saliency["note"], size=8)
        return figure
