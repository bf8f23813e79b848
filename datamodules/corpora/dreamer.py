"""DREAMER: 23 people watch 18 film clips; EEG and ECG of low-cost wireless devices, ratings from 1 to 5.

Katsigiannis, Ramzan: DREAMER: A Database for Emotion Recognition Through EEG and ECG Signals from Wireless Low-cost
Off-the-Shelf Devices. IEEE Journal of Biomedical and Health Informatics 22(1), 2018.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from affect.batch import Signal
from affect.errors import UserError
from datamodules.corpora.base import Corpus, Trial
from datamodules.formats.matfile import At, read_mat
from datamodules.formats.tables import AGAIN, coded

EEG = ("AF3", "F7", "F3", "FC5", "T7", "P7", "O1", "O2", "P8", "T8", "FC6", "F4", "F8", "AF4")
STREAMS: Mapping[str, tuple[float, tuple[str, ...], str]] = {
    "eeg": (128.0, EEG, "µV"),
    "ecg": (256.0, ("ECG_1", "ECG_2"), "a.u."),
}
"""Stream → (Hz, channel names, unit)."""
PARTS = ("baseline", "stimuli")
PEOPLE, FILMS = 23, 18


class Dreamer(Corpus):
    """The one file `DREAMER.mat`: 23 people, 18 trials each.

    Streams: `eeg` (14, T) µV at 128 Hz, raw: the headset's offset of some 4200 µV is in it; `ecg` (2, T) at 256 Hz, in
    the steps of its converter. Before each film the file has a baseline of 61 s, recorded while a neutral clip was
    shown, as an array of its own. All of it is put before the film, so `onset` is 61 s: nothing is thrown away, a
    baseline of a few seconds makes poor statistics, and what a filter does to the seam stays away from the edge.
    Films last 65 to 393 s. Film n is `film{n}` for everyone.
    Ratings: valence, arousal, dominance, whole numbers. Group facts: age in years, sex.

    The file is one variable of 2 GB under compression: each person costs a pass over it (some seconds), and the memory
    of one person.

    Args:
        root: the folder that holds `DREAMER.mat`.
        subjects: read these only, for example ["s01", "s02"]; default all.
    """

    name: ClassVar[str] = "dreamer"
    streams: ClassVar[tuple[str, ...]] = tuple(STREAMS)
    ratings: ClassVar[Mapping[str, tuple[float, float] | tuple[str, ...]]] = dict.fromkeys(
        ("valence", "arousal", "dominance"), (1.0, 5.0)
    )
    baseline_seconds: ClassVar[float] = 61.0

    def layout(self) -> str:
        return "DREAMER.mat"

    @property
    def file(self) -> Path:
        return self.root / "DREAMER.mat"

    def _found(self) -> list[str]:
        return [f"s{n:02d}" for n in range(1, self._size()[0] + 1)] if self.file.is_file() else []

    def _size(self) -> tuple[int, int]:
        """People and films: the official numbers, or those a stand-in declares. To count means to read 2 GB."""
        manifest = self.root / "standin.json"
        if not manifest.is_file():
            return PEOPLE, FILMS
        try:
            declared = json.loads(manifest.read_text(encoding="utf-8"))
            return int(declared["subjects"]), int(declared["trials"])
        except (ValueError, KeyError, TypeError) as error:
            found, remedy = f"no readable sizes ({error})", "delete the stand-in's folder and write it again"
            raise UserError(manifest, found, 'JSON with "subjects" and "trials"', remedy) from None

    def files(self, subject: str) -> list[Path]:
        return [self.file]

    def trials(self, subject: str, streams: Sequence[str]) -> Iterator[Trial | UserError]:
        _, films = self._size()
        person = self._read(int(subject[1:]) - 1)
        group: dict[str, float | str] = {"age": _number(_field(person, "Age")), "sex": _sex(_field(person, "Gender"))}
        scores = {rating: _field(person, f"Score{rating.capitalize()}").ravel() for rating in self.ratings}
        recorded = {(s, part): _field(person, s.upper(), part).ravel() for s in STREAMS for part in PARTS}
        parts: dict[str, Mapping[Any, np.ndarray]] = {"numbers": scores, "cells": recorded}
        for expected, arrays in parts.items():
            for what, values in arrays.items():
                if (
                    len(values) != films
                    or (values.dtype == object) != (expected == "cells")
                    or values.dtype.kind == "U"
                ):
                    found = f"{what} of {subject}: {_describe(values)}"
                    raise UserError(self.file, found, f"{films} {expected}, one a film", AGAIN)
        for i in range(films):
            where = f"{self.file}, {subject}, film {i + 1}"
            try:
                signals, onset = _joined({key: cells[i] for key, cells in recorded.items()}, where)
                yield Trial(
                    subject=subject,
                    stimulus=f"film{i + 1:02d}",
                    ratings={rating: float(given[i]) for rating, given in scores.items()},
                    streams={name: signals[name] for name in STREAMS if name in streams},
                    where=where,
                    onset=onset,
                    group=group,
                )
            except UserError as error:
                yield error

    def _read(self, number: int) -> Any:
        """One person's struct, out of a file that says what it should."""

        def wanted(at: At) -> bool:
            return at[1:2] != ("Data",) or at[2:3] in ((), (number,))

        content = read_mat(self.file, ["DREAMER"], wanted)["DREAMER"]
        people, films = self._size()
        data = _field(content, "Data")
        said = {
            "people": (data.size, people),
            "noOfVideoSequences": (_number(_field(content, "noOfVideoSequences")), films),
            "EEG_Electrodes": ([str(name).strip() for name in _field(content, "EEG_Electrodes").ravel()], list(EEG)),
            **{
                f"{stream.upper()}_SamplingRate": (_number(_field(content, f"{stream.upper()}_SamplingRate")), rate)
                for stream, (rate, _, _) in STREAMS.items()
            },
        }
        for what, (found, expected) in said.items():
            if found != expected:
                raise UserError(self.file, f"{what}: {found}", f"{expected}", f"{AGAIN}; other cuts are not read")
        return data.ravel()[number]


