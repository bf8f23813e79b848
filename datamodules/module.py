"""The LightningDataModule: one fold of a window set, target labels hidden until the test."""

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from typing import Literal

import numpy as np
import pytorch_lightning as pl
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from affect.batch import Batch, StreamMap, StreamRows
from affect.errors import UserError
from affect.preprocessing.normalisation import Moments, Normalisation, fit
from datamodules.embedding import Embedded
from datamodules.protocols import Fold
from datamodules.windows import WindowSet

Rows = NDArray[np.int64]
_NUMBERS = 1 << 22  # of a batch that is only looked at; networks make many more of them


class FoldData(pl.LightningDataModule):
    """Batches of one fold.

    Nothing this object hands out while fitting holds a target label: they are replaced by NaN here, before the
    first batch, and the scores are computed elsewhere from the predictions.

    Args:
        windows: all windows of the corpus.
        labels: (n_windows, Q) number of the class or value of every window for each target, NaN where unknown.
        classes: number of classes of each target, 0 for a regression.
        fold: its split.
        normalisation: how streams are normalised.
        batch_size: source windows a step.
        seed: of the order of windows, which is a pure function of (seed, epoch).
        joint: whether every training batch holds as many unlabelled target windows as source windows.
        balanced: whether every class weighs the same in the label loss, whatever the share of its windows.
        domain: what alignment aligns: people, or corpora.
        streams: that are handed out; default all.
        native: those handed out in their own unit, not normalised.
        calibration_weight: of a labelled target window beside a labelled source window.
        labelled: whether windows without any label are left out of source-train and source-val.

    Attributes:
        source_train, source_val, target_unlabelled, target_test: windows; all but the unlabelled have a label for one
            target at least. A calibrated fold's labelled target windows are in source_train.
        priors: for each target, windows of every class in source-train; empty for a regression.
        centre, spread: for each target, mean and standard deviation of its values in source-train; 0 and 1 for
            classes.
        domains: source people, or corpora, and the target.
    """

    def __init__(
        self,
        windows: WindowSet,
        labels: NDArray[np.float32],
        classes: Sequence[int],
        fold: Fold,
        normalisation: Normalisation = "source",
        batch_size: int = 64,
        seed: int = 0,
        joint: bool = False,
        balanced: bool = True,
        domain: Literal["subject", "corpus"] = "subject",
        streams: Sequence[str] | None = None,
        native: Collection[str] = (),
        calibration_weight: float = 1.0,
        labelled: bool = True,
    ) -> None:
        super().__init__()
        table, self.batch_size, self.seed = windows.table, batch_size, seed
        self._windows, self._fold, self._normalisation = windows, fold, normalisation
        self._streams = {name: windows.streams[name] for name in streams or windows.streams}
        self._affine = {
            name: self._fitted(windows.moments[name], "none" if name in native else normalisation)
            for name in self._streams
        }
        self._native = frozenset(native)
        self._embedded: dict[str, Embedded] = {}
        is_source = np.zeros(len(windows.trials), dtype=bool)
        is_source[fold.source_train] = is_source[fold.source_val] = True
        group = windows.subject if domain == "subject" else windows.corpus
        sources = np.unique(group[fold.source_train])
        self.domains = len(sources) + 1
        number = np.zeros(group.max() + 1, dtype=np.int64)
        number[sources] = np.arange(len(sources))
        domains = np.where(is_source, number[group], len(sources))
        is_source[fold.target_calibration] = True  # labelled as the source is; of the target's domain all the same
        self._source = torch.from_numpy(is_source[table.trial])
        self._domain = torch.from_numpy(domains[table.trial])
        self._subject = torch.from_numpy(windows.subject[table.trial])
        self._trial = torch.from_numpy(table.trial.astype(np.int64))

        known = np.asarray(~np.isnan(labels).all(axis=1)) if labelled else np.ones(len(table), dtype=bool)
        train = np.union1d(fold.source_train, fold.target_calibration).astype(np.int64)
        self.source_train, self.source_val, self.target_test = (
            rows[known[rows]] for rows in map(table.of_trials, (train, fold.source_val, fold.target_test))
        )
        unlabelled = np.setdiff1d(fold.target_unlabelled, fold.target_calibration)  # those are in source_train
        self.target_unlabelled = table.of_trials(unlabelled)
        self._joint = joint
        self._calibration = np.intersect1d(self.source_train, table.of_trials(fold.target_calibration))
        held_out = np.zeros(len(windows.trials), dtype=bool)
        held_out[fold.source_val] = True
        self._held_out = torch.from_numpy(held_out[table.trial])
        self._maps: dict[str, StreamMap] = {}
        self._mapped = 0.0
        allowed = np.where(is_source[table.trial, None], labels, np.float32(np.nan))
        self._label = torch.from_numpy(allowed)
        weight = (~np.isnan(allowed)).astype(np.float32)
        self.priors: list[NDArray[np.int64]] = []
        self.centre: list[float] = []
        self.spread: list[float] = []
        for column, count in enumerate(classes):
            label = allowed[self.source_train, column]
            label = label[~np.isnan(label)]
            self.priors.append(np.bincount(label.astype(np.int64), minlength=count) if count else np.zeros(0, np.int64))
            self.centre.append(0.0 if count else float(label.mean(dtype=np.float64)))
            self.spread.append(1.0 if count else float(label.std(dtype=np.float64)) or 1.0)
            if count and balanced:
                weight[:, column] *= _balance(self.priors[-1])[np.nan_to_num(allowed[:, column]).astype(np.int64)]
        if calibration_weight != 1 and len(fold.target_calibration):
            weight[table.of_trials(fold.target_calibration)] *= calibration_weight
        self._weight = torch.from_numpy(weight)

    def labels_of(self, target: int) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
        """(n_windows,) of all windows: what may be known of a target's labels, NaN elsewhere; their weights; whether
        they are the tested person's own calibration windows."""
        own = np.isin(self._windows.table.trial, self._fold.target_calibration)
        return self._label[:, target].numpy(), self._weight[:, target].numpy(), own

    def trial_of(self, rows: Rows) -> Rows:
        """(n,) trial of every window."""
        return self._trial[torch.from_numpy(rows)].numpy()

    @property
    def source_alone(self) -> Rows:
        """source_train without the tested person's labelled windows."""
        return np.setdiff1d(self.source_train, self._calibration)

    @property
    def rows(self) -> Rows:
        """All windows of the fold's trials."""
        return self._windows.table.of_trials(np.concatenate(list(self._fold.parts.values())))

    def embed(self, name: str, encoder: Callable[[Tensor], Tensor], dim: int, digest: str) -> None:
        """Hand out what a frozen encoder makes of a stream, in its place: (B, 1, D), normalised like any features.

        Args:
            encoder: (B, …) as handed out so far → (B, D).
            digest: of its weights; the same encoder embeds a window of a native stream once, for all folds.
        """
        known = self._windows.embeddings.get((name, digest)) if name in self._native else None
        embedded = known or Embedded(len(self._windows.table), dim)
        if name in self._native:
            self._windows.embeddings[name, digest] = embedded
        present = self._streams[name].present
        rows = self.rows[present[self.rows]]
        size = self._at_once(32 if self._windows.shapes[name].size else 256, [name])
        embedded.add(rows, np.flatnonzero(present), lambda part: encoder(self._values(name, part)), size)
        moments = embedded.moments(rows, self._windows.table.trial, len(self._windows.trials))
        self._affine[name] = self._fitted(moments, self._normalisation)
        self._embedded[name] = embedded

    def map_streams(self, fit_map: Callable[[Callable[[], Iterator[StreamRows]]], StreamMap], weight: float) -> None:
        """Hand out windows as an alignment maps them.

        Args:
            fit_map: its `map_stream`.
            weight: 0, as they are, to 1, as they are mapped.
        """
        for name in self._streams:
            if self._windows.shapes[name].size and name not in self._embedded:
                raise UserError(
                    f"data.streams.{name}", "pictures", "features or samples, which can be mapped", "freeze its encoder"
                )
        seen = self.target_unlabelled
        # A stream that the tested person does not have is like nobody's, and stays as it is.
        shared = [name for name, stream in self._streams.items() if not len(seen) or stream.present[seen].any()]
        fitted = {name: fit_map(partial(self._rows_of, name)) for name in shared}
        self._maps, self._mapped = fitted, weight

    def _rows_of(self, name: str) -> Iterator[StreamRows]:
        """All windows of a stream that an alignment may be fitted on, some at a time."""
        used = np.concatenate([self.source_train, self.source_val, self.target_unlabelled])
        used = np.unique(used[self._streams[name].present[used]])
        size = self._at_once(4096, [name])
        for i in range(0, len(used), size):
            rows = used[i : i + size]
            index = torch.from_numpy(rows)
            values, of_source = self._values(name, rows), self._of_source(index)
            yield StreamRows(values, self._subject[index], of_source, self._held_out[index])

    def _of_source(self, index: Tensor) -> Tensor:
        """(n,) whether windows are of a source domain; the tested person's labelled windows are not."""
        return self._domain[index] != self.domains - 1

    def source(self, epoch: int) -> Iterator[Batch]:
        """Labelled windows of source-train in batches, shuffled anew in every epoch."""
        return self._shuffled(self.source_train, epoch, 2)

    def target(self, epoch: int) -> Iterator[Batch]:
        """Unlabelled windows of the target in batches, shuffled anew in every epoch."""
        return self._shuffled(self.target_unlabelled, epoch, 3)

    def calibration(self, epoch: int) -> Iterator[Batch]:
        """The tested person's few labelled windows in batches, shuffled anew in every epoch."""
        return self._shuffled(self._calibration, epoch, 4)

    def _shuffled(self, rows: Rows, epoch: int, kind: int) -> Iterator[Batch]:
        rows = np.random.default_rng([self.seed, epoch, kind]).permutation(rows)
        return (self.gather(rows[part]) for part in _steps(len(rows), self.batch_size))

    def gather(self, rows: Rows) -> Batch:
        """The batch of the windows `rows`, normalised."""
        index = torch.from_numpy(rows)
        trial = self._trial[index]
        streams = {name: self._values(name, rows) for name in self._streams}
        present = [torch.from_numpy(stream.present[rows]) for stream in self._streams.values()]
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

    def _at_once(self, most: int, names: Sequence[str]) -> int:
        """How many windows of these streams go through networks at a time when nothing is learned."""
        shapes = [self._windows.shapes[name] for name in names]
        numbers = sum(len(s.channels) * s.length * int(np.prod(s.size or (1,))) for s in shapes)
        return max(1, min(most, _NUMBERS // max(1, numbers)))

    def _values(self, name: str, rows: Rows) -> Tensor:
        """(B, …) of one stream, normalised; zeros where it is absent."""
        stream, trial = self._streams[name], self._trial[torch.from_numpy(rows)]
        made = self._embedded.get(name)
        values = torch.from_numpy(made.gather(rows) if made else stream.gather(rows)).float()
        shift, scale = (part[trial] for part in self._affine[name])
        if values.ndim == 5:  # pictures (B, 3, T, H, W): one number a colour
            shift, scale = shift[..., None, None], scale[..., None, None]
        values.sub_(shift).mul_(scale)  # what was gathered is nobody else's
        here = torch.from_numpy(stream.present[rows])
        if name in self._maps and here.any():
            index, present = torch.from_numpy(rows)[here], values[here]
            mapped = self._maps[name](present, self._subject[index], self._of_source(index))
            values[here] = present.lerp(mapped, self._mapped) if self._mapped != 1 else mapped
        if not stream.complete:
            values.masked_fill_(~here.view(-1, *[1] * (values.ndim - 1)), 0.0)
        return values

    def _fitted(self, moments: Moments, normalisation: Normalisation) -> tuple[Tensor, Tensor]:
        """(n_trials, C, F) shift and scale, fitted on what the fold allows."""
        fold = self._fold
        visible = np.union1d(np.union1d(fold.source_train, fold.source_val), fold.target_unlabelled).astype(np.int64)
        fitted = fit(normalisation, moments, self._windows.subject, fold.source_train, visible)
        return torch.from_numpy(fitted.shift), torch.from_numpy(fitted.scale)

    def train_dataloader(self) -> "DataLoader[Batch]":
        target = self.target_unlabelled if self._joint else self.target_unlabelled[:0]
        order = EpochOrder(self.source_train, target, self.batch_size, self.seed)
        return DataLoader(_Gathered(self), sampler=order, batch_size=None)

    def val_dataloader(self) -> "DataLoader[Batch]":
        return self.in_order(self.source_val)

    def predict_dataloader(self) -> "DataLoader[Batch]":
        return self.in_order(self.target_test)

    def in_order(self, rows: Rows) -> "DataLoader[Batch]":
        """Batches of these windows to be looked at, as large as memory lets them be."""
        names = [name for name in self._streams if name not in self._embedded]
        pictures = any(self._windows.shapes[name].size for name in names)
        size = self._at_once(self.batch_size if pictures else 512, names)
        parts = [rows[i : i + size] for i in range(0, len(rows), size)]
        return DataLoader(_Gathered(self), sampler=parts, batch_size=None)


def _balance(priors: NDArray[np.int64]) -> NDArray[np.float64]:
    """(K,) weight of a window of each class with which all classes that are there weigh the same; 1 on average."""
    balance: NDArray[np.float64] = priors.sum() / (np.count_nonzero(priors) * np.maximum(priors, 1))
    return balance


def _steps(rows: int, batch_size: int) -> list[slice]:
    """Of a pass over rows; one that is left over joins the last step, for one alone BatchNorm cannot learn from."""
    starts = list(range(0, rows, batch_size))
    if rows > batch_size > 1 and rows % batch_size == 1:
        starts.pop()
    return [slice(start, end) for start, end in zip(starts, [*starts[1:], rows], strict=True)]


class EpochOrder(Sampler[Rows]):
    """Window numbers of every step: a shuffled pass over the source, with as many target windows beside them.

    The order depends on (seed, epoch) only: it can be resumed, and it is new in every epoch for both domains. Where a
    run has several processes each takes its share of every step.

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
        return len(_steps(len(self.source), self.batch_size))

    def __iter__(self) -> Iterator[Rows]:
        source = np.random.default_rng([self.seed, self.epoch, 0]).permutation(self.source)
        target = self.target[:0]
        if len(self.target):
            generator = np.random.default_rng([self.seed, self.epoch, 1])
            passes = -(-len(source) // len(self.target))
            target = np.concatenate([generator.permutation(self.target) for _ in range(passes)])[: len(source)]
        for part in _steps(len(source), self.batch_size):
            yield np.concatenate([_share(source[part]), _share(target[part])])


def _share(rows: Rows) -> Rows:
    """What of a step's windows this process takes, where a run has several; of fewer windows than processes, all."""
    if not (dist.is_available() and dist.is_initialized()) or len(rows) < dist.get_world_size():
        return rows
    return rows[dist.get_rank() :: dist.get_world_size()]


class _Gathered(Dataset[Batch]):
    """Index with an array of window numbers, get a Batch: no work per window."""

    def __init__(self, data: FoldData) -> None:
        self.data = data

    def __getitem__(self, rows: Rows) -> Batch:
        return self.data.gather(rows)
