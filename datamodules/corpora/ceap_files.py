"""Where CEAP-360VR's numbers lie: the official JSON files, or a conversion of them to one npz a film."""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from affect.errors import UserError
from datamodules.formats.tables import AGAIN, coded, numbers, read_table

Rows = NDArray[np.float64]
_SEXES = {"m": "male", "male": "male", "f": "female", "female": "female"}


class Part(NamedTuple):
    """Where a stream stands: which file a person, which list of rows in it, which keys of a row; and which array of
    the converted files, whose columns are the same."""

    file: str
    rows: str
    keys: tuple[str, ...]
    array: str = ""


_PHYSIO = "5_PhysioData/Raw/P{}_Physio_RawData.json"
PARTS: Mapping[str, Part] = {
    "head": Part(
        "4_BehaviorData/HM_ScanPath/P{}_Behavior_HeadScanPathData.json",
        "ID_Pitch_Yaw",
        ("Pitch", "Yaw"),
        "head_pitch_yaw",
    ),
    "gaze": Part(
        "4_BehaviorData/EM_Fixation/P{}_Behavior_FixationData.json",
        "Fixation",
        ("StartFrame", "EndFrame", "Pitch", "Yaw"),
        "fixations",
    ),
    "annotation": Part(
        "3_AnnotationData/Transformed/P{}_Annotation_TransData.json",
        "TimeStamp_Valence_Arousal",
        ("TimeStamp", "Valence", "Arousal"),
        "annotation_t_v_a",
    ),
    "bvp": Part(_PHYSIO, "BVP_RawData", ("TimeStamp", "BVP")),
    "eda": Part(_PHYSIO, "EDA_RawData", ("TimeStamp", "EDA")),
    "temp": Part(_PHYSIO, "SKT_RawData", ("TimeStamp", "SKT")),
    "hr": Part(_PHYSIO, "HR_RawData", ("TimeStamp", "HR")),
    "acc": Part(_PHYSIO, "ACC_RawData", ("TimeStamp", "ACC_X", "ACC_Y", "ACC_Z")),
}


class Film(NamedTuple):
    """A film as one person saw and rated it; ratings NaN where not given."""

    video: str
    valence: float
    arousal: float
    fps: float
    frames: float
    group: Mapping[str, float | str]

    @property
    def seconds(self) -> float:
        return self.frames / self.fps


class Files(ABC):
    """One way of keeping the corpus on disk. Subjects are P01, P02 …, films V1, V2 …"""

    def __init__(self, root: Path) -> None:
        self.root = root

    @abstractmethod
    def subjects(self) -> list[str]:
        """Those with recordings."""

    @abstractmethod
    def missing(self, found: list[str]) -> list[str]:
        """Those that should be there too."""

    @abstractmethod
    def films(self, subject: str) -> list[Film]:
        """In the order of their numbers."""

    @abstractmethod
    def there(self, subject: str) -> tuple[str, ...]:
        """The streams that were recorded."""

    @abstractmethod
    def files(self, subject: str, stream: str) -> list[Path]:
        """What ratings and this stream are read from."""

    @abstractmethod
    def where(self, subject: str, video: str, stream: str = "") -> str:
        """For messages."""

    @abstractmethod
    def rows(self, subject: str, video: str, stream: str) -> Rows:
        """(n, columns) as in the corpus, the columns being the keys of PARTS."""


