"""Stress-Predict: 35 people with an Empatica E4 at the wrist do three stressful tasks and rest between them.

Iqbal et al.: Stress monitoring using wearable sensors: a pilot study and Stress-Predict dataset. Sensors 22(21):8135,
2022, doi:10.3390/s22218135 (MIT licence, github.com/italha-d/Stress-Predict-Dataset).
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, partial
from itertools import pairwise
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import pandas as pd

from affect.errors import UserError
from datamodules.corpora.base import Corpus, Trial
from datamodules.formats.empatica import SENSORS, Session
from datamodules.formats.tables import AGAIN, numbers, read_table

LABELS = Path("Processed_data") / "Improved_All_Combined_hr_rsp_binary.csv"
ORDER = ("baseline", "stroop", "relax", "interview", "relax", "hyperventilation", "relax")
"""What everyone did; every second one is labelled as stress."""
STRESS = ("no", "yes")


class Segment(NamedTuple):
    """Seconds in a row with one label."""

    stress: str
    start: float
    stop: float
    """Unix time, s."""


class StressPredict(Corpus):
    """The E4's files `Raw_data/SNN/BVP.csv` … and the labels, one a second, in
    `Processed_data/Improved_All_Combined_hr_rsp_binary.csv` (Participant, HR, respr, Time(sec), Label).

    A trial is a stretch of one label, of which everyone has seven, in one order: baseline (10 min), Stroop test (5),
    relaxing (5), interview (10), relaxing (5), hyperventilation (2), relaxing (15). Rating `stress`: no, yes; `task`:
    which of the five, NaN for a person with other stretches. The order never changes, so whatever drifts through an
    hour knows something of the task; and hyperventilation is a breathing exercise.
    Streams at the E4's rates: bvp, eda, temp, hr, acc, see empatica.Session. Where they end unevenly, trials end with
    the first. The table's respiration rate is left out: it was estimated from the pulse and does not rise when people
    hyperventilate (12.3 a minute beside 12.6 at rest); its heart rate is the E4's.
    The subjects are those with a label and a recording; the table names S02 to S35, so S01 is left out. Of a recording
    without labels nothing is said, of labels without their recording it is.

    Args:
        root: the folder that holds `Raw_data` and `Processed_data`.
        subjects: read these only, for example ["S03", "S04"]; default all found.
    """

    name: ClassVar[str] = "stress_predict"
    streams: ClassVar[tuple[str, ...]] = tuple(SENSORS)
    ratings: ClassVar[Mapping[str, tuple[float, float] | tuple[str, ...]]] = {
        "stress": STRESS,
        "task": tuple(dict.fromkeys(ORDER)),
    }

    def layout(self) -> str:
        return f"Raw_data/S02 … S35, each with BVP.csv, EDA.csv, TEMP.csv, HR.csv, ACC.csv, and {LABELS}"

    def _found(self) -> list[str]:
        return [subject for subject in self._labels if self._session(subject).streams]

    def missing(self, found: list[str]) -> list[str]:
        """People with labels and no recording; a copy without either is no gap."""
        return [subject for subject in self._labels if subject not in found]

    def files(self, subject: str) -> list[Path]:
        return [*self._session(subject).files, self.root / LABELS]

    def trials(self, subject: str, streams: Sequence[str]) -> Iterator[Trial | UserError]:
        session, segments = self._session(subject), _segments(self._labels[subject], self.root / LABELS)
        usual = [segment.stress for segment in segments] == [STRESS[i % 2] for i in range(len(ORDER))]
        for i, segment in enumerate(segments):
            start, stop = session.shared(segment.start, segment.stop)
            stimulus = ORDER[i] if usual else "stress" if segment.stress == "yes" else "relax"
            yield Trial(
                subject=subject,
                stimulus=stimulus,
                ratings={"stress": segment.stress, "task": ORDER[i] if usual else float("nan")},
                streams={s: partial(session.cut, s, start, stop) for s in session.streams if s in streams},
                where=f"{session.folder}, stretch {i + 1} ({stimulus})",
            )

    def _session(self, subject: str) -> Session:
        return Session(self.root / "Raw_data" / subject)

    @cached_property
    def _labels(self) -> dict[str, pd.DataFrame]:
        """Subject → time (Unix s) and label of every second, in the table's order; read once, it is long."""
        path, columns = self.root / LABELS, ("participant", "time(sec)", "label")
        table = numbers(read_table(path, columns), columns, path)
        good = (table["participant"] % 1 == 0) & table["time(sec)"].notna() & table["label"].isin([0, 1])
        if not good.all():
            row = int((~good).to_numpy().argmax())
            found = ", ".join(f"{name} {value:g}" for name, value in table.iloc[row].items())
            expected = "whole numbers of participant and second, a label 0 or 1"
            raise UserError(f"{path}, row {row + 2}", found, expected, "correct the row, or " + AGAIN)
        people = table["participant"].astype(int)
        return {f"S{n:02d}": table[people == n] for n in sorted(people.unique().tolist())}


def _segments(rows: pd.DataFrame, path: Path) -> list[Segment]:
    """The stretches of one label, in time."""
    time, label = rows["time(sec)"].to_numpy(), rows["label"].to_numpy()
    jumps = np.flatnonzero(np.diff(time) != 1)
    if len(jumps):
        at = int(jumps[0])
        found = f"second {time[at + 1]:.0f} after {time[at]:.0f}"
        raise UserError(f"{path}, row {rows.index[at + 1] + 2}", found, "a row for every second", AGAIN)
    edges = [0, *(np.flatnonzero(np.diff(label)) + 1).tolist(), len(label)]
    return [Segment(STRESS[int(label[a])], float(time[a]), float(time[b - 1]) + 1) for a, b in pairwise(edges)]
