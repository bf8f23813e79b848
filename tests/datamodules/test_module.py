"""FoldData: batches of one fold, in which no target label and no forbidden statistic can be found."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, get_args

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from affect.batch import Batch, Signal
from affect.preprocessing import DifferentialEntropy
from affect.preprocessing.normalisation import Normalisation
from datamodules.cache import Recipe, Windowing, prepare
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
    recipes = {name: Recipe(name, features=features.get(name)) for name in ("eeg", "eda")}
    cache = prepare([Group(folder / "corpus", loud or {})], recipes, Windowing(1.0, 0.5), folder / "cache", workers=1)
    return WindowSet(cache, cut(cache))


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory) -> WindowSet:
    return windows_of(tmp_path_factory.mktemp("group"))


GENERATOR = np.random.default_rng(0)
OF_TRIALS = np.stack(
    [GENERATOR.integers(0, CLASSES, PEOPLE * TRIALS), GENERATOR.uniform(1, 9, PEOPLE * TRIALS)], axis=1
)
OF_TRIALS[[5, 12], 0] = np.nan  # not rated
OF_TRIALS[[12, 17], 1] = np.nan


def labels_of(windows: WindowSet, of_trials: NDArray[np.float64] = OF_TRIALS) -> NDArray[np.float32]:
    """(n_windows, 2): a class, the same in all of a trial, and a value that moves in it."""
    labels = of_trials[windows.table.trial]
    labels[:, 1] += 0.1 * windows.table.number
    return labels.astype(np.float32)


def folds(windows: WindowSet) -> list[Fold]:
    return LeaveOneSubjectOut(validation=0.25).split(windows.trials)


def data_of(windows: WindowSet, fold: Fold, **settings: Any) -> FoldData:
    labels = settings.pop("labels", labels_of(windows))
    return FoldData(windows, labels, (CLASSES, 0), fold, **{"batch_size": 16, **settings})


def batches(data: FoldData, epoch: int = 0) -> list[Batch]:
    loader = data.train_dataloader()
    loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
    return list(loader)


def values(data: FoldData, rows: NDArray[np.int64]) -> dict[str, torch.Tensor]:
    return data.gather(rows).streams


@pytest.mark.parametrize("joint", [False, True])
def test_no_target_label_is_in_any_batch(windows: WindowSet, joint: bool) -> None:
    for fold in [*folds(windows), *WithinSubject(4, 0.3).split(windows.trials)]:
        data = data_of(windows, fold, joint=joint)
        afterwards = [*data.source(0), *data.target(0)]
        handed_out = [*batches(data), *data.val_dataloader(), *data.predict_dataloader(), *afterwards]
        assert handed_out
        for batch in handed_out:
            target = torch.isin(batch.trial, torch.from_numpy(fold.target_test))
            assert torch.equal(batch.source, ~target)
            assert batch.label[target].isnan().all()
            assert not batch.weight[target].any()
            np.testing.assert_array_equal(batch.label[~target], labels_of(windows)[batch.window[~target].numpy()])
            np.testing.assert_array_equal(batch.weight[~target] > 0, ~batch.label[~target].isnan())


@pytest.mark.parametrize("joint", [False, True])
def test_target_labels_change_nothing_that_is_handed_out(windows: WindowSet, joint: bool) -> None:
    fold = folds(windows)[1]
    other = OF_TRIALS.copy()
    other[fold.target_test] = np.array([1.0, 9.0]) - other[fold.target_test][:, ::-1]
    one = data_of(windows, fold, joint=joint)
    two = data_of(windows, fold, joint=joint, labels=labels_of(windows, other))
    assert (one.centre, one.spread) == (two.centre, two.spread)
    for a, b in zip(batches(one), batches(two), strict=True):
        for name in ("label", "source", "domain", "weight", "window", "trial", "subject", "present"):
            assert torch.equal(getattr(a, name).nan_to_num(99), getattr(b, name).nan_to_num(99))
        assert all(torch.equal(a.streams[name], b.streams[name]) for name in a.streams)


def test_training_and_validation_hold_source_trials_only(windows: WindowSet) -> None:
    for fold in folds(windows):
        data = data_of(windows, fold)
        trained = {int(t) for batch in batches(data) for t in batch.trial}
        validated = {int(t) for batch in data.val_dataloader() for t in batch.trial}
        tested = {int(t) for batch in data.predict_dataloader() for t in batch.trial}
        known = set(np.flatnonzero(~np.isnan(OF_TRIALS).all(axis=1)).tolist())  # one target is enough
        assert len(known) == len(OF_TRIALS) - 1
        assert trained == set(fold.source_train.tolist()) & known
        assert validated == set(fold.source_val.tolist()) & known
        assert tested == set(fold.target_test.tolist()) & known


def test_a_batch_tells_what_its_rows_are(windows: WindowSet) -> None:
    fold = folds(windows)[2]
    data = data_of(windows, fold, joint=True)
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
        data = data_of(windows, fold, joint=True)
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
        data = data_of(windows, fold, joint=True)
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
        data = data_of(windows, fold, joint=True, seed=seed)
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
    data, recorder = data_of(windows, folds(windows)[0], joint=True, batch_size=64), Recorder()
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
        known = batch.label[~batch.label[:, 0].isnan(), 0]
        shares = [float(batch.weight[batch.label[:, 0] == c, 0].sum()) for c in range(CLASSES)]
        np.testing.assert_allclose(shares, len(known) / CLASSES, rtol=1e-4)
        np.testing.assert_array_equal(data.priors[0], np.bincount(known.long(), minlength=CLASSES))
        np.testing.assert_array_equal(batch.weight[:, 1], ~batch.label[:, 1].isnan())  # values are not balanced
        plain = data_of(windows, fold, balanced=False).gather(data.source_train)
        np.testing.assert_array_equal(plain.weight, ~plain.label.isnan())


def test_a_class_that_is_not_there_takes_no_weight(windows: WindowSet) -> None:
    labels = np.where(OF_TRIALS == 2, 0, OF_TRIALS)
    data = data_of(windows, folds(windows)[0], labels=labels_of(windows, labels))
    batch = data.gather(data.source_train)
    known = int((~batch.label[:, 0].isnan()).sum())
    shares = [float(batch.weight[batch.label[:, 0] == c, 0].sum()) for c in range(2)]
    np.testing.assert_allclose(shares, known / 2, rtol=1e-4)


def test_values_are_measured_on_source_train(windows: WindowSet) -> None:
    for fold in folds(windows):
        data = data_of(windows, fold)
        known = labels_of(windows)[windows.table.of_trials(fold.source_train), 1].astype(float)
        assert data.centre == [0.0, pytest.approx(np.nanmean(known))]
        assert data.spread == [1.0, pytest.approx(np.nanstd(known))]


FEATURES = {"eeg": DifferentialEntropy({"low": (2, 8), "high": (8, 15)})}


@pytest.mark.parametrize("normalisation", get_args(Normalisation))
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


def samples(values: NDArray[Any], windows: WindowSet, name: str, trials: Sequence[int]) -> NDArray[np.float64]:
    """(C, n) of the trials that have the stream: every sample once, though windows overlap by half.

    Args:
        values: (n_windows, C, T).
    """
    found = []
    for trial in trials:
        rows = np.flatnonzero(windows.table.trial == trial)
        if windows.streams[name].present[rows[0]]:
            half = values.shape[2] // 2
            found += [*values[rows[:-1], :, :half], values[rows[-1]]]
    return np.concatenate(found, axis=1).astype(float)


def everything(data: FoldData, windows: WindowSet) -> dict[str, NDArray[np.float32]]:
    return {name: x.numpy() for name, x in values(data, np.arange(len(windows.table))).items()}


def test_source_statistics_are_those_of_source_train(windows: WindowSet) -> None:
    for fold in folds(windows):
        for name, x in everything(data_of(windows, fold, normalisation="source"), windows).items():
            inside = samples(x, windows, name, fold.source_train)
            np.testing.assert_allclose(inside.mean(axis=1), 0, atol=1e-5)
            np.testing.assert_allclose(inside.std(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("normalisation", ["subject", "baseline+subject"])
def test_subject_statistics_make_everybody_alike(windows: WindowSet, normalisation: Any) -> None:
    """Zero mean and unit deviation of every channel, for every person, the target too."""
    for fold in folds(windows):
        for name, x in everything(data_of(windows, fold, normalisation=normalisation), windows).items():
            for person in range(PEOPLE):
                own = samples(x, windows, name, np.flatnonzero(windows.subject == person))
                np.testing.assert_allclose(own.mean(axis=1), 0, atol=1e-5)
                np.testing.assert_allclose(own.std(axis=1), 1, atol=1e-5)


def test_no_normalisation_leaves_native_units(windows: WindowSet) -> None:
    data = data_of(windows, folds(windows)[0], normalisation="none")
    some = np.arange(0, len(windows.table), 7)
    for name, x in values(data, some).items():
        np.testing.assert_array_equal(x.numpy(), windows.streams[name].gather(some))


def without_baseline(windows: WindowSet) -> NDArray[np.float64]:
    """(n_windows, C, T) of the EEG, each trial's mean before the stimulus subtracted."""
    stream = windows.cache.streams["eeg"]
    before = [stream.signal(t)[:, : round(ONSET * RATE)].mean(axis=1) for t in range(len(windows.trials))]
    raw = windows.streams["eeg"].gather(np.arange(len(windows.table)))
    return np.asarray(raw - np.stack(before)[windows.table.trial][:, :, None], dtype=float)