class Official(Files):
    """A JSON file a person and kind of data."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._read: tuple[str, dict[str, dict[str, Any]]] = ("", {})
        """The person read last, and file → film → what it holds: a file is read once for all films of a person."""

    def subjects(self) -> list[str]:
        names = (p.name for p in self.root.glob("2_QuestionnaireData/P*_Questionnaire_Data.json"))
        matches = (re.fullmatch(r"P(\d+)_Questionnaire_Data\.json", name) for name in names)
        return [f"P{n:02d}" for n in sorted(int(match[1]) for match in matches if match)]

    def missing(self, found: list[str]) -> list[str]:
        """They are numbered from 1."""
        return [f"P{n:02d}" for n in range(1, int(found[-1][1:])) if f"P{n:02d}" not in found]

    def films(self, subject: str) -> list[Film]:
        path, info = self._path(subject, "2_QuestionnaireData/P{}_Questionnaire_Data.json"), self._info
        with _told(info, "FrameRate and FrameCount of every film"):
            frames = {
                film["VideoID"]: (float(film["FrameRate"]), float(film["FrameCount"]))
                for film in _json(info)["VideoInfo"]
            }
        with _told(path, "Age, Gender and, of every film, VideoID, ValenceValue, ArousalValue"):
            person = _person(path, subject)
            group: dict[str, float | str] = {"age": float(person["Age"]), "sex": coded(person["Gender"], _SEXES)}
            return [
                Film(video, float(film["ValenceValue"]), float(film["ArousalValue"]), *frames[video], group)
                for video, film in sorted(_videos(person).items(), key=lambda item: int(item[0][1:]))
            ]

    def there(self, subject: str) -> tuple[str, ...]:
        return tuple(name for name, part in PARTS.items() if self._path(subject, part.file).is_file())

    def files(self, subject: str, stream: str) -> list[Path]:
        paths = [self._path(subject, "2_QuestionnaireData/P{}_Questionnaire_Data.json"), self._info]
        return paths + [p for p in [self._path(subject, PARTS[stream].file)] if p.is_file()]

    def where(self, subject: str, video: str, stream: str = "") -> str:
        file = PARTS[stream].file if stream else "2_QuestionnaireData/P{}_Questionnaire_Data.json"
        return f"{self._path(subject, file)}, {video}"

    def rows(self, subject: str, video: str, stream: str) -> Rows:
        part = PARTS[stream]
        path = self._path(subject, part.file)
        with _told(path, f"of {video} a list {part.rows} of {', '.join(part.keys)}"):
            if self._read[0] != subject:
                self._read = (subject, {})
            films = self._read[1]
            if part.file not in films:
                films[part.file] = _videos(_person(path, subject))
            rows = [[float(row[key]) for key in part.keys] for row in films[part.file][video][part.rows]]
        return np.array(rows, dtype=np.float64).reshape(-1, len(part.keys))

    @property
    def _info(self) -> Path:
        return self.root / "1_Stimuli" / "VideoInfo.json"

    def _path(self, subject: str, file: str) -> Path:
        return self.root / file.format(int(subject[1:]))


class Converted(Files):
    """`metadata.csv`, a row a person and film, and `signals/PNN_VN.npz`."""

    def subjects(self) -> list[str]:
        return [s for s, films in self._people.items() if any(self._npz(s, f.video).is_file() for f in films)]

    def missing(self, found: list[str]) -> list[str]:
        """Those in the table; the numbers may have gaps."""
        return [subject for subject in self._people if subject not in found]

    def films(self, subject: str) -> list[Film]:
        return self._people[subject]

    def there(self, subject: str) -> tuple[str, ...]:
        return tuple(name for name, part in PARTS.items() if part.array)

    def files(self, subject: str, stream: str) -> list[Path]:
        paths = [self._npz(subject, film.video) for film in self.films(subject)]
        return [self.root / "metadata.csv", *(path for path in paths if path.is_file())]

    def where(self, subject: str, video: str, stream: str = "") -> str:
        return str(self._npz(subject, video))

    def rows(self, subject: str, video: str, stream: str) -> Rows:
        path, part = self._npz(subject, video), PARTS[stream]
        expected = f"{part.array}: numbers of shape (n, {len(part.keys)}): {', '.join(part.keys)}"
        try:
            with np.load(path, allow_pickle=False) as arrays:
                array = arrays[part.array]
        except Exception as error:  # numpy and zipfile raise whatever the broken byte leads to
            raise UserError(path, f"no such array ({error})", expected, AGAIN) from error
        if array.ndim != 2 or array.shape[1] != len(part.keys) or array.dtype.kind not in "fiu":
            raise UserError(path, f"{part.array}: {array.dtype} of shape {array.shape}", expected, AGAIN)
        rows: Rows = array.astype(np.float64)
        return rows

    def _npz(self, subject: str, video: str) -> Path:
        return self.root / "signals" / f"{subject}_{video}.npz"

    @cached_property
    def _people(self) -> dict[str, list[Film]]:
        """Subject → films, both in the order of their numbers."""
        path = self.root / "metadata.csv"
        values = ("sam_valence", "sam_arousal", "video_fps", "video_frames", "age")
        table = read_table(path, ("subject", "video", *values, "sex"))
        found = numbers(table, values, path)
        named = table["subject"].str.fullmatch(r"P\d+") & table["video"].str.fullmatch(r"V\d+").fillna(False)
        good = named & (found["video_fps"] > 0) & (found["video_frames"] > 0)
        good &= ~table.duplicated(["subject", "video"])
        if not good.all():
            row = int((~good).to_numpy().argmax())
            told = ", ".join(f"{k} {table[k][row]}" for k in ("subject", "video", "video_fps", "video_frames"))
            expected = "subject P01 …, video V1 … of every person once, its frames and how many a second"
            raise UserError(f"{path}, row {row + 2}", told, expected, "correct the row, or " + AGAIN)
        people: dict[str, list[Film]] = {}
        names = zip(table["subject"].tolist(), table["video"].tolist(), table["sex"].tolist(), strict=True)
        for (subject, video, sex), (valence, arousal, fps, frames, age) in zip(
            names, found.to_numpy().tolist(), strict=True
        ):
            group: dict[str, float | str] = {"age": age, "sex": coded(sex, _SEXES)}
            people.setdefault(subject, []).append(Film(video, valence, arousal, fps, frames, group))
        films = {s: sorted(seen, key=lambda film: int(film.video[1:])) for s, seen in people.items()}
        return dict(sorted(films.items(), key=lambda item: int(item[0][1:])))


@contextmanager
def _told(path: Path, expected: str) -> Iterator[None]:
    """Whatever a JSON file of another shape leads to, as a UserError."""
    try:
        yield
    except (OSError, LookupError, TypeError, ValueError, AttributeError) as error:
        found = f"{type(error).__name__}: {error}" if path.is_file() else "no such file"
        raise UserError(path, found, f"the corpus's own JSON: {expected}", AGAIN) from error


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8-sig"))


def _person(path: Path, subject: str) -> dict[str, Any]:
    """What a file holds of its one person: {"…Data": [{"ParticipantID": "P1", …}]}."""
    (people,) = _json(path).values()
    person: dict[str, Any] = people[0]
    if person["ParticipantID"] != f"P{int(subject[1:])}":
        raise ValueError(f"the data of {person['ParticipantID']!r}")
    return person


def _videos(person: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Film → what is told of it, from the only list: {"Video_…Data": [{"VideoID": "V1", …}, …]}."""
    (films,) = (value for value in person.values() if isinstance(value, list))
    return {film["VideoID"]: film for film in films}
