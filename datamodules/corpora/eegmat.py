"""EEG During Mental Arithmetic Tasks 1.0.0 (PhysioNet eegmat): EEG and ECG at rest and while subtracting.

Zyma et al. 2019, Data 4(1):14, doi:10.13026/C2JQ1P. Mental workload, not emotion; open (ODC-By 1.0), 36 people.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import PositiveInt

from affect.batch import Signal
from affect.errors import UserError
from datamodules.corpora.base import Corpus, Trial
from datamodules.formats.tables import AGAIN, read_table

EEG_CHANNELS = (
    *("Fp1", "Fp2", "F3", "F4", "F7", "F8", "T3", "T4", "C3", "C4"),
    *("T5", "T6", "P3", "P4", "O1", "O2", "Fz", "Cz", "Pz"),
)
TASKS = ("rest", "arithmetic")
STREAMS = {"eeg": EEG_CHANNELS, "ecg": ("ECG",)}


class Eegmat(Corpus):
    """Rest against mental arithmetic, two trials a person: `SubjectNN_1.edf`, `SubjectNN_2.edf`, `subject-info.csv`.

    Streams at the file's own rate (500 Hz in the official download): `eeg` (19, T) µV, 10–20 names of 1958
    (T3 T4 T5 T6 are today's T7 T8 P7 P8), ear reference; `ecg` (1, T) µV. The ear channel A2-A1 is left out, and so
    is the padding that ends the files (about 2 s): 60 s of arithmetic remain. Rest lasts 3 min in the official
    download, so its classes are not balanced in windows.
    Group facts: age in years, sex, count_quality (good or bad at the task).

    Args:
        root: folder of the download.
        subjects: some of the people; default all.
        segments: equal parts each recording is cut into, a trial each, so that a person has labelled segments to give
            (`calibration`). Parts of one recording are neighbours in time: people, not trials, must be split.
    """

    name = "eegmat"
    streams = ("eeg", "ecg")
    ratings: ClassVar = {"task": TASKS}

    def __init__(self, root: str, subjects: Sequence[str] | None = None, segments: PositiveInt = 1) -> None:
        super().__init__(root, subjects)
        self.segments = segments

    def settings(self) -> dict[str, Any]:
        return {"segments": self.segments} if self.segments > 1 else {}

    def layout(self) -> str:
        return "SubjectNN_1.edf (rest) and SubjectNN_2.edf (arithmetic) of every person, and subject-info.csv"

    def _files_of(self) -> dict[str, set[str]]:
        """Subject → which of its two recordings are there."""
        there: dict[str, set[str]] = {}
        for path in self.root.glob("Subject*_*.edf"):
            if match := re.fullmatch(r"(Subject\d+)_([12])", path.stem):
                there.setdefault(match[1], set()).add(match[2])
        return there

    def _found(self) -> list[str]:
        return sorted((s for s, files in self._files_of().items() if len(files) == len(TASKS)), key=_number)

    def missing(self, found: list[str]) -> list[str]:
        """People in subject-info.csv without both recordings, and people with one only; numbers may have gaps."""
        return sorted((set(self._people()) | set(self._files_of())) - set(found), key=_number)

    def files(self, subject: str) -> list[Path]:
        return [*(self.root / f"{subject}_{k}.edf" for k in range(1, len(TASKS) + 1)), self.root / "subject-info.csv"]

    def trials(self, subject: str, streams: Sequence[str]) -> Iterator[Trial | UserError]:
        people = self._people()
        if subject not in people:
            raise UserError(
                self.root / "subject-info.csv", f"no row for {subject}", "one row a person", "add it, or " + AGAIN
            )
        for task, path in zip(TASKS, self.files(subject), strict=False):
            signals = _read(path) if streams else {}
            for part in range(self.segments):
                yield Trial(
                    subject=subject,
                    stimulus=task,
                    ratings={"task": task},
                    streams={name: _part(signals[name], part, self.segments) for name in streams if name in signals},
                    where=str(path) if self.segments == 1 else f"{path}, part {part + 1} of {self.segments}",
                    group=people[subject],
                )

    def _people(self) -> dict[str, dict[str, float | str]]:
        """Subject → age, sex, count_quality, in the file's order."""
        path = self.root / "subject-info.csv"
        expected = "columns Subject, Age, Gender, Count quality, separated by commas or semicolons"
        table = read_table(path, ("subject", "age", "gender", "count quality"), expected)
        if not table["subject"].str.fullmatch(r"Subject\d+").all() or table["subject"].duplicated().any():
            raise UserError(path, f"subjects {list(table['subject'])}", "SubjectNN, each once", AGAIN)
        age = pd.to_numeric(table["age"], errors="coerce").astype(float)
        sex = table["gender"].map({"F": "female", "M": "male"}).fillna("unknown")
        quality = table["count quality"].map({"1": "good", "0": "bad"}).fillna("unknown")
        return {
            s: {"age": a, "sex": x, "count_quality": q}
            for s, a, x, q in zip(table["subject"], age, sex, quality, strict=True)
        }


def _part(signal: Signal, part: int, parts: int) -> Signal:
    """One of some equal parts."""
    length = signal.data.shape[1] // parts
    return replace(signal, data=signal.data[:, part * length : (part + 1) * length])


def _read(path: Path) -> dict[str, Signal]:
    """All streams of one recording, channels picked by name."""
    units = _edf_units(path)
    labels = {re.sub(r"^(EEG|ECG) +", "", label): label for label in units}
    channels = [c for names in STREAMS.values() for c in names]
    if absent := [c for c in channels if c not in labels]:
        raise UserError(path, f"no channel {absent} among {sorted(labels)}", f"channels {channels}", AGAIN)
    if odd := {c: units[labels[c]] for c in channels if units[labels[c]] not in ("uV", "µV", "mV", "V")}:
        raise UserError(path, f"physical dimensions {odd}", "uV, mV or V", "correct the header, or " + AGAIN)
    import mne  # costs more than the reading

    picks = [labels[c] for c in channels]
    try:
        raw = mne.io.read_raw_edf(path, include=picks, verbose="ERROR")
        volts, rate = raw.get_data(picks=picks, verbose="ERROR"), float(raw.info["sfreq"])
    except Exception as error:  # mne raises whatever the broken field leads to
        raise UserError(path, f"an EDF that mne cannot read ({error})", "a whole EDF file", AGAIN) from error
    data = np.asarray(volts * 1e6, dtype=np.float32)
    rows = dict(zip(channels, data[:, : _recorded(data, rate)], strict=True))
    return {s: Signal(np.stack([rows[c] for c in names]), rate, names, "µV") for s, names in STREAMS.items()}


def _recorded(data: NDArray[np.float32], rate: float) -> int:
    """How many samples of (C, T) were recorded, before the padding.

    A file ends with about a second held at the last value and a second of zeros (48 of the 48 files looked at).
    Windows of these are outliers in any log power, and the step between them differs from person to person. The end
    is where moving changes to holding still: the split with the fewest still samples before it and moving ones after.
    """
    length: int = data.shape[1]
    step = np.median(np.abs(np.diff(data, axis=1)), axis=0)  # the median leaves the large ECG no say
    if not (usual := np.median(step)) > 0:
        return length  # nothing moves, or NaN: not for us to judge
    moves = step > 0.1 * usual
    still_before = np.concatenate([[0], np.cumsum(~moves)])
    moving_after = moves.sum() - np.concatenate([[0], np.cumsum(moves)])
    end = int(np.argmin(still_before + moving_after)) + 1
    return end if length - end > rate / 4 else length


def _edf_units(path: Path) -> dict[str, str]:
    """Signal label → physical dimension, from a header that agrees with the size of its file.

    Of a truncated file mne would read what is left and at most warn: a trial quietly too short.
    """
    try:
        with path.open("rb") as file:
            fixed = file.read(256)
            signals = int(fixed[252:256])
            rest = file.read(256 * signals)
        records = int(fixed[236:244])
        fields = {"label": (0, 16), "unit": (96, 8), "samples": (216, 8)}  # offset a signal, width, in bytes
        label, unit, samples = (
            [rest[at * signals + i * width :][:width].decode("latin-1").strip() for i in range(signals)]
            for at, width in fields.values()
        )
        size = 256 * (signals + 1) + 2 * records * sum(map(int, samples))
    except (OSError, ValueError) as error:
        raise UserError(path, f"no EDF header ({error})", "a whole EDF file", AGAIN) from error
    if records < 1 or size != path.stat().st_size:
        found = f"{path.stat().st_size} bytes under a header that announces {records} records"
        raise UserError(path, found, f"a whole EDF file, {size} bytes" if records > 0 else "a recording", AGAIN)
    return dict(zip(label, unit, strict=True))


def _number(subject: str) -> int:
    return int(subject.removeprefix("Subject"))
