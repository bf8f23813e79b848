"""FoldData: batches of one fold, in which no target label and no forbidden statistic can be found."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from affect.batch import Batch, Signal
from affect.preprocessing import DifferentialEntropy
from datamodules.cache import prepare
from datamodules.corpora.base import Corpus, Trial
from datamodules.module import EpochOrder, FoldData
from datamodules.protocols import Fold, LeaveOneSubjectOut, WithinSubject
from datamodules.windows import WindowSet, cut

PEOPLE, TRIALS, RATE, ONSET = 5, 4, 32.0, 1.0
CLASSES = 3
Loud = dict[int, float]
"""Person → by how much their signals are blown up."""


class Group(Corpus):
    """People of their own level and loudness, with ragged trials; the skin of person 3's first trial is missing."""

    name = "group"
    streams = ("eeg", "eda")
    ratings: ClassVar = {"valence": (1.0, 9.0)}

    def __init__(self, root: Path, loud: Loud) -> None:
        super().__init__(str(root))
        self.loud = loud
        root.mkdir(parents=True)
        (root / "loud").write_text(repr(loud))

    def layout(self) -> str:
        return "one file"

    def _found(self) -> list[str]:
        return [f"s{n}" for n in range(PEOPLE)]

    def files(self, subject: str) -> list[Path]:
        return [self.root / "loud"]

    def trials(self, subject: str, streams: Sequence[str]) -> Iterator[Trial]:
        person = int(subject[1:])
        for number in range(TRIALS):
            generator = np.random.default_rng([person, number])
            samples = round(RATE * (ONSET + 4 + person + number))
            noise = generator.standard_normal((3, samples)) * (1 + person) + 10 * person - 5
            noise[1] *= 100
            data = (noise * self.loud.get(person, 1.0)).astype(np.float32)
            signals = {"eeg": Signal(data[:2], RATE, ("a", "b"), "µV"), "eda": Signal(data[2:], RATE, ("c",), "Ohm")}
            if (person, number) == (3, 0):
                del signals["eda"]
            yield Trial(subject, f"video{number}", {"valence": 5.0}, signals, f"{subject}, {number}", onset=ONSET)


def windows_of(folder: Path, loud: Loud | None = None, **features: Any) -> WindowSet:
    cache = prepare(Group(folder / "corpus", loud or {}), {"eeg": [], "eda": []}, folder / "cache")
    return WindowSet(cache, cut(cache, 1.0, 0.5), {"eeg": None, "eda": None, **features})


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory) -> WindowSet:
    return windows_of(tmp_path_factory.mktemp("group"))


LABELS = np.random.default_rng(0).integers(0, CLASSES, PEOPLE * TRIALS)
LABELS[[5, 12]] = -1  # not rated


def folds(windows: WindowSet) -> list[Fold]:
    return LeaveOneSubjectOut(validation=0.25).split(windows.trials)


def data_of(windows: WindowSet, fold: Fold, **settings: Any) -> FoldData:
    return FoldData(windows, LABELS, CLASSES, fold, **{"batch_size": 16, **settings})


def batches(data: FoldData, epoch: int = 0) -> list[Batch]:
    loader = data.train_dataloader()
    loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
    return list(loader)


def values(data: FoldData, rows: NDArray[np.int64]) -> dict[str, torch.Tensor]:
    return data.gather(rows).streams


@pytest.mark.parametrize("adapts", [False, True])
def test_no_target_label_is_in_any_batch(windows: WindowSet, adapts: bool) -> None:
    for fold in [*folds(windows), *WithinSubject(4, 0.3).split(windows.trials)]:
        data = data_of(windows, fold, adapts=adapts)
        handed_out = [*batches(data), *data.val_dataloader(), *data.predict_dataloader()]
        assert handed_out
        for batch in handed_out:
            target = torch.isin(batch.trial, torch.from_numpy(fold.target_test))
            assert torch.equal(batch.source, ~target)
            assert (batch.label[target] == -1).all()
            assert torch.equal(batch.label[~target], torch.from_numpy(LABELS)[batch.trial[~target]])


