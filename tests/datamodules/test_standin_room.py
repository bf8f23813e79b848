"""The quickstart's invented people leave room for adaptation: what source-only misses, a within-person model finds."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score

from affect.preprocessing import DifferentialEntropy
from affect.preprocessing.normalisation import Normalisation, fit
from datamodules.cache import Recipe, Windowing, prepare
from datamodules.protocols import LeaveOneSubjectOut, Protocol, WithinSubject
from datamodules.standin import StandInDeap
from datamodules.targets import Threshold
from datamodules.windows import WindowSet, cut


def _accuracy(windows: WindowSet, labels: NDArray[np.int64], protocol: Protocol, normalisation: Normalisation) -> float:
    """Balanced accuracy of a linear model on band powers, mean over folds."""
    table, stream = windows.table, windows.streams["eeg"]
    scores = []
    for fold in protocol.split(windows.trials):
        visible = np.union1d(fold.source_train, fold.target_unlabelled).astype(np.int64)
        affine = fit(normalisation, windows.moments["eeg"], windows.subject, fold.source_train, visible)
        train, test = table.of_trials(fold.source_train), table.of_trials(fold.target_test)
        inputs = []
        for rows in (train, test):
            trial = table.trial[rows]
            inputs.append(((stream.gather(rows) - affine.shift[trial]) * affine.scale[trial]).reshape(len(rows), -1))
        model = LogisticRegression(C=0.01, max_iter=300).fit(inputs[0], labels[table.trial[train]])
        scores.append(balanced_accuracy_score(labels[table.trial[test]], model.predict(inputs[1])))
    return float(np.mean(scores))


def test_people_differ_and_adaptation_has_room(tmp_path: Path) -> None:
    """Source statistics < own statistics < within the person, with clear steps, mean over two sets of people."""
    found = []
    for seed in (0, 2):
        recipes = {"eeg": Recipe("eeg", features=DifferentialEntropy())}
        people = StandInDeap(str(tmp_path / "standin"), seed=seed)
        cache = prepare([people], recipes, Windowing(2, 2), tmp_path / "cache")
        windows = WindowSet(cache, cut(cache))
        labels = Threshold("valence", 5).of_trials(cache.trials)
        found.append(
            [
                _accuracy(windows, labels, LeaveOneSubjectOut(), "source"),
                _accuracy(windows, labels, LeaveOneSubjectOut(), "subject"),
                _accuracy(windows, labels, WithinSubject(4), "source"),
            ]
        )
    source, own, within = np.mean(found, axis=0)
    assert source > 0.55
    assert own > source + 0.05
    assert within > own + 0.05
