"""DEAP: 32 people watch 40 one-minute music videos; EEG and peripheral signals, ratings from 1 to 9.

Koelstra, Mühl, Soleymani, Lee, Yazdani, Ebrahimi, Pun, Nijholt, Patras: DEAP: A Database for Emotion Analysis Using
Physiological Signals. IEEE Transactions on Affective Computing 3(1), 2012.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from affect.batch import Signal
from affect.errors import UserError
from datamodules.corpora.base import Corpus, Trial
from datamodules.corpora.restricted_pickle import load

RATE = 128.0  # Hz
_EEG = "Fp1 AF3 F3 F7 FC5 FC1 C3 T7 CP5 CP1 P3 P7 PO3 O1 Oz Pz Fp2 AF4 Fz F4 F8 FC6 FC2 Cz C4 T8 CP6 CP2 P4 P8 PO4 O2"
EEG = tuple(_EEG.split())
STREAMS: Mapping[str, tuple[slice, tuple[str, ...], str]] = {
    "eeg": (slice(0, 32), EEG, "µV"),
    "eog": (slice(32, 34), ("hEOG", "vEOG"), "µV"),
    "emg": (slice(34, 36), ("zEMG", "tEMG"), "µV"),
    "eda": (slice(36, 37), ("GSR",), "Ohm"),
    "resp": (slice(37, 38), ("respiration",), "a.u."),
    "bvp": (slice(38, 39), ("plethysmograph",), "a.u."),
    "temp": (slice(39, 40), ("temperature",), "°C"),
}
"""Stream → (its rows in `data`, channel names, unit), in the order of the file."""


class Deap(Corpus):
    """The preprocessed recordings `data_preprocessed_python/s01.dat` … `s32.dat`.

    Every `.dat` is a Python 2 pickle of `data` (40 trials, 40 channels, 8064 samples) and `labels` (40 trials, 4) =
    valence, arousal, dominance, liking. 128 Hz; a trial is 3 s of baseline and 60 s of video. The trials stand in the
    order of the videos (Experiment_id), so trial n is `video{n}` for everyone; people saw them in other orders.
    EEG is already band-passed from 4 to 45 Hz, referenced to the common average and freed of eye movements. The skin
    channel is a resistance: conductance is its inverse.

    Args:
        root: the folder that holds `data_preprocessed_python`, or that folder itself.
        subjects: read these only, for example ["s01", "s02"]; default all found.
    """

    name: ClassVar[str] = "deap"
    streams: ClassVar[tuple[str, ...]] = tuple(STREAMS)
    ratings: ClassVar[Mapping[str, tuple[float, float] | tuple[str, ...]]] = dict.fromkeys(
        ("valence", "arousal", "dominance", "liking"), (1.0, 9.0)
    )
    baseline_seconds: ClassVar[float] = 3.0

    @property
    def folder(self) -> Path:
        """Where the `.dat` files are."""
        inner = self.root / "data_preprocessed_python"
        return inner if inner.is_dir() else self.root

    def layout(self) -> str:
        return "data_preprocessed_python/s01.dat … s32.dat"

    def _found(self) -> list[str]:
        return sorted(path.stem for path in self.folder.glob("s[0-9][0-9].dat"))

    def missing(self, found: list[str]) -> list[str]:
        numbered = [f"s{n:02d}" for n in range(1, int(found[-1][1:]) + 1)]
        return [subject for subject in numbered if subject not in found]

    def files(self, subject: str) -> list[Path]:
        return [self.folder / f"{subject}.dat"]

    def trials(self, subject: str, streams: Sequence[str]) -> Iterator[Trial | UserError]:
        (path,) = self.files(subject)
        data, labels = self._read(path)
        for index, (recording, rated) in enumerate(zip(data, labels, strict=True), start=1):
            yield Trial(
                subject=subject,
                stimulus=f"video{index:02d}",
                ratings=dict(zip(self.ratings, map(float, rated), strict=True)),
                streams={
                    name: Signal(_float32(recording[rows]), RATE, channels, unit)
                    for name, (rows, channels, unit) in STREAMS.items()
                    if name in streams
                },
                where=f"{path}, trial {index}",
                onset=self.baseline_seconds,
            )

    def _read(self, path: Path) -> tuple[np.ndarray, np.ndarray]:
        """`data` (trials, 40, samples), still on disk, and `labels` (trials, 4), both of the shapes they must have."""
        content = load(path)
        trials, seconds = self._size()
        samples = round((self.baseline_seconds + seconds) * RATE)
        shapes = {"data": (trials, 40, samples), "labels": (trials, 4)}
        for key, shape in shapes.items():
            value = content.get(key) if isinstance(content, dict) else None
            if not (isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.shape == shape):
                raise UserError(
                    path,
                    f"{key!r}: {_describe(value)}",
                    f"floating-point numbers of shape {shape}",
                    "download the file again; other cuts of DEAP are not read by this corpus",
                )
        return content["data"], content["labels"]

    def _size(self) -> tuple[int, float]:
        """Trials, and seconds of stimulus: the official ones, or those a stand-in declares."""
        home = self.folder.parent if self.folder.name == "data_preprocessed_python" else self.folder
        manifest = home / "standin.json"
        if not manifest.is_file():
            return 40, 60.0
        try:
            declared = json.loads(manifest.read_text(encoding="utf-8"))
            return int(declared["trials"]), float(declared["seconds"])
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                manifest,
                f"no readable sizes ({type(error).__name__}: {error})",
                'JSON with "trials" and "seconds"',
                "delete the stand-in's folder and write it again",
            ) from None


def _float32(values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # what overflows becomes infinite, and is refused by name later
        return values.astype(np.float32)


def _describe(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} of shape {value.shape}"
    return "missing" if value is None else f"a {type(value).__name__}"
