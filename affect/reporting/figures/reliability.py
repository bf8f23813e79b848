"""The figure of reliability: is a model right as often as it says?"""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affect.evaluation.metrics import columns_of
from affect.reporting.style import DASHES, MARKERS, MUTED, PALETTE, Figure, canvas

BINS = 10
_FEW = 10  # windows in a bin, below which it is not drawn
_TITLE = "all windows pooled; dashed: as often right as it says"


class Confidence(TypedDict):
    """Of n windows.

    Args:
        confidence: (n,) probability of the class that was predicted.
        correct: (n,) whether it was the right one.
        subject: (n,) whose.
    """

    confidence: NDArray[np.float64]
    correct: NDArray[np.bool_]
    subject: NDArray[Any]


def confidence(predictions: pd.DataFrame, target: str, classes: Sequence[str]) -> Confidence:
    """Of the labelled rows of a table of predictions."""
    known = predictions[predictions[f"label_{target}"].notna()]
    probability = known[columns_of(target, classes)].to_numpy(dtype=float)
    return {
        "confidence": probability.max(axis=1),
        "correct": probability.argmax(axis=1) == known[f"label_{target}"].to_numpy(),
        "subject": known["subject"].to_numpy(dtype=str),
    }


def draw(title: str, classes: int, methods: Mapping[str, Confidence]) -> Figure:
    """Above: share correct of windows in bins of confidence of equal width, against the diagonal; below: where the
    windows lie."""
    edges = np.linspace(1 / classes, 1, BINS + 1)
    with canvas(title, 5.6) as figure:
        above, below = figure.subplots(2, 1, height_ratios=(3.4, 1), sharex=True)
        above.plot([1 / classes, 1], [1 / classes, 1], color=MUTED, linestyle=(0, (4, 3)), linewidth=1.2)
        for i, (name, told) in enumerate(methods.items()):
            place = np.clip(np.digitize(told["confidence"], edges) - 1, 0, BINS - 1)
            count = np.bincount(place, minlength=BINS)
            there = count > 0
            mean, right = (
                np.bincount(place, told[key].astype(float), BINS)[there] / count[there]
                for key in ("confidence", "correct")
            )
            gap = float((count[there] * np.abs(right - mean)).sum() / count.sum())
            look = {
                "color": PALETTE[i % len(PALETTE)],
                "linestyle": DASHES[i // len(PALETTE) % len(DASHES)],
                "marker": MARKERS[i % len(MARKERS)],
                "markersize": 5,
            }
            enough = count[there] >= _FEW
            above.plot(
                mean[enough], right[enough], label=f"{name.replace('/', ' · ')}: gap {gap:.3f}", linewidth=1.5, **look
            )
            share = count / count.sum()
            below.stairs(share, edges, color=look["color"], linestyle=look["linestyle"], linewidth=1.5)
        above.set_ylabel("share correct")
        above.set_ylim(-0.02, 1.02)
        look = {"fontsize": 8, "title_fontsize": 8, "frameon": False, "ncols": 3}
        figure.legend(loc="outside lower center", title=_TITLE, **look)
        below.set_ylabel("share of windows")
        below.set_xlabel("confidence: probability of the class that is predicted")
        return figure