@pytest.mark.parametrize("adapts", [False, True])
def test_target_labels_change_nothing_that_is_handed_out(windows: WindowSet, adapts: bool) -> None:
    fold = folds(windows)[1]
    other = LABELS.copy()
    other[fold.target_test] = (other[fold.target_test].clip(0) + 1) % CLASSES
    one = data_of(windows, fold, adapts=adapts)
    two = FoldData(windows, other, CLASSES, fold, batch_size=16, adapts=adapts)
    for a, b in zip(batches(one), batches(two), strict=True):
        for name in ("label", "source", "domain", "weight", "window", "trial", "subject", "present"):
            assert torch.equal(getattr(a, name), getattr(b, name))
        assert all(torch.equal(a.streams[name], b.streams[name]) for name in a.streams)


def test_training_and_validation_hold_source_trials_only(windows: WindowSet) -> None:
    for fold in folds(windows):
        data = data_of(windows, fold)
        trained = {int(t) for batch in batches(data) for t in batch.trial}
        validated = {int(t) for batch in data.val_dataloader() for t in batch.trial}
        tested = {int(t) for batch in data.predict_dataloader() for t in batch.trial}
        known = set(np.flatnonzero(LABELS >= 0).tolist())
        assert trained == set(fold.source_train.tolist()) & known
        assert validated == set(fold.source_val.tolist()) & known
        assert tested == set(fold.target_test.tolist()) & known


def test_a_batch_tells_what_its_rows_are(windows: WindowSet) -> None:
    fold = folds(windows)[2]
    data = data_of(windows, fold, adapts=True)
    table = windows.table
    for batch in batches(data):
        rows = batch.window.numpy()
        np.testing.assert_array_equal(batch.trial.numpy(), table.trial[rows])
        np.testing.assert_array_equal(batch.subject.numpy(), windows.subject[table.trial[rows]])
        there = np.stack([stream.present[rows] for stream in windows.streams.values()], axis=1)
        np.testing.assert_array_equal(batch.present.numpy(), there)
        assert {name: x.dtype for name, x in batch.streams.items()} == {"eeg": torch.float32, "eda": torch.float32}
        assert [x.shape for x in batch.streams.values()] == [(len(rows), 2, 32), (len(rows), 1, 32)]


def test_domains_are_the_source_people_and_the_target(windows: WindowSet) -> None:
    for fold in folds(windows):
        data = data_of(windows, fold, adapts=True)
        seen: dict[int, set[int]] = {}
        for batch in batches(data):
            for person, domain in zip(batch.subject.tolist(), batch.domain.tolist(), strict=True):
                seen.setdefault(person, set()).add(domain)
        (target,) = set(windows.subject[fold.target_test].tolist())
        source = sorted(set(windows.subject[fold.source_train].tolist()))
        assert seen == {**{person: {n} for n, person in enumerate(source)}, target: {len(source)}}
        assert data.domains == len(source) + 1


def test_an_adapting_batch_is_half_source_half_target(windows: WindowSet) -> None:
    for fold in folds(windows):
        data = data_of(windows, fold, adapts=True)
        for epoch in range(2):
            drawn = batches(data, epoch)
            assert all(int(batch.source.sum()) * 2 == len(batch.source) for batch in drawn)
            assert all(len(batch.source) == 32 for batch in drawn[:-1])
            target = np.concatenate([batch.window[~batch.source].numpy() for batch in drawn])
            times = np.bincount(target)[data.target_unlabelled]
            assert times.max() - times.min() <= 1  # none is favoured
    assert all(batch.source.all() for batch in batches(data_of(windows, fold)))


rows = st.integers(1, 60).map(np.arange)