def _joined(cells: Mapping[tuple[str, str], Any], where: str) -> tuple[dict[str, Signal], float]:
    """Baseline and film of every stream in a row, and the seconds of baseline: whole ones, the same for all."""
    for (stream, part), cell in cells.items():
        width = len(STREAMS[stream][1])
        if not (isinstance(cell, np.ndarray) and cell.dtype.kind in "fiu" and cell.shape[1:] == (width,) and len(cell)):
            raise UserError(where, f"{stream} {part}: {_describe(cell)}", f"numbers of shape (samples, {width})", AGAIN)
    onset = min(len(cells[stream, "baseline"]) // int(rate) for stream, (rate, _, _) in STREAMS.items())
    signals = {}
    for stream, (rate, channels, unit) in STREAMS.items():
        baseline, film = cells[stream, "baseline"], cells[stream, "stimuli"]
        data = np.concatenate([baseline[len(baseline) - onset * int(rate) :], film]).T
        with np.errstate(over="ignore"):  # what overflows becomes infinite, and is refused by name later
            signals[stream] = Signal(np.ascontiguousarray(data, dtype=np.float32), rate, channels, unit)
    return signals, float(onset)


def _field(struct: Any, *names: str) -> np.ndarray:
    """The array, or text as an array, at the end of a path through structs; an empty one where the path breaks off."""
    for name in names:
        struct = struct.get(name) if isinstance(struct, dict) else None
    return np.empty(0) if struct is None else np.asarray(struct)


def _number(value: np.ndarray) -> float:
    """A number, given as one or as text; NaN if it is none."""
    try:
        return float(value.item())
    except (ValueError, TypeError):
        return float("nan")


def _sex(value: np.ndarray) -> str:
    text = str(value.item()) if value.size == 1 else ""
    return coded(text, {"male": "male", "m": "male", "female": "female", "f": "female"})


def _describe(value: Any) -> str:
    return f"{value.dtype} of shape {value.shape}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"
