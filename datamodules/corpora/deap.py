"""DEAP: 32 people watch 40 one-minute music videos; EEG and peripheral signals, ratings from 1 to 9.

Koelstra, Mühl, Soleymani, Lee, Yazdani, Ebrahimi, Pun, Nijholt, Patras: DEAP: A Database for Emotion Analysis Using
Physiological Signals. IEEE Transactions on Affective Computing 3(1), 2012.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd

from affect.batch import Signal
from affect.errors import UserError
from datamodules.corpora.base import Corpus, Source, Trial
from datamodules.formats.restricted_pickle import StoredArray, describe, load
from datamodules.formats.tables import coded, numbers, read_table

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
LABELS = ("valence", "arousal", "dominance", "liking")
_SEXES = {"male": "male", "m": "male", "female": "female", "f": "female"}


class Deap(Corpus):
    """The preprocessed recordings `data_preprocessed_python/s01.dat` … `s32.dat`, and the faces of the first 22 people.

    Every `.dat` is a Python 2 pickle of `data` (40 trials, 40 channels, 8064 samples) and `labels` (40 trials, 4) =
    valence, arousal, dominance, liking. 128 Hz; a trial is 3 s of baseline and 60 s of video. The trials stand in the
    order of the videos (Experiment_id), so trial n is `video{n}` for everyone; people saw them in other orders.
    EEG is already band-passed from 4 to 45 Hz, referenced to the common average and freed of eye movements. The skin
    channel is a resistance: conductance is its inverse.

    Read where they lie beside it, in `metadata_csv/`, `metadata/` or the root itself:
    `participant_ratings.csv` gives the rating familiarity, 1–5 (not given by s02, s15, s23; without the file by
    nobody) and the order in which a person saw the videos; `participant_questionnaire.csv` gives age and sex.

    Stream `face`: `face_video/sNN/sNN_trialMM.avi`, where MM counts in the order of presentation. A clip begins with
    the video; time 0 of a trial is 3 s earlier, so its first picture stands in for the baseline. s23 to s32 were not
    filmed, and of s03, s05, s11 and s14 a few clips are missing: these trials have no face.

    Args:
        root: the folder that holds `data_preprocessed_python`, or that folder itself.
        subjects: read these only, for example ["s01", "s02"]; default all found.
    """

    name: ClassVar[str] = "deap"
    streams: ClassVar[tuple[str, ...]] = (*STREAMS, "face")
    ratings: ClassVar[Mapping[str, tuple[float, float] | tuple[str, ...]]] = {
        **dict.fromkeys(LABELS, (1.0, 9.0)),
        "familiarity": (1.0, 5.0),
    }
    baseline_seconds: ClassVar[float] = 3.0

    @property
    def folder(self) -> Path:
        """Where the `.dat` files are."""
        inner = self.root / "data_preprocessed_python"
        return inner if inner.is_dir() else self.root

    @property
    def home(self) -> Path:
        """Where everything else is."""
        return self.folder.parent if self.folder.name == "data_preprocessed_python" else self.folder

    def layout(self) -> str:
        return "data_preprocessed_python/s01.dat … s32.dat"

    def _found(self) -> list[str]:
        return sorted(path.stem for path in self.folder.glob("s[0-9][0-9].dat"))

    def missing(self, found: list[str]) -> list[str]:
        numbered = [f"s{n:02d}" for n in range(1, int(found[-1][1:]) + 1)]
        return [subject for subject in numbered if subject not in found]

    def files(self, subject: str) -> list[Path]:
        tables = map(self._metadata, ("participant_ratings.csv", "participant_questionnaire.csv"))
        return [self.folder / f"{subject}.dat", *filter(None, tables)]

    def files_of(self, subject: str, stream: str) -> list[Path]:
        if stream != "face":
            return [self.folder / f"{subject}.dat"]
        clips = sorted((self.home / "face_video" / subject).glob(f"{subject}_trial*.avi"))
        return [*filter(None, [self._metadata("participant_ratings.csv")]), *clips]

    def trials(self, subject: str, streams: Sequence[str]) -> Iterator[Trial | UserError]:
        path = self.folder / f"{subject}.dat"
        data, labels = self._read(path)
        presented = self._presented(subject, labels.numpy())
        faces = self._faces(subject, presented) if "face" in streams else {}
        group = self._facts(subject)
        for index, rated in enumerate(labels.numpy(), start=1):
            recording = data.numpy()[index - 1]  # a view, checked at each trial, as the file may change meanwhile
            signals: dict[str, Source] = {
                name: Signal(_float32(recording[rows]), RATE, channels, unit)
                for name, (rows, channels, unit) in STREAMS.items()
                if name in streams
            }
            familiarity = float("nan") if presented is None else float(presented["familiarity"][index])
            yield Trial(
                subject=subject,
                stimulus=f"video{index:02d}",
                ratings={**dict(zip(LABELS, map(float, rated), strict=True)), "familiarity": familiarity},
                streams={**signals, **({"face": faces[index]} if index in faces else {})},
                where=f"{path}, video {index}",
                onset=self.baseline_seconds,
                group=group,
            )

    def _read(self, path: Path) -> tuple[StoredArray, StoredArray]:
        """`data` (trials, 40, samples) and `labels` (trials, 4), still on disk, of the shapes they must have."""
        content = load(path)
        trials, seconds = self._size()
        samples = round((self.baseline_seconds + seconds) * RATE)
        shapes = {"data": (trials, 40, samples), "labels": (trials, len(LABELS))}
        for key, shape in shapes.items():
            value = content.get(key) if isinstance(content, dict) else None
            if not (isinstance(value, StoredArray) and value.dtype.kind == "f" and value.shape == shape):
                raise UserError(
                    path,
                    f"{key!r}: {describe(value)}",
                    f"floating-point numbers of shape {shape}",
                    "download the file again; other cuts of DEAP are not read by this corpus",
                )
        return content["data"], content["labels"]

    def _metadata(self, name: str) -> Path | None:
        places = (self.home / "metadata_csv" / name, self.home / "metadata" / name, self.home / name)
        return next((path for path in places if path.is_file()), None)

    def _presented(self, subject: str, labels: np.ndarray) -> pd.DataFrame | None:
        """Of every video, 1 …: `trial`, its place in the order this person saw them, and `familiarity`."""
        path = self._metadata("participant_ratings.csv")
        if path is None:
            return None
        columns = ("trial", "experiment_id", *LABELS, "familiarity")
        table = read_table(path, ("participant_id", *columns))
        rows = numbers(table, columns, path)[table["participant_id"].map(_number) == _number(subject)]
        rows = rows.set_index("experiment_id").sort_index()
        videos = list(range(1, len(labels) + 1))
        if list(rows.index) != videos or sorted(rows["trial"]) != videos:
            raise UserError(
                path,
                f"{len(rows)} rows for participant {_number(subject)}, not one for each video and each trial",
                f"Experiment_id and Trial from 1 to {len(videos)}, each once",
                "download the file again",
            )
        far = ~(np.abs(rows[[*LABELS]].to_numpy() - labels) < 0.02)  # the file has two decimals
        if far.any():
            row, column = np.argwhere(far)[0]
            raise UserError(
                path,
                f"{LABELS[column]} {rows[LABELS[column]].iloc[row]:g} for video {row + 1} of {subject}",
                f"{labels[row, column]:.2f}, as in {subject}.dat",
                "one of the two files belongs to something else: download both again",
            )
        return rows

    def _faces(self, subject: str, presented: pd.DataFrame | None) -> dict[int, Source]:
        """Video → the clip of the face that watched it."""
        from datamodules.formats.media import VideoFile

        folder = self.home / "face_video"
        if not folder.is_dir():
            raise UserError(
                folder,
                "no such folder",
                "the stream 'face' of s01 to s22, unpacked from face_video.zip",
                "download it, or leave 'face' out of data.streams",
            )
        if presented is None:
            name = "participant_ratings.*"
            others = [path.name for place in (name, f"metadata*/{name}") for path in self.home.glob(place)]
            raise UserError(
                self.home / "metadata_csv" / "participant_ratings.csv",
                f"no such file{', only ' + ', '.join(others) if others else ''}",
                "the table of which clip belongs to which video: clips are numbered in the order of presentation, "
                "which differs from person to person, recordings in the order of the videos",
                "download metadata_csv.zip, or save the spreadsheet as .csv",
            )
        clips = {
            video: folder / subject / f"{subject}_trial{int(trial):02d}.avi"
            for video, trial in enumerate(presented["trial"], start=1)
        }
        return {
            video: partial(VideoFile, clip, -self.baseline_seconds) for video, clip in clips.items() if clip.is_file()
        }

    def _facts(self, subject: str) -> dict[str, float | str]:
        """Age in years and sex, where the questionnaire has them."""
        path = self._metadata("participant_questionnaire.csv")
        if path is None:
            return {}
        table = read_table(path, ("participant_id",)).rename(columns={"gender": "sex"})
        own = table[table["participant_id"].map(_number) == _number(subject)]
        facts: dict[str, float | str] = {}
        for row in own.to_dict("records")[:1]:
            if "age" in row:
                facts["age"] = float(pd.to_numeric(row["age"], errors="coerce"))
            if "sex" in row:
                facts["sex"] = coded(row["sex"], _SEXES)
        return facts

    def _size(self) -> tuple[int, float]:
        """Trials, and seconds of stimulus: the official ones, or those a stand-in declares."""
        manifest = self.home / "standin.json"
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


def _number(participant: str) -> int:
    """7 of 7, 07, s07 and S07; −1 of anything else."""
    match = re.fullmatch(r"[sS]?0*(\d+)", participant)
    return int(match[1]) if match else -1
