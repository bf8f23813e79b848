"""Small shifts made by hand, and a training loop without a trainer that honours every hook of an alignment."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from affect.alignment import Alignment
from affect.batch import Batch, StreamRows, StreamShape
from affect.encoders import BandMLP
from affect.fusion import Concatenation
from affect.learners.adaptive import Adaptive
from affect.learners.network import Network

SIDE = 32
"""Source rows a step, and target rows."""
CALIBRATION = 4
"""Labelled target windows a class, where a method needs some."""


@dataclass(frozen=True)
class Data:
    """Windows of source people 0 … K − 1 and of the target K.

    Args:
        values: (n, C, T).
        label: (n,) 0 or 1.
        person: (n,) 0 … K.
    """

    values: NDArray[Any]
    label: NDArray[Any]
    person: NDArray[Any]


Norm = Literal["none", "layer", "batch"]
Shift = Callable[[np.random.Generator], Data]
"""Seeded windows: what differs between people and the target is what a shift is named after."""


class _Learner(Adaptive):
    """A learner that is told its step."""

    step = 0

    @property
    def global_step(self) -> int:
        return self.step


class Bench:
    """Trains source-only or a method on a shift; the windows of the shift as alignments see them (`Windows`).

    Args:
        shift: makes the data.
        seed: of data, initial weights and order.
        steps: of training.
        shown: whether the target's labels stand in training batches, where no method may look at them.
        shuffled: whether the target's labels are wrong, but for those of calibration.
        rate: of learning.
        norm: of the encoder.
    """

    def __init__(
        self,
        shift: Shift,
        seed: int,
        steps: int = 120,
        shown: bool = False,
        shuffled: bool = False,
        rate: float = 1e-2,
        norm: Norm = "none",
    ) -> None:
        data = shift(np.random.default_rng(seed))
        self.seed, self.steps, self.shown, self.rate, self.norm = seed, steps, shown, rate, norm
        self.unmapped = torch.from_numpy(data.values).float()
        self.values = self.unmapped
        self.truth = torch.from_numpy(data.label).float()
        self.person = torch.from_numpy(data.person).long()
        self.domains = int(self.person.max()) + 1
        self.is_source = self.person < self.domains - 1
        self.calibrating = torch.zeros_like(self.is_source)
        for c in range(2):
            self.calibrating[torch.nonzero(~self.is_source & (self.truth == c))[:CALIBRATION, 0]] = True
        self.label = self.truth.clone()
        if shuffled:
            rows = ~self.is_source & ~self.calibrating
            self.label[rows] = 1 - self.label[rows]
        self.calibrated = False

    def train(self, kind: type[Alignment] | None, **arguments: Any) -> _Learner:
        """A trained learner, after all that its alignment does."""
        torch.manual_seed(self.seed)
        shape = StreamShape(tuple(f"c{i}" for i in range(self.values.shape[1])), self.values.shape[2], None)
        encoder = BandMLP(shape, hidden=32, out=8, input_dropout=0.0, dropout=0.0, norm=self.norm)
        network = Network({"x": encoder}, Concatenation({"x": 8}), {"happy": 2})
        alignment = kind(8, (2,), self.domains, **arguments) if kind else None
        learner = _Learner(network, alignment, self.rate, seed=self.seed)
        learner._steps = self.steps
        alignment = learner.alignment
        self.calibrated = alignment is not None and alignment.calibrates
        self.values = self.unmapped
        if alignment is not None and alignment.maps:
            mapped = alignment.map_stream(self._chunks)(self.unmapped, self.person, self.is_source)
            self.values = self.unmapped.lerp(mapped, alignment.weight)
        optimizer = torch.optim.AdamW(learner.groups(), lr=self.rate, weight_decay=1e-2)
        learner.train()
        for step in range(self.steps):
            learner.step = step
            batch = self._step(step, joint=alignment is not None and alignment.joint)
            learner.on_train_batch_start(batch, step)
            optimizer.zero_grad()
            learner.training_step(batch).backward()
            optimizer.step()
        learner.finish(self)
        return learner

    def score(self, learner: _Learner) -> float:
        """Balanced accuracy on the target, but for the windows of calibration."""
        learner.eval()
        rows = torch.nonzero(~self.is_source & ~self.calibrating)[:, 0]
        with torch.no_grad():
            named = learner.network(self._gather(rows)).argmax(dim=1)
        right = (named == self.truth[rows]).double()
        return float(torch.stack([right[self.truth[rows] == c].mean() for c in range(2)]).mean())

    def source(self, epoch: int) -> Iterator[Batch]:
        return self._shuffled(self._sources(), epoch, 2)

    def target(self, epoch: int) -> Iterator[Batch]:
        return self._shuffled(self._targets(), epoch, 3)

    def calibration(self, epoch: int) -> Iterator[Batch]:
        return self._shuffled(torch.nonzero(self.calibrating)[:, 0] if self.calibrated else self.person[:0], epoch, 4)

    def _sources(self) -> Tensor:
        return torch.nonzero(self.is_source | (self.calibrating if self.calibrated else False))[:, 0]

    def _targets(self) -> Tensor:
        return torch.nonzero(~self.is_source & ~(self.calibrating & self.calibrated))[:, 0]

    def _chunks(self) -> Iterator[StreamRows]:
        for rows in torch.arange(len(self.person)).split(100):
            source = self.is_source[rows]
            yield StreamRows(self.values[rows], self.person[rows], source, torch.zeros_like(source))

    def _step(self, step: int, joint: bool) -> Batch:
        order = np.random.default_rng([self.seed, step])
        sides = [self._sources(), self._targets()][: 1 + joint]
        return self._gather(torch.cat([rows[torch.from_numpy(order.integers(0, len(rows), SIDE))] for rows in sides]))

    def _shuffled(self, rows: Tensor, epoch: int, kind: int) -> Iterator[Batch]:
        order = np.random.default_rng([self.seed, epoch, kind]).permutation(len(rows))
        return (self._gather(part) for part in rows[torch.from_numpy(order)].split(2 * SIDE))

    def _gather(self, rows: Tensor) -> Batch:
        """As `FoldData` gathers: labelled target windows count as source, of the target's domain all the same."""
        source = self.is_source[rows] | (self.calibrating[rows] & self.calibrated)
        label = self.label[rows] if self.shown else torch.where(source, self.label[rows], torch.nan)
        return Batch(
            streams={"x": self.values[rows]},
            present=torch.ones(len(rows), 1, dtype=torch.bool),
            label=label[:, None],
            source=source,
            domain=self.person[rows],
            weight=torch.ones(len(rows), 1),
            window=rows,
            trial=rows,
            subject=self.person[rows],
        )


