"""The LightningDataModule: one fold of a window set, target labels hidden until the test."""

from collections.abc import Iterator

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler

from affect.batch import Batch
from affect.preprocessing.normalisation import Normalisation, fit
from datamodules.protocols import Fold
from datamodules.windows import WindowSet

Rows = NDArray[np.int64]


class FoldData(pl.LightningDataModule):
    """Batches of one fold.

    Nothing this object hands out while fitting holds a target label: they are replaced by −1 here, before the
    first batch, and the scores are computed elsewhere from the predictions.

    Args:
        windows: all windows of the corpus.
        labels: (n_trials,) class of every trial, −1 where unknown.
        classes: number of classes.
        fold: its split.
        normalisation: how streams are normalised.
        batch_size: source windows a step; as many target windows are added when `adapts`.
        seed: of the order of windows, which is a pure function of (seed, epoch).
        adapts: whether training reads unlabelled target windows.
        balanced: whether every class weighs the same in the label loss, whatever the share of its windows.
    """

    def __init__(
        self,
        windows: WindowSet,
        labels: NDArray[np.int64],
        classes: int,
        fold: Fold,
        normalisation: Normalisation = "source",
        batch_size: int = 64,
        seed: int = 0,
        adapts: bool = False,
        balanced: bool = True,
    ) -> None:
        super().__init__()
        table, self.batch_size, self.seed = windows.table, batch_size, seed
        visible = np.union1d(np.union1d(fold.source_train, fold.source_val), fold.target_unlabelled).astype(np.int64)
        affine = {
            name: fit(normalisation, moments, windows.subject, fold.source_train, visible)
            for name, moments in windows.moments.items()
        }
        self._affine = {name: (torch.from_numpy(a.shift), torch.from_numpy(a.scale)) for name, a in affine.items()}
        self._windows = windows
        is_source = np.zeros(len(labels), dtype=bool)
        is_source[fold.source_train] = is_source[fold.source_val] = True
        allowed = np.where(is_source, labels, -1)
        self._label = torch.from_numpy(allowed[table.trial])
        self._source = torch.from_numpy(is_source[table.trial])
        sources = np.unique(windows.subject[fold.source_train])
        self.domains = len(sources) + 1
        number = np.zeros(len(windows.people), dtype=np.int64)
        number[sources] = np.arange(len(sources))
        domain = np.where(is_source, number[windows.subject], len(sources))
        self._domain = torch.from_numpy(domain[table.trial])
        self._subject = torch.from_numpy(windows.subject[table.trial])
        self._trial = torch.from_numpy(table.trial.astype(np.int64))

        self.source_train = table.of_trials(fold.source_train[labels[fold.source_train] >= 0])
        self.source_val = table.of_trials(fold.source_val[labels[fold.source_val] >= 0])
        self.target_unlabelled = table.of_trials(fold.target_unlabelled) if adapts else table.trial[:0]
        self.target_test = table.of_trials(fold.target_test[labels[fold.target_test] >= 0])
        self.priors = np.bincount(labels[table.trial[self.source_train]], minlength=classes)
        balance = self.priors.sum() / (np.count_nonzero(self.priors) * np.maximum(self.priors, 1))
        weight = np.where(allowed >= 0, balance[np.maximum(allowed, 0)], 1.0) if balanced else np.ones(len(labels))
        self._weight = torch.from_numpy(weight[table.trial].astype(np.float32))

    def gather(self, rows: Rows) -> Batch:
        """The batch of the windows `rows`, normalised."""
        index = torch.from_numpy(rows)
        trial = self._trial[index]
        streams, present = {}, []
        for name, stream in self._windows.streams.items():
            shift, scale = self._affine[name]
            here = torch.from_numpy(stream.present[rows])
            values = (torch.from_numpy(stream.gather(rows)) - shift[trial]) * scale[trial]
            streams[name] = torch.where(here[:, None, None], values, 0.0)
            present.append(here)
        return Batch(
            streams=streams,
            present=torch.stack(present, dim=1),
            label=self._label[index],
            source=self._source[index],
            domain=self._domain[index],
            weight=self._weight[index],
            window=index,
            trial=trial,
            subject=self._subject[index],
        )

    def train_dataloader(self) -> "DataLoader[Batch]":
        order = EpochOrder(self.source_train, self.target_unlabelled, self.batch_size, self.seed)
        return DataLoader(_Gathered(self), sampler=order, batch_size=None)

    def val_dataloader(self) -> "DataLoader[Batch]":
        return self._in_order(self.source_val)

    def predict_dataloader(self) -> "DataLoader[Batch]":
        return self._in_order(self.target_test)

    def _in_order(self, rows: Rows) -> "DataLoader[Batch]":
        parts = [rows[i : i + 512] for i in range(0, len(rows), 512)]
        return DataLoader(_Gathered(self), sampler=parts, batch_size=None)


class EpochOrder(Sampler[Rows]):
    """Window numbers of every step: a shuffled pass over the source, with as many target windows beside them.

    The order depends on (seed, epoch) only: it can be resumed, and it is new in every epoch for both domains.

    Args:
        source, target: window numbers; an empty target for source-only.
        batch_size: source windows a step.
    """

    def __init__(self, source: Rows, target: Rows, batch_size: int, seed: int) -> None:
        self.source, self.target, self.batch_size, self.seed = source, target, batch_size, seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this at the start of every epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-len(self.source) // self.batch_size)

    def __iter__(self) -> Iterator[Rows]:
        source = np.random.default_rng([self.seed, self.epoch, 0]).permutation(self.source)
        target = self.target[:0]
        if len(self.target):
            generator = np.random.default_rng([self.seed, self.epoch, 1])
            passes = -(-len(source) // len(self.target))
            target = np.concatenate([generator.permutation(self.target) for _ in range(passes)])[: len(source)]
        for i in range(0, len(source), self.batch_size):
            part = slice(i, i + self.batch_size)
            yield np.concatenate([source[part], target[part]])


class _Gathered(Dataset[Batch]):
    """Index with an array of window numbers, get a Batch: no work per window."""

    def __init__(self, data: FoldData) -> None:
        self.data = data

    def __getitem__(self, rows: Rows) -> Batch:
        return self.data.gather(rows)