def test_baseline_normalisation_takes_each_trials_baseline_away(windows: WindowSet) -> None:
    """And scales by source-train: a signal that stays at its baseline is zero on average."""
    fold, away = folds(windows)[4], without_baseline(windows)
    found = everything(data_of(windows, fold, normalisation="baseline"), windows)["eeg"]
    deviation = samples(away, windows, "eeg", fold.source_train).std(axis=1)
    np.testing.assert_allclose(found, away / deviation[:, None], rtol=1e-3, atol=1e-4)


def test_baseline_and_subject_is_the_persons_statistics_after_it(windows: WindowSet) -> None:
    away = without_baseline(windows)
    found = everything(data_of(windows, folds(windows)[4], normalisation="baseline+subject"), windows)["eeg"]
    for person in range(PEOPLE):
        trials = np.flatnonzero(windows.subject == person)
        own, rows = samples(away, windows, "eeg", trials), np.isin(windows.table.trial, trials)
        expected = (away[rows] - own.mean(axis=1)[:, None]) / own.std(axis=1)[:, None]
        np.testing.assert_allclose(found[rows], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("normalisation", get_args(Normalisation))
def test_an_absent_stream_is_zero_and_a_present_one_finite(windows: WindowSet, normalisation: Any) -> None:
    data = data_of(windows, folds(windows)[0], normalisation=normalisation)
    batch = data.gather(np.arange(len(windows.table)))
    absent = ~batch.present[:, 1]
    assert absent.any()
    assert not batch.streams["eda"][absent].any()
    assert batch.streams["eda"][~absent].isfinite().all()
