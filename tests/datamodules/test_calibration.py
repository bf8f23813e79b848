"""A few labelled trials of the tested person: learned from as often as any other, by every method, and never scored."""

from pathlib import Path

import numpy as np
import pytest
import torch
from test_module import data_of, labels_of, windows_of

from datamodules.protocols import LeaveOneSubjectOut
from datamodules.windows import WindowSet


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory) -> WindowSet:
    folder: Path = tmp_path_factory.mktemp("calibrated")
    return windows_of(folder)


@pytest.mark.parametrize("joint", [False, True])
def test_a_labelled_target_window_is_seen_once_an_epoch(windows: WindowSet, joint: bool) -> None:
    for fold in LeaveOneSubjectOut(calibration=2).split(windows.trials):
        data = data_of(windows, fold, joint=joint)
        own = windows.table.of_trials(fold.target_calibration)
        own = own[~np.isnan(labels_of(windows)[own]).all(axis=1)]
        assert set(own) <= set(data.source_train)
        assert not set(data.target_unlabelled) & set(own)
        assert not set(data.target_test) & set(own)
        rows = torch.cat([batch.window for batch in data.train_dataloader()])
        assert all((rows == int(window)).sum() == 1 for window in own)
        batch = data.gather(own)
        assert batch.source.all()
        assert (batch.domain == data.domains - 1).all()  # of the target's domain all the same


def test_they_may_weigh_more(windows: WindowSet) -> None:
    fold = LeaveOneSubjectOut(calibration=2).split(windows.trials)[0]
    plain, heavy = (data_of(windows, fold, calibration_weight=weight, balanced=False) for weight in (1.0, 5.0))
    rows = windows.table.of_trials(np.concatenate([fold.source_train, fold.target_calibration]))
    own = np.isin(windows.table.trial[rows], fold.target_calibration)
    ratio = heavy.gather(rows).weight / plain.gather(rows).weight
    known = ~ratio.isnan()
    assert (ratio[own][known[own]] == 5).all()
    assert (ratio[~own][known[~own]] == 1).all()
