"""Protocols: pure functions of the trials table and a seed to folds. Windows are cut only after the split."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affect.errors import UserError

Rows = NDArray[np.int64]
Unit = TypeVar("Unit", np.str_, np.int64)


@dataclass(frozen=True)
class Fold:
    """One split, as row numbers of the trials table.

    Args:
        source_train: labelled trials to learn from.
        source_val: labelled trials of the source to choose with; of other people in cross-subject protocols.
        target_unlabelled: trials whose recordings, never whose labels, a transductive method may look at.
        target_test: trials that are scored, once, at the end.
        target_calibration: the few trials of the target whose labels are learned from too, never scored.
        calibration: how many of each tested person those are.
    """

    name: str
    source_train: Rows
    source_val: Rows
    target_unlabelled: Rows
    target_test: Rows
    target_calibration: Rows = field(default_factory=lambda: np.zeros(0, np.int64))
    calibration: int = 0

    @property
    def parts(self) -> dict[str, Rows]:
        """Name → rows."""
        return {name: rows for name, rows in vars(self).items() if isinstance(rows, np.ndarray)}

    def only(self, kept: Rows) -> "Fold":
        """The same fold without the trials that are not in `kept`."""
        changed: dict[str, Any] = {name: rows[np.isin(rows, kept)] for name, rows in self.parts.items()}
        return replace(self, **changed)


class Protocol(ABC):
    """The rule that splits trials. Reads `subject` and `stimulus` of the table, never ratings or signals."""

    def __init__(self, validation: float = 0.0, seed: int = 0) -> None:
        if not 0 <= validation < 1:
            raise UserError("protocol.validation", f"{validation}", "0 ≤ validation < 1", "give a share of the source")
        self.validation = validation
        self.seed = seed

    @abstractmethod
    def split(self, trials: pd.DataFrame) -> list[Fold]:
        """All folds, in a fixed order."""

    def _held_out(self, units: NDArray[Unit], fold: int) -> NDArray[Unit]:
        """The share of source units (people or trials) kept to choose with."""
        if self.validation == 0 or len(units) < 2:
            return units[:0]
        count = min(max(1, round(self.validation * len(units))), len(units) - 1)
        return np.random.default_rng([self.seed, fold]).permutation(units)[:count]


class SubjectGroups(Protocol):
    """People in k groups; each group is the target once, the others are the source.

    Args:
        groups: number of groups, 2 … people.
        validation: share of source people held out to choose with.
        new_stimuli: 0, or in how many parts the stimuli are cut; each part is tested by models that
            never met it, so a fold is (group, part) and shares neither person nor stimulus.
        seed: of the grouping.
        source_people: how many source people are learned from, a draw that grows with the number; default all.
        calibration: how many trials of each tested person are learned from with their labels, a draw that grows.
        calibration_reserve: how many trials of each tested person are not scored, so that different `calibration` are
            scored on the same trials; default as many as are learned from.
    """

    def __init__(
        self,
        groups: int,
        validation: float = 0.0,
        new_stimuli: int = 0,
        seed: int = 0,
        source_people: int | None = None,
        calibration: int = 0,
        calibration_reserve: int | None = None,
    ) -> None:
        super().__init__(validation, seed)
        reserve = calibration if calibration_reserve is None else calibration_reserve
        if groups < 2:
            raise UserError("protocol.groups", f"{groups}", "2 or more", "raise it")
        if new_stimuli < 0 or new_stimuli == 1:
            raise UserError("protocol.new_stimuli", f"{new_stimuli}", "0, or 2 or more parts", "correct it")
        if source_people is not None and source_people < 1:
            raise UserError("protocol.source_people", f"{source_people}", "1 or more", "raise it, or leave it out")
        if not 0 <= calibration <= reserve:
            found = f"{calibration} of {reserve} reserved"
            raise UserError("protocol.calibration", found, "0 ≤ calibration ≤ calibration_reserve", "correct it")
        if new_stimuli and reserve:
            raise UserError(
                "protocol.calibration",
                "with new_stimuli: one person's labelled trial would show a stimulus another is tested on",
                "either of them",
                "take one out",
            )
        self.groups, self.new_stimuli = groups, new_stimuli
        self.source_people, self.calibration, self.reserve = source_people, calibration, reserve

    def split(self, trials: pd.DataFrame) -> list[Fold]:
        people = _unique(trials["subject"])
        if not 2 <= self.groups <= len(people):
            raise UserError("protocol.groups", f"{self.groups} for {len(people)} people", "2 … people", "lower it")
        order = np.random.default_rng(self.seed).permutation(np.sort(people))
        groups = [np.sort(part) for part in np.array_split(order, self.groups)]
        return self._folds(trials, {f"group{i + 1:02d}": group for i, group in enumerate(groups)})

    def _folds(self, trials: pd.DataFrame, targets: dict[str, NDArray[np.str_]]) -> list[Fold]:
        subject = trials["subject"].to_numpy(dtype=str)
        people = _unique(trials["subject"])
        folds = []
        for number, (name, group) in enumerate(targets.items()):
            is_target = np.isin(subject, group)
            source = people[~np.isin(people, group)]
            held_out = self._held_out(source, number)
            is_val = np.isin(subject, held_out)
            is_train = np.isin(subject, self._learned_from(source[~np.isin(source, held_out)], number))
            for part, (old, new) in self._stimulus_parts(trials).items():
                target = np.flatnonzero(is_target & new)
                if len(target) == 0:
                    continue
                calibration, reserved = self._labelled(target, subject)
                folds.append(
                    Fold(
                        name=name + part,
                        source_train=np.flatnonzero(is_train & old),
                        source_val=np.flatnonzero(is_val & old),
                        target_unlabelled=target,
                        target_test=np.setdiff1d(target, reserved),
                        target_calibration=calibration,
                        calibration=self.calibration,
                    )
                )
        return folds

    def _learned_from(self, source: NDArray[np.str_], fold: int) -> NDArray[np.str_]:
        """The source people whose labels are used; fewer of them are some of more."""
        if self.source_people is None:
            return source
        if self.source_people > len(source):
            raise UserError(
                "protocol.source_people",
                f"{self.source_people} of {len(source)} source people",
                "no more than there are",
                "lower it",
            )
        return np.random.default_rng([self.seed, fold, 1]).permutation(source)[: self.source_people]

    def _labelled(self, target: Rows, subject: NDArray[np.str_]) -> tuple[Rows, Rows]:
        """(calibration, reserved) trials of everybody in `target`; drawn without a look at labels."""
        if self.reserve == 0:
            return target[:0], target[:0]
        calibration, reserved = [], []
        for number, person in enumerate(_unique(pd.Series(subject[target]))):
            own = target[subject[target] == person]
            if len(own) <= self.reserve:
                raise UserError(
                    "protocol.calibration_reserve",
                    f"{self.reserve} of {person}'s {len(own)} trials",
                    "one trial at least left to score",
                    "lower it",
                )
            order = np.random.default_rng([self.seed, int(own[0]), number]).permutation(own)
            calibration.append(order[: self.calibration])
            reserved.append(order[: self.reserve])
        return np.sort(np.concatenate(calibration)), np.sort(np.concatenate(reserved))

    def _stimulus_parts(self, trials: pd.DataFrame) -> dict[str, tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
        """Fold-name suffix → (trials that may train, trials that may be tested)."""
        if not self.new_stimuli:
            everything = np.ones(len(trials), dtype=bool)
            return {"": (everything, everything)}
        stimuli = _unique(trials["stimulus"])
        if len(stimuli) < self.new_stimuli:
            raise UserError(
                "protocol.new_stimuli",
                f"{self.new_stimuli} parts of {len(stimuli)} stimuli",
                "no more parts than stimuli",
                "lower it",
            )
        parts = np.array_split(np.random.default_rng(self.seed).permutation(np.sort(stimuli)), self.new_stimuli)
        stimulus = trials["stimulus"].to_numpy(dtype=str)
        masks = [np.isin(stimulus, part) for part in parts]
        return {f"-stimuli{i + 1:02d}": (~mask, mask) for i, mask in enumerate(masks)}


class LeaveOneSubjectOut(SubjectGroups):
    """Each person is the target once, all others are the source; folds are named by the person.

    Args:
        validation, new_stimuli, seed, source_people, calibration, calibration_reserve: as in SubjectGroups.
    """

    def __init__(
        self,
        validation: float = 0.0,
        new_stimuli: int = 0,
        seed: int = 0,
        source_people: int | None = None,
        calibration: int = 0,
        calibration_reserve: int | None = None,
    ) -> None:
        super().__init__(2, validation, new_stimuli, seed, source_people, calibration, calibration_reserve)

    def split(self, trials: pd.DataFrame) -> list[Fold]:
        people = _unique(trials["subject"])
        if len(people) < 2:
            raise UserError("protocol", f"{len(people)} person to leave out", "2 people or more", "add people")
        return self._folds(trials, {str(person): people[i : i + 1] for i, person in enumerate(people)})


class LeaveOneCorpusOut(SubjectGroups):
    """Each corpus of an experiment is the target once, all people of the others are the source.

    Args:
        validation: share of source people held out to choose with.
        only: names of corpora to take as targets; default all.
        seed: of the people held out.
    """

    def __init__(self, validation: float = 0.0, only: Sequence[str] | None = None, seed: int = 0) -> None:
        super().__init__(2, validation, 0, seed)
        self.only = only

    def split(self, trials: pd.DataFrame) -> list[Fold]:
        corpora = list(dict.fromkeys(trials["corpus"].astype(str)))
        targets = corpora if self.only is None else list(self.only)
        if len(corpora) < 2 or not set(targets) <= set(corpora):
            wanted = "two corpora or more in data.corpus" if len(corpora) < 2 else f"some of {corpora}"
            raise UserError(
                "protocol", f"targets {targets} in an experiment with {corpora}", wanted, "correct the list"
            )
        return self._folds(trials, {name: _unique(trials["subject"][trials["corpus"] == name]) for name in targets})


class Everyone(Protocol):
    """All people are the source and nobody is tested: for pretraining an encoder that goes elsewhere.

    Args:
        validation: share of people held out to watch with.
        seed: of the people held out.
    """

    def split(self, trials: pd.DataFrame) -> list[Fold]:
        held_out = np.isin(trials["subject"].astype(str), self._held_out(_unique(trials["subject"]), 0))
        nobody = np.zeros(0, np.int64)
        return [Fold("everyone", np.flatnonzero(~held_out), np.flatnonzero(held_out), nobody, nobody)]


class WithinSubject(Protocol):
    """Each person alone: their trials in k parts, each part tested once by a model of the others.

    Parts are not stratified: a split that reads target labels would change when they change.

    Args:
        parts: number of parts, 2 … trials of a person.
        validation: share of a person's training trials held out to choose with.
        seed: of the shuffling.
    """

    def __init__(self, parts: int = 4, validation: float = 0.0, seed: int = 0) -> None:
        super().__init__(validation, seed)
        if parts < 2:
            raise UserError("protocol.parts", f"{parts}", "2 or more", "raise it")
        self.parts = parts

    def split(self, trials: pd.DataFrame) -> list[Fold]:
        subject = trials["subject"].to_numpy(dtype=str)
        folds = []
        for number, person in enumerate(_unique(trials["subject"])):
            rows = np.flatnonzero(subject == person)
            if len(rows) < self.parts:
                raise UserError(
                    "protocol.parts", f"{self.parts} parts of {person}'s {len(rows)} trials", "≤ trials", "lower it"
                )
            order = np.random.default_rng([self.seed, number]).permutation(rows)
            for i, test in enumerate(np.array_split(order, self.parts)):
                train = np.setdiff1d(rows, test)
                val = self._held_out(train, number * self.parts + i)
                test = np.sort(test)
                folds.append(Fold(f"{person}-part{i + 1}", np.setdiff1d(train, val), np.sort(val), test, test))
        return folds


def _unique(column: "pd.Series[str]") -> NDArray[np.str_]:
    """Distinct values in order of first appearance (the corpus's own order)."""
    return np.asarray(pd.unique(column.astype(str)), dtype=str)
