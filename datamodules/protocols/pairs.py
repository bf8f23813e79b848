"""One person learned from, another tested."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from affect.errors import UserError
from datamodules.protocols.base import Fold, Protocol


class SubjectPairs(Protocol):
    """Each pair (source, target): learn from the trials of the one person, adapt to and test the other.

    Benchmarks of adaptation name their pairs (AdaTime: Ragab et al., ACM TKDD 17(8), 2023). A person may be the target
    of several, so the pair is the unit of averages and tests, not the person; pairs that share a person are not
    independent.

    Where `train` and `test` name sessions: source-train and target-unlabelled are the two persons' `train` trials,
    target-test is the target's `test` trials, source-val the source's. Without them, all trials of the source are
    learned from or held out, and all trials of the target are both seen without labels and tested.

    Args:
        pairs: (source, target), people as the corpus names them; folds are named `source→target`.
        train, test: names of sessions; both or neither.
        validation: share of the source's trials held out to choose with, where no sessions are named.
        seed: of the trials held out.
    """

    def __init__(
        self,
        pairs: Sequence[tuple[str | int, str | int]],
        train: str | None = None,
        test: str | None = None,
        validation: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__(validation, seed)
        self.pairs = [(str(source), str(target)) for source, target in pairs]
        self.train, self.test = train, test
        odd = [pair for i, pair in enumerate(self.pairs) if pair[0] == pair[1] or pair in self.pairs[:i]]
        if not self.pairs or odd:
            found = f"{odd[0][0]}→{odd[0][1]}, twice or of one person" if odd else "no pair"
            raise UserError("protocol.pairs", found, "pairs of two people, each once", "correct the list")
        if (train is None) != (test is None) or (train is not None and train == test):
            raise UserError("protocol.train", f"{train!r}, and test {test!r}", "two sessions, or neither", "name both")
        if train is not None and validation:
            found = f"{validation} beside sessions: the source's {test!r} trials are held out"
            raise UserError("protocol.validation", found, "0", "leave it out")

    @property
    def holds_out(self) -> bool:
        return self.train is not None or super().holds_out

    def split(self, trials: pd.DataFrame) -> list[Fold]:
        subject, everything = trials["subject"].to_numpy(dtype=str), np.ones(len(trials), dtype=bool)
        known = set(subject)
        if absent := [person for pair in self.pairs for person in pair if person not in known]:
            found, expected = f"{absent[0]!r}, whom nobody recorded", f"some of {sorted(known)}"
            raise UserError("protocol.pairs", found, expected, "correct the list, or read these people, too")
        first = second = everything
        if self.train is not None:
            session = trials["session"].to_numpy(dtype=str)
            first, second = session == self.train, session == self.test
        folds = []
        for number, (source, target) in enumerate(self.pairs):
            of_source, of_target = subject == source, subject == target
            learned, val = np.flatnonzero(of_source & first), np.flatnonzero(of_source & second)
            if self.train is None:
                val = np.sort(self._held_out(learned, number))
                learned = np.setdiff1d(learned, val)
            seen, tested = np.flatnonzero(of_target & first), np.flatnonzero(of_target & second)
            for key, person, rows in (("train", source, learned), ("train", target, seen), ("test", target, tested)):
                if len(rows) == 0:
                    found = f"{getattr(self, key)!r}, a session in which {person} has no trial"
                    expected = f"one of {sorted(set(trials['session']))}"
                    raise UserError(f"protocol.{key}", found, expected, "correct it")
            folds.append(Fold(f"{source}→{target}", learned, val, seen, tested, unit="fold"))
        return folds
