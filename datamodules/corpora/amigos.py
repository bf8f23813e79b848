"""AMIGOS: 40 people watch 16 short videos alone, 37 of them 4 long ones alone or in groups; EEG, ECG, skin, face.

Miranda-Correa, Abadi, Sebe, Patras: AMIGOS: A Dataset for Affect, Personality and Mood Research on Individuals and
Groups. IEEE Transactions on Affective Computing 12(2), 2021.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from affect.batch import Signal, Video
from affect.errors import UserError
from datamodules.corpora.base import Corpus, Source, Trial
from datamodules.formats.matfile import read_mat
from datamodules.formats.tables import AGAIN

RATE = 128.0  # Hz
EEG = ("AF3", "F7", "F3", "FC5", "T7", "P7", "O1", "O2", "P8", "T8", "FC6", "F4", "F8", "AF4")
COLUMNS: Mapping[str, tuple[slice, tuple[str, ...], str]] = {
    "eeg": (slice(0, 14), EEG, "µV"),
    "ecg": (slice(14, 16), ("ECG_R", "ECG_L"), "a.u."),
    "eda": (slice(16, 17), ("GSR",), "a.u."),
}
"""Stream → (its columns in `joined_data`, channel names, unit), in the order of the file."""
WIDTH = 17
SCALES = ("arousal", "valence", "dominance", "liking", "familiarity")
EMOTIONS = ("neutral", "disgust", "happiness", "surprise", "anger", "fear", "sadness")
"""The columns of `labels_selfassessment`: arousal stands before valence."""
VIDEOS: Mapping[str, tuple[str, ...]] = {
    "short": ("4", "5", "9", "10", "13", "18", "19", "20", "23", "30", "31", "34", "36", "58", "80", "138"),
    "long": ("N1", "P1", "B1", "U1"),
}
OFFICIAL = [*VIDEOS["short"], *VIDEOS["long"]]
SEGMENT, GRID = 20.0, 5.0  # s; segments of the external annotation, and their common grid with the baseline
_FACE = re.compile(r"P0*(\d+)_(\w+?)_face", re.IGNORECASE)


class Amigos(Corpus):
    """The preprocessed recordings `Data_Preprocessed_P01.mat` … `P40.mat`, each in a folder of its name or not.

    Streams at 128 Hz: `eeg` (14, T) µV, already band-passed from 4 to 45 Hz and referenced to the common average;
    `ecg` (2, T) and `eda` (1, T) in units that the corpus does not state. `annotation` (2, T): valence and arousal
    from −1 to 1 as three annotators saw them in the face. They rated the first 20 s of the recording (baseline
    included), then every 20 s from the start of the video, then the last 20 s; so that 5 s of baseline and 20 s
    segments both fall on samples, it is given at 0.2 Hz, each segment up to the next one. `face`: the film of the face,
    from the start of the recording, where a file such as `Exp1_P01_face/P1_10_face.mov` lies below the root (films of
    groups are not read).

    A trial is 5 s of baseline and the video. The session says whether the video is short or long. Where a cell is
    empty the streams are absent (P08, P24 and P28 saw no long videos), and ratings not given are NaN. Some trials hold
    NaNs, mostly whole ECG or GSR channels; they are found and told when the data are prepared. TorchEEG leaves people
    9, 12, 21, 22, 23, 24 and 33 out for them.

    Args:
        root: the folder that holds `Data_Preprocessed`, or that folder itself.
        subjects: read these only, for example ["P01", "P02"]; default all found.
        videos: the short ones, the long ones, or all.
    """

    name: ClassVar[str] = "amigos"
    streams: ClassVar[tuple[str, ...]] = (*COLUMNS, "annotation", "face")
    ratings: ClassVar[Mapping[str, tuple[float, float] | tuple[str, ...]]] = {
        **dict.fromkeys(("valence", "arousal", "dominance", "liking", "familiarity"), (1.0, 9.0)),
        **dict.fromkeys(EMOTIONS, (0.0, 1.0)),
    }
    baseline_seconds: ClassVar[float] = 5.0

    def __init__(
        self, root: str, subjects: Sequence[str] | None = None, videos: Literal["short", "long", "all"] = "short"
    ) -> None:
        super().__init__(root, subjects)
        self.videos = videos

    def layout(self) -> str:
        return "Data_Preprocessed/Data_Preprocessed_P01/Data_Preprocessed_P01.mat … P40, with or without the folders"

    def settings(self) -> dict[str, Any]:
        return {"videos": self.videos}

    def _recordings(self) -> dict[str, Path]:
        """Subject → file."""
        there: dict[str, Path] = {}
        for folders in ("", "*/", "*/*/"):
            for path in sorted(self.root.glob(f"{folders}Data_Preprocessed_P[0-9][0-9].mat")):
                subject = path.stem[-3:]
                if subject in there:
                    raise UserError(path, f"a second file of {subject}, beside {there[subject]}", "one", "remove one")
                there[subject] = path
        return there

    def _found(self) -> list[str]:
        return sorted(self._recordings())

    def missing(self, found: list[str]) -> list[str]:
        """People are numbered from 1 without gaps."""
        numbered = [f"P{n:02d}" for n in range(1, int(found[-1][1:]) + 1)]
        return [subject for subject in numbered if subject not in found]

    def files(self, subject: str) -> list[Path]:
        return [self._recordings()[subject]]

    def files_of(self, subject: str, stream: str) -> list[Path]:
        return [*self.files(subject), *(self._films(subject).values() if stream == "face" else ())]

    def _films(self, subject: str) -> dict[str, Path]:
        """Video → film of the subject's face."""
        from datamodules.formats.media import FILM

        there: dict[str, Path] = {}
        for path in sorted(self.root.rglob("*_[fF]ace.*")):
            match = _FACE.fullmatch(path.stem)
            if match and path.suffix.lower() in FILM and int(match[1]) == int(subject[1:]):
                video = match[2].upper()
                if video in there:
                    raise UserError(path, f"a second film of it, beside {there[video]}", "one", "remove one")
                if self._asked(video):
                    there[video] = path
        return there

    def _asked(self, video: str) -> bool:
        return any(video in names for session, names in VIDEOS.items() if self.videos in (session, "all"))

    def trials(self, subject: str, streams: Sequence[str]) -> Iterator[Trial | UserError]:
        path = self._recordings()[subject]
        films = self._films(subject) if "face" in streams else {}
        small = read_mat(path, ["VideoIDs", "labels_selfassessment", "labels_ext_annotation"])
        videos = _videos(small["VideoIDs"], path)
        asked = [i for i, video in enumerate(videos) if video is None or self._asked(video)]
        data = read_mat(path, ["joined_data"], lambda at: len(at) < 2 or at[1] in asked)["joined_data"]
        for name, cells in {**small, "joined_data": data}.items():
            if not (isinstance(cells, np.ndarray) and cells.dtype == object and cells.size == len(videos)):
                raise UserError(path, f"{name}: {_describe(cells)}", f"{len(videos)} cells, one a video", AGAIN)
        rated, annotated = small["labels_selfassessment"].ravel(), small["labels_ext_annotation"].ravel()
        for i in (i for i in asked if videos[i] or np.size(data.ravel()[i])):
            recording, video = data.ravel()[i], videos[i]
            where = f"{path}, video {video or f'in cell {i + 1}'}"
            try:
                if video is None:
                    raise UserError(where, "a recording without a name in VideoIDs", f"one of {OFFICIAL}", AGAIN)
                sources: dict[str, Source] = {s: v for s, v in _signals(recording, where).items() if s in streams}
                seconds = len(recording) / RATE if np.size(recording) else None
                if "annotation" in streams and seconds and np.size(annotated[i]):
                    sources["annotation"] = partial(_annotation, annotated[i], seconds, where)
                if video in films:
                    sources["face"] = partial(_film, films[video], seconds)
                yield Trial(
                    subject=subject,
                    stimulus=f"video{video}",
                    session="long" if video in VIDEOS["long"] else "short",
                    ratings=_ratings(rated[i], where),
                    streams=sources,
                    where=where,
                    onset=self.baseline_seconds,
                )
            except UserError as error:
                yield error


