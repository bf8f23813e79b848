"""`--audit` finds what reads the target's labels, and what looks at its signals and says that it does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import torch
from audited import ALONE, audited, leaks
from torch import Tensor

from affect.alignment import Alignment
from affect.alignment.base import AlignmentInput, Windows
from affect.batch import StreamMap, StreamRows
from datamodules.protocols import Fold, LeaveOneSubjectOut
from datamodules.targets import Threshold
from datamodules.windows import WindowSet

if TYPE_CHECKING:
    from affect.learners.network import Network
    from tests.experiments.conftest import Place

pytestmark = pytest.mark.filterwarnings("ignore")


class ReadsRatings(LeaveOneSubjectOut):
    """One source trial less for people who rate high: a fold that depends on the target's labels."""

    def split(self, trials: pd.DataFrame) -> list[Fold]:
        rating = trials["rating.valence"].to_numpy()
        folds = super().split(trials)
        return [replace(f, source_train=f.source_train[int(rating[f.target_test].mean() > 8) :]) for f in folds]


HEARD: list[float] = [0.0]


class Overheard(Threshold):
    """Tells of the first person's labels behind the back of everybody who hides them."""

    def labels(self, windows: WindowSet) -> Any:
        found = super().labels(windows)
        HEARD[0] = float(np.nanmean(found[windows.subject[windows.table.trial] == 0]))
        return found


class Eavesdropper(Alignment):
    """Reads them."""

    def forward(self, batch: AlignmentInput) -> tuple[Tensor, dict[str, Tensor]]:
        return self.weight * (1 + HEARD[0]) * batch.features.square().mean(), {}


def test_labels_through_a_side_channel_are_found(place: Place) -> None:
    methods = f"--methods={{spy: {{alignment: {__name__}.Eavesdropper}}}}"
    verdicts = audited(place, methods, f"--data.target.class_path={__name__}.Overheard")
    assert leaks(verdicts) == {"labels"}
    (line,) = verdicts["labels"].found
    assert line.startswith("s01 · spy · source · seed 0: ")
    assert "weights.safetensors" in line
    assert "predictions.parquet" in line


