"""Streams that an alignment maps before training: whoever lacks one stands in nobody's way."""

import numpy as np
import pytest
import torch
from test_module import data_of, folds, windows_of

from affect.alignment import CORAL, EuclideanAlignment, SubspaceAlignment
from affect.alignment.base import Alignment
from datamodules.windows import WindowSet

PERSON = 3


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> WindowSet:
    """Windows of a corpus in which nobody ever measured one person's skin."""
    windows = windows_of(tmp_path_factory.mktemp("group"))
    stream = windows.streams["eda"]
    lost = windows.subject[windows.table.trial] == PERSON
    stream.present, stream.complete = stream.present & ~lost, False
    return windows


@pytest.mark.parametrize(
    "alignment",
    [
        EuclideanAlignment(8, (2,), 5),
        CORAL(8, (2,), 5),
        CORAL(8, (2,), 5, between="subjects"),
        SubspaceAlignment(8, (2,), 5, between="subjects"),
    ],
)
def test_a_person_without_a_stream_is_no_obstacle(without: WindowSet, alignment: Alignment) -> None:
    """Neither as one of the source, nor held out, nor tested: the stream is then left as it is."""
    for fold in folds(without):
        data, plain = data_of(without, fold), data_of(without, fold)
        data.map_streams(alignment.map_stream, 1.0)
        batch, before = data.gather(data.rows), plain.gather(data.rows)
        assert batch.streams["eda"].isfinite().all()
        assert not batch.streams["eda"][~batch.present[:, 1]].any()
        assert not torch.equal(batch.streams["eeg"], before.streams["eeg"])
        tested = without.subject[fold.target_test[0]] == PERSON
        assert torch.equal(batch.streams["eda"], before.streams["eda"]) == tested


def test_no_step_is_of_one_window(without: WindowSet) -> None:
    """BatchNorm cannot learn from one: it joins the step before it."""
    fold = folds(without)[0]
    size = len(data_of(without, fold).source_train)
    for batch_size in (size - 1, (size - 1) // 2, size, 7):
        data = data_of(without, fold, batch_size=batch_size)
        for steps in (list(data.train_dataloader()), list(data.source(0))):
            assert min(len(step.window) for step in steps) > 1
            assert len(steps) == -(-size // batch_size) - (size % batch_size == 1)
            seen = np.sort(np.concatenate([step.window.numpy() for step in steps]))
            np.testing.assert_array_equal(seen, np.sort(data.source_train))
    alone = data_of(without, fold, batch_size=1)
    assert {len(step.window) for step in alone.source(0)} == {1}  # as asked for
