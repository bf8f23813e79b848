"""The figure of training: losses, accuracies against chance, the alignment's weight and its gradients, by the epoch."""

from collections.abc import Mapping, Sequence
from typing import TypedDict

import pandas as pd

from affect.reporting.style import DASHES, MUTED, PALETTE, Figure, canvas

_PANELS = {
    "label loss": ("train/label_loss", "source_val/label_loss"),
    "label accuracy, source": (),  # of the targets, see below
    "domain accuracy": ("train/domain_accuracy",),
    "alignment's weight λ": ("train/lambda",),
    "gradient norm": ("train/gradient_encoders", "train/gradient_alignment"),
}
_SECOND = {"label loss": "validation", "gradient norm": "alignment"}
_ROW = 3  # panels side by side


class Training(TypedDict):
    """What is drawn.

    Args:
        title: of the figure.
        curves: method → mean over runs of their `curves.csv`, a row for each epoch.
        targets: whose label accuracies are averaged.
    """

    title: str
    curves: Mapping[str, pd.DataFrame]
    targets: Sequence[str]


def mean_curves(curves: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Mean over runs, epoch by epoch."""
    return pd.concat(curves).groupby("epoch", as_index=False).mean(numeric_only=True)


def draw(training: Training) -> Figure:
    """A panel for each kind of number that any method has; a dashed line is what the legend says of it."""
    curves = training["curves"]
    panels = dict(_PANELS)
    panels["label accuracy, source"] = tuple(f"train/accuracy_{target}" for target in training["targets"])
    shown = {name: keys for name, keys in panels.items() if any(k in c for c in curves.values() for k in keys)}
    rows = -(-len(shown) // _ROW)
    with canvas(training["title"], 0.9 + 2.15 * rows) as figure:
        axes = figure.subplots(rows, _ROW, squeeze=False).ravel()
        for axis in axes[len(shown) :]:
            axis.set_axis_off()
        for axis, (name, keys) in zip(axes, shown.items(), strict=False):
            for i, (method, curve) in enumerate(curves.items()):
                look = {"color": PALETTE[i % len(PALETTE)], "linewidth": 1.6}
                both = name in _SECOND
                for j, key in enumerate(keys if both else keys[:1]):
                    if key in curve:
                        values = curve[key] if both else curve[[k for k in keys if k in curve]].mean(axis=1)
                        dash = "--" if j else DASHES[i // len(PALETTE) % len(DASHES)]
                        axis.plot(curve["epoch"] + 1, values, linestyle=dash, label="" if j else method, **look)
                if name == "domain accuracy" and "train/domain_chance" in curve:
                    axis.plot(curve["epoch"] + 1, curve["train/domain_chance"], ":", color=MUTED, linewidth=1.2)
            dashed = any(keys[1] in curve for curve in curves.values()) if name in _SECOND else False
            beside = f" (dashed: {_SECOND[name]})" if dashed else " (dotted: chance)" if "domain" in name else ""
            axis.set_title(name + beside, size=9)
            axis.xaxis.get_major_locator().set_params(integer=True)
            if "accuracy" in name:
                axis.set_ylim(0, 1.03)
            else:
                axis.set_ylim(bottom=0)
        for axis in axes[max(0, len(shown) - _ROW) : len(shown)]:
            axis.set_xlabel("epoch")
        handles, names = axes[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=min(5, len(names)), frameon=False, fontsize=8.5)
        return figure
