"""CEAP-360VR: 32 people watch eight one-minute films in a headset; head and eyes, E4 wristband, ratings from 1 to 9.

Xue, El Ali, Zhang, Ding, Cesar: CEAP-360VR: a continuous physiological and behavioral emotion annotation dataset for
360° videos. IEEE Transactions on Multimedia, 2021, doi:10.1109/TMM.2021.3124080 (CC BY-NC 4.0,
github.com/cwi-dis/CEAP-360VR-Dataset).
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import ClassVar

import numpy as np

from affect.batch import Signal
from affect.errors import UserError
from datamodules.corpora.base import Corpus, Trial
from datamodules.corpora.ceap_files import PARTS, Converted, Files, Film, Official, Rows
from datamodules.formats.empatica import SENSORS
from datamodules.formats.tables import AGAIN

RATE = 5.0
"""Hz of head, gaze and annotation: the corpus gives the head as means over 0.2 s."""
SLACK = 1.0
"""s that a recording may miss of its film at either end, and may pause."""


class Ceap(Corpus):
    """One trial a film, V1 to V8, in this order for everyone (people saw them in other orders).

    Ratings `valence` and `arousal`, 1–9 (SAM, after the film). Streams, all beginning with the film:
    `head` (2, T), pitch and yaw of the headset in °, means over 0.2 s; yaw is unwrapped, it goes on past ±180°.
    `gaze` (3, T) at the same 5 Hz: pitch and yaw in ° of the fixation that is going on or was the last (unwrapped
    likewise), and `fixating`, the share of the 0.2 s spent in one.
    `annotation` (2, T), valence and arousal 1–9 as given with a joystick while watching, 8 a second or so,
    interpolated at 5 Hz.
    `bvp`, `eda`, `temp`, `hr`, `acc` of the wristband, in the units of empatica.Session, at the rates that their time
    stamps show.
    Everyone saw the same films, and films move the head: what is found on people never seen may be the film.
    Only a protocol with `new_stimuli` tells.
    Group facts: age in years, sex.

    Read are the official JSON files (of the wristband the raw ones, as the corpus's own scripts read them; not tried
    on the real ones), or a conversion of them without the wristband: `metadata.csv` (subject, video, sam_valence,
    sam_arousal, video_fps, video_frames, age, sex) and `signals/PNN_VN.npz` of `head_pitch_yaw` (T, 2), `fixations`
    (n, 4; first and last frame, pitch, yaw) and `annotation_t_v_a` (n, 3; s, valence, arousal).

    Args:
        root: the folder that holds `2_QuestionnaireData` …, or `metadata.csv`.
        subjects: read these only, for example ["P01", "P02"]; default all found.
    """

    name: ClassVar[str] = "ceap"
    streams: ClassVar[tuple[str, ...]] = tuple(PARTS)
    ratings: ClassVar[Mapping[str, tuple[float, float] | tuple[str, ...]]] = dict.fromkeys(
        ("valence", "arousal"), (1.0, 9.0)
    )

    @cached_property
    def _files(self) -> Files:
        return Converted(self.root) if (self.root / "metadata.csv").is_file() else Official(self.root)

    def layout(self) -> str:
        return (
            "2_QuestionnaireData/P1_Questionnaire_Data.json … P32 and 3_, 4_, 5_ beside it (or metadata.csv, signals/)"
        )

    def _found(self) -> list[str]:
        return self._files.subjects()

    def missing(self, found: list[str]) -> list[str]:
        return self._files.missing(found)

    def files(self, subject: str) -> list[Path]:
        return list(dict.fromkeys(path for stream in self.streams for path in self.files_of(subject, stream)))

    def files_of(self, subject: str, stream: str) -> list[Path]:
        return self._files.files(subject, stream)

    def trials(self, subject: str, streams: Sequence[str]) -> Iterator[Trial | UserError]:
        files = self._files
        for film in files.films(subject):
            yield Trial(
                subject=subject,
                stimulus=film.video,
                ratings={"valence": film.valence, "arousal": film.arousal},
                streams={s: partial(_signal, files, s, subject, film) for s in files.there(subject) if s in streams},
                where=files.where(subject, film.video),
                group=film.group,
            )


def _signal(files: Files, stream: str, subject: str, film: Film) -> Signal:
    """One stream of a film, from the numbers that the corpus keeps of it."""
    rows, where = files.rows(subject, film.video, stream), files.where(subject, film.video, stream)
    if stream == "head":
        return _head(rows, film, where)
    if stream == "gaze":
        return _gaze(rows, film, where)
    if stream == "annotation":
        return Signal(_even(rows, film, RATE, where), RATE, ("valence", "arousal"), "1–9")
    sensor, rate = SENSORS[stream], _rate(rows, where)
    return Signal(_even(rows, film, rate, where) * np.float32(sensor.scale), rate, sensor.channels, sensor.unit)


def _head(rows: Rows, film: Film, where: str) -> Signal:
    """(n, 2) pitch and yaw every 0.2 s → (2, n)."""
    if abs(len(rows) / RATE - film.seconds) > SLACK:
        found = f"{len(rows)} positions of the head, every 0.2 s, for a film of {film.seconds:.2f} s"
        raise UserError(where, found, f"{film.seconds * RATE:.0f} or so", AGAIN)
    pitch, yaw = rows.T
    return Signal(np.stack([pitch, np.unwrap(yaw, period=360)]).astype(np.float32), RATE, ("pitch", "yaw"), "°")


def _gaze(rows: Rows, film: Film, where: str) -> Signal:
    """(n, 4) fixations: first and last frame, pitch, yaw → (3, T)."""
    begin, end = rows[:, 0] / film.fps, (rows[:, 1] + 1) / film.fps
    turns = np.column_stack([begin, end]).ravel()
    if len(rows) == 0 or (np.diff(turns) < 0).any() or turns[0] < 0 or turns[-1] > film.seconds + SLACK:
        found = f"{len(rows)} fixations, not one after the other within the film" if len(rows) else "no fixation"
        raise UserError(where, found, f"fixations in the {film.frames:.0f} frames, in time", AGAIN)
    edges = np.arange(int(film.seconds * RATE) + 1) / RATE
    before = np.cumsum(end - begin)  # time spent in fixations until each ends
    spent = np.interp(edges, turns, np.column_stack([before - (end - begin), before]).ravel())
    current = np.maximum(np.searchsorted(begin, edges[1:], side="left") - 1, 0)
    pitch, yaw = rows[current, 2], np.unwrap(rows[:, 3], period=360)[current]
    data = np.stack([pitch, yaw, np.diff(spent) * RATE]).astype(np.float32)
    return Signal(data, RATE, ("pitch", "yaw", "fixating"), "°, °, share")


def _rate(rows: Rows, where: str) -> float:
    """Rows a second, a whole number."""
    seconds = float(np.ptp(rows[:, 0])) if len(rows) > 1 else 0.0
    rate = (len(rows) - 1) / seconds if seconds > 0 else 0.0
    if rate < 0.5 or abs(rate - round(rate)) > 0.05 * rate:
        found = f"{len(rows)} rows in {seconds:.1f} s"
        raise UserError(where, found, "a whole number of rows a second (TimeStamp in s)", AGAIN)
    return float(round(rate))


def _even(rows: Rows, film: Film, rate: float, where: str) -> np.ndarray:
    """(n, 1 + C) seconds and values → (C, T) float32 at `rate`, interpolated; the ends are held."""
    slack, time = SLACK + 1 / rate, rows[:, 0]
    pauses = np.diff(time, prepend=0.0, append=max(film.seconds, float(time[-1]))) if len(time) else np.array([np.inf])
    if not (np.diff(time) >= 0).all() or not (pauses <= slack).all():
        found = f"{len(rows)} rows, out of order or with a pause of {pauses.max():.1f} s"
        raise UserError(where, found, f"rows in time, all through the {film.seconds:.0f} s of the film", AGAIN)
    at = np.arange(int(film.seconds * rate)) / rate
    return np.stack([np.interp(at, time, column) for column in rows[:, 1:].T]).astype(np.float32)
