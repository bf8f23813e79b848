"""People never seen: the target is a group of people, or one, and the others are the source."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affect.errors import UserError
from datamodules.protocols.base import Fold, Protocol, Rows, unique


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
        people = unique(trials["subject"])
        if not 2 <= self.groups <= len(people):
            raise UserError("protocol.groups", f"{self.groups} for {len(people)} people", "2 … people", "lower it")
        order = np.random.default_rng(self.seed).permutation(np.sort(people))
        groups = [np.sort(part) for part in np.array_split(order, self.groups)]
        return self._folds(trials, {f"group{i + 1:02d}": group for i, group in enumerate(groups)})

    def _folds(self, trials: pd.DataFrame, targets: dict[str, NDArray[np.str_]]) -> list[Fold]:
        subject = trials["subject"].to_numpy(dtype=str)
        people = unique(trials["subject"])
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
        for number, person in enumerate(unique(pd.Series(subject[target]))):
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
        stimuli = unique(trials["stimulus"])
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
        people = unique(trials["subject"])
        if len(people) < 2:
            raise UserError("protocol", f"{len(people)} person to leave out", "2 people or more", "add people")
        return self._folds(trials, {str(person): people[i : i + 1] for i, person in enumerate(people)})