@settings(max_examples=60, deadline=None)
@given(rows, st.integers(0, 60), st.integers(1, 20), st.integers(0, 3), st.integers(0, 30))
def test_the_order_is_a_function_of_seed_and_epoch(
    source: NDArray[np.int64], targets: int, batch: int, seed: int, epoch: int
) -> None:
    """Every source window once an epoch, as many target windows beside them, whatever came before."""
    target = 1000 + np.arange(targets)
    order = EpochOrder(source, target, batch, seed)
    for passed in (epoch, epoch + 1, epoch):  # coming back to an epoch gives it again
        order.set_epoch(passed)
        steps = list(order)
    fresh = EpochOrder(source, target, batch, seed)
    fresh.set_epoch(epoch)
    assert [step.tolist() for step in steps] == [step.tolist() for step in fresh]
    assert len(steps) == len(order)
    drawn = np.concatenate(steps)
    assert sorted(drawn[drawn < 1000]) == source.tolist()
    for step in steps:
        assert (step >= 1000).sum() == ((step < 1000).sum() if targets else 0)
    assert all((step < 1000).sum() == batch for step in steps[:-1])


def test_the_order_is_new_in_every_epoch_and_seed_for_both_domains(windows: WindowSet) -> None:
    fold = folds(windows)[0]
    seen: set[tuple[int, ...]] = set()
    for seed in range(2):
        data = data_of(windows, fold, adapts=True, seed=seed)
        for epoch in range(3):
            drawn = np.concatenate([batch.window.numpy() for batch in batches(data, epoch)])
            target = np.isin(drawn, data.target_unlabelled)
            seen |= {tuple(drawn[target]), tuple(drawn[~target])}
    assert len(seen) == 2 * 3 * 2