def test_labels_that_a_data_module_hands_out_are_found(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of the target taken for rows of the source."""
    from datamodules.module import FoldData

    hide = FoldData.__init__

    def show(self: FoldData, windows: Any, labels: Any, *args: Any, **more: Any) -> None:
        hide(self, windows, labels, *args, **more)
        self._label, self._source = torch.from_numpy(labels), torch.ones_like(self._source)
        self._weight = torch.ones_like(self._weight)

    monkeypatch.setattr(FoldData, "__init__", show)
    verdicts = audited(place)
    assert leaks(verdicts) == {"labels"}
    assert [line.split(" · ")[:2] for line in verdicts["labels"].found] == [["s01", "dann"], ["s04", "dann"]]


def test_ratings_that_fitting_reads_from_the_table_are_found(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a label: the order of training depends on what the last person rated."""
    from datamodules.module import FoldData

    hide = FoldData.__init__

    def look(self: FoldData, windows: Any, labels: Any, classes: Any, fold: Fold, *args: Any, **more: Any) -> None:
        hide(self, windows, labels, classes, fold, *args, **more)
        if fold.name == "s04":
            self.seed += int(100 * windows.trials["rating.liking"].iloc[fold.target_test].sum())

    monkeypatch.setattr(FoldData, "__init__", look)
    verdicts = audited(place, ALONE)
    assert leaks(verdicts) == {"labels"}
    (line,) = verdicts["labels"].found
    assert line.startswith("s04 · source-only · source · seed 0: ")


class Peeping(Alignment):
    """Says that it sees nothing of the target, and looks at its windows when training is over."""

    sees, joint = "nothing", False

    def after(self, network: Network, windows: Windows) -> None:
        seen = torch.cat([batch.streams["eeg"] for batch in windows.target(0)])
        with torch.no_grad():
            next(network.parameters()).add_(1e-3 * seen.mean())


class Mapped(Alignment):
    """Says that it sees nothing of the target, and takes the mean of its windows from all."""

    sees, maps, joint = "nothing", True, False

    def map_stream(self, chunks: Callable[[], Iterator[StreamRows]]) -> StreamMap:
        mean = torch.cat([rows.values[~rows.source] for rows in chunks()]).mean(dim=0)
        return lambda values, person, source: values - mean


@pytest.mark.parametrize("alignment", ["Peeping", "Mapped"])
def test_an_alignment_that_sees_more_than_it_says_is_found(place: Place, alignment: str) -> None:
    verdicts = audited(place, f"--methods={{spy: {{alignment: {__name__}.{alignment}}}}}")
    assert leaks(verdicts) == {"inductive"}
    found = verdicts["inductive"].found
    assert [line.split(" · ")[:2] for line in found] == [["s01", "spy"], ["s04", "spy"]]
    assert "weights.safetensors" in found[0]


def test_a_normalisation_that_uses_the_target_is_found(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a network by its weights; of a classical model by what it predicts for the source."""
    from affect.preprocessing.normalisation import fit
    from datamodules import module

    own = "--normalisation=[source, subject]"
    methods = "--methods={classical: {classical: affect.classical.LogisticRegression}}"
    clean = audited(place, methods, own)
    assert leaks(clean) == set()
    assert clean["inductive"].said.startswith("4 runs of folds s01 and s04, 1 epoch: ")
    monkeypatch.setattr(module, "fit", lambda name, moments, subject, train, visible: fit(
        name, moments, subject, visible, visible))  # fmt: skip
    verdicts = audited(place, methods, own)
    assert leaks(verdicts) == {"inductive"}
    assert [line.split(":")[0] for line in verdicts["inductive"].found] == [
        f"{fold} · {method} · source · seed 0" for fold in ("s01", "s04") for method in ("source-only", "classical")
    ]


def test_a_row_that_says_what_it_sees_need_not_be_inductive(place: Place) -> None:
    verdicts = audited(place, ALONE, "--normalisation=subject")
    assert leaks(verdicts) == set()
    assert verdicts["inductive"].verdict == "exempt"


def test_settings_chosen_by_labels_are_found(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is learned is the same; the score that chooses among settings is not."""
    from experiments import evidence

    monkeypatch.setattr(evidence, "of_network", lambda plan, network, data: {
        "entropy": float(np.nanmean(plan.labels[data.target_test]))})  # fmt: skip
    verdicts = audited(place, ALONE)
    assert leaks(verdicts) == {"labels"}
    assert verdicts["labels"].found == [
        f"{fold} · source-only · source · seed 0: metrics.json differ" for fold in ("s01", "s04")
    ]


def test_the_oracle_is_exempt_and_says_so(place: Place) -> None:
    search = "--search={budget: 3, sampler: grid, space: {trainer.learning_rate: [0.01, 0.02, 0.03]}}"
    verdicts = audited(place, ALONE, search, "--selection=oracle")
    assert leaks(verdicts) == set()
    assert verdicts["labels"].said.startswith("4 runs of folds s01 and s04, 1 epoch: ")
    assert "exempt: the oracle chooses" in verdicts["labels"].said


def test_folds_that_read_ratings_are_found(place: Place) -> None:
    verdicts = audited(place, ALONE, f"--protocol={__name__}.ReadsRatings")
    assert leaks(verdicts) == {"labels"}
    assert "its folds change with ratings" in verdicts["labels"].found[0]


def test_calibration_labels_are_not_hidden(place: Place) -> None:
    verdicts = audited(place, ALONE, "--protocol.calibration=1")
    assert leaks(verdicts) == set()
    assert "1 calibration trial a person apart" in verdicts["labels"].said
