"""WESAD: 15 people at rest, under stress, amused and meditating, with sensors at the chest and the wrist.

Schmidt, Reiss, Duerichen, Marberger, Van Laerhoven: Introducing WESAD, a multimodal dataset for wearable stress and
affect detection. ICMI 2018, doi:10.1145/3242969.3242985.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np

from affect.batch import Signal
from affect.errors import UserError
from datamodules.corpora.base import Corpus, Trial
from datamodules.formats.restricted_pickle import StoredArray, describe, load
from datamodules.formats.tables import AGAIN, coded

RATE = 700.0  # Hz of the chest's sensors and of the labels
STATES = ("baseline", "stress", "amusement", "meditation")
"""Labels 1 to 4; 0 is the time between, 5 to 7 are to be ignored."""
REPORTED = {"base": "baseline", "tsst": "stress", "fun": "amusement", "medi1": "meditation1", "medi2": "meditation2"}
"""Names of the conditions in SX_quest.csv, without spaces, → stimuli here."""


class Sensor(NamedTuple):
    """Where a stream stands in the pickle, and what it is."""

    place: str
    key: str
    rate: float
    channels: tuple[str, ...]
    unit: str


_AXES = ("x", "y", "z")
STREAMS: Mapping[str, Sensor] = {
    "ecg": Sensor("chest", "ECG", RATE, ("ECG",), "mV"),
    "eda": Sensor("chest", "EDA", RATE, ("EDA",), "µS"),
    "emg": Sensor("chest", "EMG", RATE, ("EMG",), "mV"),
    "resp": Sensor("chest", "Resp", RATE, ("respiration",), "%"),
    "temp": Sensor("chest", "Temp", RATE, ("temperature",), "°C"),
    "acc": Sensor("chest", "ACC", RATE, _AXES, "g"),
    "bvp": Sensor("wrist", "BVP", 64.0, ("BVP",), "a.u."),
    "wrist_eda": Sensor("wrist", "EDA", 4.0, ("EDA",), "µS"),
    "wrist_temp": Sensor("wrist", "TEMP", 4.0, ("temperature",), "°C"),
    "wrist_acc": Sensor("wrist", "ACC", 32.0, _AXES, "g/64"),
}


class Wesad(Corpus):
    """The synchronised recordings `S2/S2.pkl` … `S17/S17.pkl`; S1 and S12 do not exist.

    A trial is an unbroken stretch of one state: 20 min of baseline (reading), 10 of stress (the Trier Social Stress
    Test), 6.5 of amusement (film clips), twice 7 of meditation. Rating `state` is which; `valence` and `arousal` are
    what the person reported after it (SAM, 1–9), from `SX_quest.csv`, NaN without that file.
    Streams of the chest (RespiBAN), all 700 Hz: ecg and emg in mV, eda in µS, temp in °C, resp in % of the belt's
    stretch, acc in g. Of the wrist (Empatica E4): bvp 64 Hz, wrist_eda in µS and wrist_temp in °C 4 Hz, wrist_acc
    32 Hz in 1/64 g. The order of stress and amusement differs between people; baseline always comes first, so what
    drifts over the session tells it from the rest.
    Group facts from `SX_readme.txt`, where it is: age in years, sex.

    Args:
        root: the folder that holds `S2` …, or the one that holds `WESAD`.
        subjects: read these only, for example ["S2", "S3"]; default all found.
    """

    name: ClassVar[str] = "wesad"
    streams: ClassVar[tuple[str, ...]] = tuple(STREAMS)
    ratings: ClassVar[Mapping[str, tuple[float, float] | tuple[str, ...]]] = {
        "state": STATES,
        "valence": (1.0, 9.0),
        "arousal": (1.0, 9.0),
    }

    @property
    def folder(self) -> Path:
        """Where the people's folders are."""
        inner = self.root / "WESAD"
        return inner if inner.is_dir() else self.root

    def layout(self) -> str:
        return "S2/S2.pkl … S17/S17.pkl (there is no S1 and no S12)"

    def _found(self) -> list[str]:
        people = [p.stem for p in self.folder.glob("S*/S*.pkl") if p.stem == p.parent.name]
        return sorted((p for p in people if re.fullmatch(r"S\d+", p)), key=_number)

    def missing(self, found: list[str]) -> list[str]:
        """People are numbered from 2; the sensors of S1 and S12 failed."""
        return [f"S{n}" for n in range(2, _number(found[-1])) if n != 12 and f"S{n}" not in found]

    def files(self, subject: str) -> list[Path]:
        folder = self.folder / subject
        beside = (folder / f"{subject}_quest.csv", folder / f"{subject}_readme.txt")
        return [folder / f"{subject}.pkl", *(path for path in beside if path.is_file())]

    def files_of(self, subject: str, stream: str) -> list[Path]:
        return self.files(subject)[:1]

    def trials(self, subject: str, streams: Sequence[str]) -> Iterator[Trial | UserError]:
        path = self.folder / subject / f"{subject}.pkl"
        label, signals = _read(path, subject, [name for name in STREAMS if name in streams])
        reports = _reports(path.with_name(f"{subject}_quest.csv"))
        group = _facts(path.with_name(f"{subject}_readme.txt"))
        meditations = 0
        for state, start, stop in _stretches(label.numpy()):
            stimulus = state
            if state == "meditation":
                meditations += 1
                stimulus = f"meditation{meditations}"
            valence, arousal = reports.get(stimulus, (float("nan"), float("nan")))
            yield Trial(
                subject=subject,
                stimulus=stimulus,
                ratings={"state": state, "valence": valence, "arousal": arousal},
                streams={name: partial(_cut, name, array, start, stop) for name, array in signals.items()},
                where=f"{path}, {stimulus}",
                group=group,
            )


