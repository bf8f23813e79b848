"""The whole family, row by row: weight 0 is source-only, labels stay out of reach, and where each helps and fails."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
import torch
from alignment_bench import (
    Bench,
    Norm,
    Shift,
    confounded,
    offset,
    over_rotation,
    prior_and_rotation,
    rotation,
    scores,
    translation,
)
from people_shifts import (
    amplitude,
    frequent_person,
    gains,
    no_shift,
    one_class,
    rare_class,
    rare_person,
    style,
)
from torch import nn

import affect.alignment
from affect.alignment import (
    ADDA,
    CDAN,
    CMD,
    CORAL,
    DAN,
    DANN,
    IRM,
    JAN,
    MCC,
    MCD,
    MLDG,
    SHOT,
    TCA,
    TENT,
    AdaBN,
    Alignment,
    CalibrationFineTuning,
    DeepCORAL,
    DeepJDOT,
    DomainBatchNorm,
    EuclideanAlignment,
    GroupDRO,
    MixStyle,
    OptimalTransport,
    PrototypeHead,
    SubspaceAlignment,
    VREx,
)


@dataclass(frozen=True)
class Row:
    """What a method is for, and what it fails at.

    Args:
        kind, arguments: of the alignment.
        helps: a shift made for it: it beats source-only in the mean and in four of five seeds.
        fails: a shift made against it: in the mean over five seeds it is no better than source-only.
        worse: whether it is worse there by .05 or more, not merely no better.
        changes: what a weight above 0 changes.
        norm: of the encoder, source-only's too.
    """

    kind: type[Alignment]
    helps: Shift
    fails: Shift
    arguments: dict[str, Any] = field(default_factory=dict)
    worse: bool = True
    changes: Literal["encoders", "heads", "windows"] = "encoders"
    norm: Norm = "none"


ROWS = {
    "DANN": Row(DANN, translation, confounded),
    "DANN, class-weighted": Row(DANN, prior_and_rotation, confounded, {"class_weighted": True}),
    "CDAN": Row(CDAN, translation, confounded, {"weight": 3.0}),
    "CDAN+E": Row(CDAN, translation, confounded, {"weight": 3.0, "entropy": True}),
    "ADDA": Row(ADDA, offset, over_rotation, {"learning_rate": 3e-3}),
    "MCD": Row(MCD, rotation, over_rotation),
    "DAN": Row(DAN, translation, confounded, {"weight": 3.0}),
    "JAN": Row(JAN, translation, confounded, {"weight": 3.0}),
    "Deep CORAL": Row(DeepCORAL, rotation, confounded, {"weight": 100.0}),
    "CMD": Row(CMD, translation, confounded),
    "DeepJDOT": Row(DeepJDOT, translation, confounded),
    "MCC": Row(MCC, rotation, over_rotation),
    "group DRO": Row(GroupDRO, rare_person, frequent_person, {"rate": 0.1}),
    "IRM": Row(IRM, rare_person, frequent_person, {"weight": 5.0}, worse=False),
    "V-REx": Row(VREx, rare_person, frequent_person, {"weight": 10.0}, worse=False),
    "MixStyle": Row(MixStyle, style, amplitude, {"alpha": 1.0, "probability": 1.0}),
    "MLDG": Row(MLDG, rare_person, frequent_person, {"step": 0.3}, worse=False),
    "AdaBN": Row(AdaBN, offset, rare_class, norm="batch"),
    "domain batch norm": Row(DomainBatchNorm, offset, rare_class, worse=False),
    "CORAL": Row(CORAL, offset, confounded, changes="windows"),
    "subspace alignment": Row(SubspaceAlignment, offset, confounded, changes="windows"),
    "TCA": Row(TCA, confounded, rotation, {"width": 3.0}, changes="windows"),
    "optimal transport": Row(OptimalTransport, offset, confounded, changes="windows"),
    "Euclidean alignment": Row(EuclideanAlignment, gains, one_class, changes="windows"),
    "SHOT": Row(SHOT, offset, rare_class, worse=False),
    "TENT": Row(TENT, offset, rare_class, {"epochs": 5}, norm="batch"),
    "fine-tuning": Row(CalibrationFineTuning, offset, no_shift, {"epochs": 100, "learning_rate": 0.1}, False, "heads"),
    "fine-tuning of all": Row(CalibrationFineTuning, offset, no_shift, {"part": "all"}, worse=False),
    "prototype head": Row(PrototypeHead, offset, no_shift, {"share": 0.9}, False, "heads"),
}
"""A row for every alignment; a second one where an argument makes another method of it."""

each = pytest.mark.parametrize("row", [pytest.param(row, id=name) for name, row in ROWS.items()])


def test_every_alignment_has_a_row() -> None:
    exported = [getattr(affect.alignment, name) for name in affect.alignment.__all__]
    kinds = {x for x in exported if inspect.isclass(x) and issubclass(x, Alignment) and x is not Alignment}
    assert kinds == {row.kind for row in ROWS.values()}


def _same(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def _short(row: Row, **arguments: Any) -> tuple[Bench, nn.Module]:
    bench = Bench(row.helps, seed=0, steps=12, norm=row.norm)
    return bench, bench.train(row.kind, **row.arguments | arguments).network


@each
def test_weight_zero_is_source_only_to_the_bit_and_weight_above_is_not(row: Row) -> None:
    bench = Bench(row.helps, seed=0, steps=12, norm=row.norm)
    source_only = bench.train(None).network
    changed: dict[str, Callable[[Bench, Any], bool]] = {
        "encoders": lambda bench, network: not _same(source_only.encoders, network.encoders),
        "heads": lambda bench, network: not _same(source_only, network),
        "windows": lambda bench, network: not torch.equal(bench.values, bench.unmapped),
    }
    seen, network = _short(row, weight=0.0)
    assert _same(source_only, network)
    assert torch.equal(seen.values, seen.unmapped)
    assert changed[row.changes](*_short(row))


@each
def test_labels_of_the_target_are_out_of_reach(row: Row) -> None:
    """They stand in the training batches, right and wrong; what is learned is the same to the bit."""
    networks = [
        Bench(row.helps, seed=0, steps=12, shown=True, shuffled=shuffled, norm=row.norm)
        .train(row.kind, **row.arguments)
        .network
        for shuffled in (False, True)
    ]
    assert _same(*networks)


# Minutes for the whole family: every row but the first by `pytest -m slow`.
measured = pytest.mark.parametrize(
    "row",
    [pytest.param(row, id=name, marks=() if name == "DANN" else pytest.mark.slow) for name, row in ROWS.items()],
)


@measured
def test_beats_source_only_on_the_shift_made_for_it(row: Row) -> None:
    """Balanced accuracy on the target, five seeds, paired."""
    found = scores(row.kind, row.helps, norm=row.norm, **row.arguments)
    gain = found[:, 1] - found[:, 0]
    assert gain.mean() > 0.02
    assert (gain > 0).sum() >= 4


@measured
def test_fails_on_the_shift_made_against_it(row: Row) -> None:
    """And can be seen to fail."""
    found = scores(row.kind, row.fails, norm=row.norm, **row.arguments)
    assert (found[:, 1] - found[:, 0]).mean() <= (-0.05 if row.worse else 0.0)