@cache
def source_only(shift: Shift, seed: int, norm: Norm = "none") -> float:
    bench = Bench(shift, seed, norm=norm)
    return bench.score(bench.train(None))


def scores(
    kind: type[Alignment], shift: Shift, seeds: int = 5, norm: Norm = "none", **arguments: Any
) -> NDArray[np.float64]:
    """(seeds, 2) balanced accuracy on the target: source-only, method."""
    found = []
    for seed in range(seeds):
        bench = Bench(shift, seed, norm=norm)
        found.append((source_only(shift, seed, norm), bench.score(bench.train(kind, **arguments))))
    return np.array(found)


def _people(rng: np.random.Generator, each: int = 128, sources: int = 2) -> tuple[NDArray[Any], NDArray[Any]]:
    """(n,) person and label: each source person, and a target of two source people's size, of even classes."""
    person = np.repeat(np.arange(sources + 1), [each] * sources + [2 * each])
    return person, rng.permuted(np.arange(len(person)) % 2)


def _cues(rng: np.random.Generator, label: NDArray[Any]) -> NDArray[Any]:
    """(n, 4): a cue that is safe but noisy (axis 0), one that is clear (axis 1), and two axes of noise."""
    sign = 2 * label - 1
    x = rng.normal(size=(len(label), 4))
    x[:, 0] += 1.5 * sign
    x[:, 1] = 1.5 * sign + 0.4 * x[:, 1]
    return x


def translation(rng: np.random.Generator) -> Data:
    """The clear cue is off by 5 in the target: what follows it names one class."""
    person, label = _people(rng)
    x = _cues(rng, label)
    x[person == 2, 1] += 5
    return Data(x[..., None], label, person)


def _turned(rng: np.random.Generator, degrees: float, rare: int = 2) -> Data:
    """One in `rare` windows of the target is of class 1."""
    person, label = _people(rng)
    label[person == 2] = rng.permuted(np.arange(int((person == 2).sum())) % rare == 0)
    x = 0.5 * rng.normal(size=(len(label), 2))
    x[:, 0] += 1.5 * (2 * label - 1)
    angle = np.deg2rad(degrees) * (person == 2)
    turned = [np.cos(angle) * x[:, 0] - np.sin(angle) * x[:, 1], np.sin(angle) * x[:, 0] + np.cos(angle) * x[:, 1]]
    return Data(np.stack(turned, axis=1)[..., None], label, person)


def rotation(rng: np.random.Generator) -> Data:
    """Two clear clusters; the target's are turned by 60°: the source's boundary cuts them, a gap lies beside it."""
    return _turned(rng, 60)


def prior_and_rotation(rng: np.random.Generator) -> Data:
    """Turned by 60°, and classes are four to one in the target."""
    return _turned(rng, 60, rare=5)


def over_rotation(rng: np.random.Generator) -> Data:
    """Turned by 110°: each cluster of the target is nearer to the other class; what aligns them names all wrongly."""
    return _turned(rng, 110)


def offset(rng: np.random.Generator) -> Data:
    """All of the target is off by as much along the labels' axis."""
    person, label = _people(rng)
    x = 0.6 * rng.normal(size=(len(label), 3))
    x[:, 0] += 1.5 * (2 * label - 1)
    x[person == 2] += [1.5, 1.0, 0.0]
    return Data(x[..., None], label, person)


def confounded(rng: np.random.Generator) -> Data:
    """Classes are nine to one in the target. The clear cue follows them; the safe one is as even as in the source and
    tells nothing any more: domains look alike to those who listen to the wrong one."""
    person, label = _people(rng)
    target = person == 2
    rows = int(target.sum())
    label[target] = rng.permuted(np.arange(rows) % 10 == 0)
    x = _cues(rng, label)
    x[target, 0] = 1.5 * rng.choice([-1, 1], size=rows) + rng.normal(size=rows)
    return Data(x[..., None], label, person)