def _read(path: Path, subject: str, streams: Sequence[str]) -> tuple[StoredArray, dict[str, StoredArray]]:
    """The labels (N,) and the asked streams (samples, channels), still on disk, of the shapes they must have."""
    content = load(path)
    content = content if isinstance(content, dict) else {}
    if content.get("subject") != subject:
        found = f"the recording of {content.get('subject', 'nobody')!r}"
        raise UserError(path, found, f"that of {subject!r}", "move the file where it belongs, or " + AGAIN)
    label = content.get("label")
    if not (isinstance(label, StoredArray) and len(label.shape) == 1 and label.dtype.kind in "iuf"):
        raise UserError(path, f"'label': {describe(label)}", "numbers 0 to 7 of shape (samples,)", AGAIN)
    seconds = label.shape[0] / RATE
    signals = {}
    for name in streams:
        place, key, rate, channels, _ = STREAMS[name]
        at_place = content.get("signal", {}).get(place, {}) if isinstance(content.get("signal"), dict) else {}
        array = at_place.get(key) if isinstance(at_place, dict) else None
        samples = round(seconds * rate)
        slack = 0 if rate == RATE else rate  # the wrist's sensors were synchronised by hand
        if not (
            isinstance(array, StoredArray)
            and array.dtype.kind in "iuf"
            and array.shape[1:] == (len(channels),)
            and abs(array.shape[0] - samples) <= slack
        ):
            raise UserError(
                path,
                f"signal of the {place}, {key!r}: {describe(array)}",
                f"numbers of shape ({samples}, {len(channels)}), {rate:g} Hz for the {seconds:.1f} s that are labelled",
                AGAIN,
            )
        signals[name] = array
    return label, signals


def _stretches(label: np.ndarray) -> Iterator[tuple[str, int, int]]:
    """(state, start, stop) of every unbroken run of a label 1 to 4, in samples."""
    edges = np.concatenate([[0], np.flatnonzero(np.diff(label)) + 1, [len(label)]])
    for start, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        if start < stop and label[start] in range(1, len(STATES) + 1):
            yield STATES[int(label[start]) - 1], start, stop


def _cut(name: str, array: StoredArray, start: int, stop: int) -> Signal:
    """What the sensor measured from sample `start` to `stop` of the labels."""
    _, _, rate, channels, unit = STREAMS[name]
    first, last = round(start / RATE * rate), round(stop / RATE * rate)
    return Signal(np.ascontiguousarray(array.numpy()[first:last].T, np.float32), rate, channels, unit)


def _reports(path: Path) -> dict[str, tuple[float, float]]:
    """Stimulus → (valence, arousal), from the rows # DIM, which follow the conditions in # ORDER.

    That row also names readings, whose feelings were not asked for.
    """
    if not path.is_file():
        return {}
    rows = [line.split(";") for line in path.read_text(encoding="utf-8-sig", errors="replace").splitlines()]
    order = [cell.replace(" ", "").lower() for row in rows if row[0].strip() == "# ORDER" for cell in row[1:]]
    stimuli = [REPORTED[cell] for cell in order if cell in REPORTED]
    answers = [[cell.strip() for cell in row[1:3]] for row in rows if row[0].strip() == "# DIM"]
    try:
        if not stimuli:
            raise ValueError("no conditions")
        return {s: (float(v), float(a)) for s, (v, a) in zip(stimuli, answers, strict=True)}
    except ValueError:
        raise UserError(
            path,
            f"conditions {stimuli} and self-reports {answers}",
            "a row '# ORDER;Base;TSST;…' and, for each of these conditions, a row '# DIM;valence;arousal'",
            f"{AGAIN}, or take it out of the folder: valence and arousal are then unknown",
        ) from None


def _facts(path: Path) -> dict[str, float | str]:
    """Age in years and sex, where the notes on the person say them."""
    notes = path.read_text(encoding="utf-8-sig", errors="replace") if path.is_file() else ""
    said = {key.lower(): value for key, value in re.findall(r"^\s*(Age|Gender)\s*:\s*(\w+)", notes, re.M | re.I)}
    facts: dict[str, float | str] = {}
    if said.get("age", "").isdigit():
        facts["age"] = float(said["age"])
    if "gender" in said:
        facts["sex"] = coded(said["gender"], {"male": "male", "female": "female"})
    return facts


def _number(subject: str) -> int:
    return int(subject.removeprefix("S"))