class Recorder(pl.LightningModule):
    """Learns nothing; remembers the windows of every epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: dict[int, list[int]] = {}

    def training_step(self, batch: Batch) -> torch.Tensor:
        self.seen.setdefault(self.current_epoch, []).extend(batch.window.tolist())
        return self.weight * 0

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.filterwarnings("ignore")
def test_lightning_moves_the_order_on_with_the_epoch(windows: WindowSet, tmp_path: Path) -> None:
    data, recorder = data_of(windows, folds(windows)[0], adapts=True, batch_size=64), Recorder()
    trainer = pl.Trainer(
        max_epochs=3,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0.0,
        default_root_dir=tmp_path,
    )
    trainer.fit(recorder, data)
    order = EpochOrder(data.source_train, data.target_unlabelled, 64, 0)
    for epoch in range(3):
        order.set_epoch(epoch)
        assert recorder.seen[epoch] == np.concatenate(list(order)).tolist()


def test_every_class_weighs_the_same(windows: WindowSet) -> None:
    for fold in folds(windows):
        data = data_of(windows, fold)
        batch = data.gather(data.source_train)
        shares = [float(batch.weight[batch.label == c].sum()) for c in range(CLASSES)]
        np.testing.assert_allclose(shares, len(batch.label) / CLASSES, rtol=1e-4)
        np.testing.assert_array_equal(data.priors, np.bincount(batch.label, minlength=CLASSES))


def test_a_class_that_is_not_there_takes_no_weight(windows: WindowSet) -> None:
    data = FoldData(windows, np.where(LABELS == 2, 0, LABELS), CLASSES, folds(windows)[0])
    batch = data.gather(data.source_train)
    shares = [float(batch.weight[batch.label == c].sum()) for c in range(2)]
    np.testing.assert_allclose(shares, len(batch.label) / 2, rtol=1e-4)


FEATURES = {"eeg": DifferentialEntropy({"low": (2, 8), "high": (8, 15)})}


@pytest.mark.parametrize("normalisation", ["none", "source", "subject", "baseline"])
@pytest.mark.parametrize("features", [{}, FEATURES])
def test_target_signals_change_nothing_in_source_rows(
    tmp_path: Path, normalisation: Any, features: dict[str, Any]
) -> None:
    """Bit for bit: else an inductive model would not be one. Person 0 is the target, person 1 validates."""
    fold = Fold("s0", np.arange(8, 20), np.arange(4, 8), np.arange(4), np.arange(4))
    quiet = windows_of(tmp_path / "quiet", **features)
    one = data_of(quiet, fold, normalisation=normalisation)
    assert all(x.isfinite().all() for x in values(one, one.source_train).values())
    for loud, unchanged in (({0: 1e5}, (one.source_train, one.source_val)), ({1: 1e5}, (one.source_train,))):
        other = windows_of(tmp_path / str(loud), loud, **features)
        two = data_of(other, fold, normalisation=normalisation)
        for part in unchanged:
            for name, expected in values(one, part).items():
                np.testing.assert_array_equal(values(two, part)[name].numpy(), expected.numpy(), err_msg=name)


def test_source_statistics_are_those_of_source_train(windows: WindowSet) -> None:
    for fold in folds(windows):
        data = data_of(windows, fold, normalisation="source")
        inside = np.flatnonzero(np.isin(windows.table.trial, fold.source_train))
        batch = data.gather(inside)
        for i, x in enumerate(batch.streams.values()):
            x = x[batch.present[:, i]].double()
            np.testing.assert_allclose(x.mean(dim=(0, 2)), 0, atol=1e-5)
            np.testing.assert_allclose(x.std(dim=(0, 2), unbiased=False), 1, atol=1e-5)


def test_subject_statistics_make_everybody_alike(windows: WindowSet) -> None:
    """Zero mean and unit deviation of every channel, for every person, the target too."""
    for fold in folds(windows):
        data = data_of(windows, fold, normalisation="subject")
        for person in range(PEOPLE):
            batch = data.gather(np.flatnonzero(windows.subject[windows.table.trial] == person))
            for i, x in enumerate(batch.streams.values()):
                x = x[batch.present[:, i]].double()
                np.testing.assert_allclose(x.mean(dim=(0, 2)), 0, atol=1e-5)
                np.testing.assert_allclose(x.std(dim=(0, 2), unbiased=False), 1, atol=1e-5)


def test_no_normalisation_leaves_native_units(windows: WindowSet) -> None:
    data = data_of(windows, folds(windows)[0], normalisation="none")
    some = np.arange(0, len(windows.table), 7)
    for name, x in values(data, some).items():
        np.testing.assert_array_equal(x.numpy(), windows.streams[name].gather(some))


def test_baseline_normalisation_takes_each_trials_baseline_away(windows: WindowSet) -> None:
    """And scales by source-train: a signal that stays at its baseline is zero on average."""
    fold = folds(windows)[4]
    data = data_of(windows, fold, normalisation="baseline")
    stream, cache = windows.streams["eeg"], windows.streams["eeg"].cache
    raw = stream.gather(np.arange(len(windows.table)))
    normalised = data.gather(np.arange(len(windows.table))).streams["eeg"].numpy()
    first = cache.streams["eeg"].offset
    onset = round(ONSET * RATE)
    baseline = np.stack([cache.streams["eeg"].data[f : f + onset].mean(axis=0) for f in first])[windows.table.trial]
    away = raw - baseline[:, :, None]
    deviation = away[np.isin(windows.table.trial, fold.source_train)].std(axis=(0, 2))
    np.testing.assert_allclose(normalised, away / deviation[:, None], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("normalisation", ["none", "source", "subject", "baseline"])
def test_an_absent_stream_is_zero_and_a_present_one_finite(windows: WindowSet, normalisation: Any) -> None:
    data = data_of(windows, folds(windows)[0], normalisation=normalisation)
    batch = data.gather(np.arange(len(windows.table)))
    absent = ~batch.present[:, 1]
    assert absent.any()
    assert not batch.streams["eda"][absent].any()
    assert batch.streams["eda"][~absent].isfinite().all()