def _videos(cells: Any, path: Path) -> list[str | None]:
    """The video of each cell; None where it has no name."""
    names: list[str | None] = []
    for cell in np.ravel(cells):
        number = isinstance(cell, np.ndarray) and cell.dtype.kind in "fiu" and cell.size == 1
        text = cell if isinstance(cell, str) else f"{cell.item():g}" if number else ""
        names.append(text.strip().upper() or None)
    given = [name for name in names if name is not None]
    if len(names) != len(OFFICIAL) or len(given) != len(set(given)) or not set(given) <= set(OFFICIAL):
        raise UserError(path, f"VideoIDs {names}", f"{len(OFFICIAL)} cells with {OFFICIAL}, each once", AGAIN)
    return names


def _signals(recording: Any, where: str) -> dict[str, Signal]:
    """All streams of one cell (samples, 17); none if it is empty."""
    if not np.size(recording):
        return {}
    baseline = round(Amigos.baseline_seconds * RATE)
    numbers = isinstance(recording, np.ndarray) and recording.dtype.kind in "fiu"
    if not numbers or recording.ndim != 2 or recording.shape[1] != WIDTH or len(recording) <= baseline:
        expected = f"numbers of shape (samples, {WIDTH}), more than the {baseline} samples of the baseline"
        raise UserError(where, f"joined_data: {_describe(recording)}", expected, AGAIN)
    with np.errstate(over="ignore"):  # what overflows becomes infinite, and is refused by name later
        data = recording.T.astype(np.float32)
    return {
        name: Signal(np.ascontiguousarray(data[rows]), RATE, channels, unit)
        for name, (rows, channels, unit) in COLUMNS.items()
    }


def _ratings(rated: Any, where: str) -> dict[str, float]:
    columns = (*SCALES, *EMOTIONS)
    if not np.size(rated):
        return dict.fromkeys(Amigos.ratings, float("nan"))
    if not isinstance(rated, np.ndarray) or rated.dtype.kind not in "fiub" or rated.size != len(columns):
        raise UserError(where, f"labels_selfassessment: {_describe(rated)}", f"{len(columns)} numbers", AGAIN)
    given = dict(zip(columns, map(float, rated.ravel()), strict=True))
    return {name: given[name] for name in Amigos.ratings}


def _annotation(rated: Any, seconds: float, where: str) -> Signal:
    """Rows (segment, valence, arousal) laid on the time of the recording; the first one is of the baseline as well."""
    if not isinstance(rated, np.ndarray) or rated.dtype.kind not in "fiu" or rated.ndim != 2 or rated.shape[1] != 3:
        raise UserError(where, f"labels_ext_annotation: {_describe(rated)}", "rows of three numbers", AGAIN)
    time = np.arange(np.ceil(seconds / GRID)) * GRID - Amigos.baseline_seconds
    segment = np.clip(1 + time // SEGMENT, 0, len(rated) - 1).astype(int)
    values = rated[segment, 1:].T.astype(np.float32)
    return Signal(np.ascontiguousarray(values), 1 / GRID, ("valence", "arousal"), "a.u.")


def _film(path: Path, seconds: float | None) -> Video:
    from datamodules.formats.media import VideoFile

    return VideoFile(path, 0.0, seconds)


def _describe(value: Any) -> str:
    return f"{value.dtype} of shape {value.shape}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"
