"""A stand-in for CEAP-360VR: invented viewers in its official JSON layout, or converted; arousal has a known effect.

Who is aroused turns the head faster and further, fixates more briefly (and shows what standin/empatica.py says of
stress). People differ in how much they look around, in how they rate and in how strongly they respond. Films differ in
what is felt on average, and in nothing else: they do not move the head by themselves, as real ones do.
"""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datamodules.corpora.ceap import RATE, Ceap
from datamodules.corpora.ceap_files import PARTS
from datamodules.formats.empatica import SENSORS
from datamodules.standin.empatica import LATE, invent, measure
from datamodules.standin.empatica import RATE as SLOW
from datamodules.standin.folder import folder_of, write_once

VERSION = 1  # raise it when the files written change
FILMS = ((7, 6), (7, 3), (3, 6), (3, 4), (7, 7), (7, 3), (4, 6), (3, 4))
"""Valence and arousal that V1 … V8 evoke in most."""
LAYOUTS = ("official", "converted")
NAMES = {
    "HM_ScanPath": ("Behavior_HeadScanPath_Data", "Video_Behavior_ScanPath_Data"),
    "EM_Fixation": ("Behavior_FixationData", "Video_Behavior_FixationData"),
    "Transformed": ("ContinuousAnnotation_TransData", "Video_Annotation_TransData"),
    "Raw": ("Physio_RawData", "Video_Physio_RawData"),
}
"""Folder → what its files call the list of people, of one, and the list of films."""

Array = NDArray[np.float64]


class StandInCeap(Ceap):
    """Invented people in CEAP's layout, written under `root` when first asked for and read by the real reader.

    Args:
        root: folder of all stand-ins; this one gets its own folder in it, named by a hash of the settings.
        subjects: how many people, P1, P2 …
        seconds: length of each of the eight films; 60 in the real corpus.
        strength: size of arousal's effect; at 0 all films look alike in distribution.
        shift: size of the differences between people; at 0 all are alike in distribution.
        seed: another seed, other people.
        layout: `official`, JSON files with the wristband; `converted`, metadata.csv and signals/, without it.
    """

    def __init__(
        self,
        root: str = "data/standin",
        subjects: int = 8,
        seconds: float = 20.0,
        strength: float = 1.0,
        shift: float = 1.0,
        seed: int = 0,
        layout: str = "official",
    ) -> None:
        self.write = partial(
            write_ceap,
            subjects=subjects,
            seconds=float(seconds),
            strength=float(strength),
            shift=float(shift),
            seed=seed,
            layout=layout,
        )
        self.invented = {"version": VERSION, **self.write.keywords}
        self.stand_ins = Path(root).expanduser()
        super().__init__(str(folder_of(self.stand_ins, self.name, self.invented)))

    def check(self) -> None:
        """Nothing can be amiss yet: the folder is written when first asked for."""

    def ensure(self) -> None:
        write_once(self.stand_ins, self.name, self.invented, self.write)


def write_ceap(
    root: Path,
    *,
    subjects: int = 8,
    seconds: float = 20.0,
    strength: float = 1.0,
    shift: float = 1.0,
    seed: int = 0,
    layout: str = "official",
) -> None:
    """Fill the folder `root`; arguments as for StandInCeap."""
    if layout not in LAYOUTS:
        raise ValueError(f"layout {layout!r}: one of {', '.join(LAYOUTS)}")
    people = [
        _watch(np.random.default_rng([seed, number]), seconds, strength, shift, layout == "official")
        for number in range(subjects)  # each its own numbers, so that the first people stay when more are asked for
    ]
    (_write_official if layout == "official" else _write_converted)(root, people, seconds)


def _fps(film: int) -> int:
    return 25 if film == 0 else 30


def _watch(rng: np.random.Generator, seconds: float, strength: float, shift: float, wristband: bool) -> dict[str, Any]:
    """One person: `age`, `sex`, `ratings` (8, 2) and, of every film, stream → rows as in the corpus."""
    body, restless = invent(rng, shift), np.exp(0.3 * shift * rng.standard_normal())
    lenient, response = shift * rng.standard_normal(2), 1 + 0.3 * shift * rng.standard_normal()
    age, sex = int(rng.integers(20, 34)), str(rng.choice(["Male", "Female"]))
    ratings = np.clip(np.rint(FILMS + 0.7 * lenient + 1.3 * rng.standard_normal((8, 2))), 1, 9)
    films = []
    for film, (valence, arousal) in enumerate(ratings.tolist()):
        felt = strength * response * (arousal - 5) / 4
        head = _head(rng, restless * np.exp(0.4 * felt), seconds)
        stamps = np.cumsum(rng.uniform(0.1, 0.14, int(seconds / 0.12) + 1))
        stamps = np.append(stamps[stamps < seconds - 0.1], seconds)
        toward = 1 - np.exp(-stamps / (seconds / 4))  # the joystick starts in the middle
        given = 5 + toward[:, None] * (np.array([valence, arousal]) - 5 + 0.5 * rng.standard_normal((len(stamps), 2)))
        parts = {
            "head": np.column_stack([head[:, 0], _wrapped(head[:, 1])]),
            "gaze": _fixations(rng, head, 0.5 * np.exp(-0.3 * felt), _fps(film)),
            "annotation": np.column_stack([stamps, np.clip(given, 1, 9)]),
        }
        if wristband:
            course = np.full(int(seconds + LATE) * SLOW, felt)
            for name, values in measure(rng, body, course)[0].items():
                kept = values[: int(seconds * SENSORS[name].rate)]
                parts[name] = np.column_stack([np.arange(len(kept)) / SENSORS[name].rate, kept])
        films.append({name: np.round(rows, 3) for name, rows in parts.items()})
    return {"age": age, "sex": sex, "ratings": ratings, "films": films}


def _wrapped(degrees: Array) -> Array:
    """−180 … 180°."""
    wrapped: Array = (degrees + 180) % 360 - 180
    return wrapped


def _head(rng: np.random.Generator, speed: float, seconds: float) -> Array:
    """(T, 2) pitch and yaw in °, not wrapped: both drift, and pitch returns to the horizon."""
    steps = speed * rng.standard_normal((int(seconds * RATE), 2)) * np.array([1.0, 4.0])
    turn = np.zeros(2)
    path: Array = np.zeros(steps.shape)
    for i, step in enumerate(steps):
        turn = 0.7 * turn + step
        before = path[i - 1] if i else np.zeros(2)
        path[i] = np.clip(before * np.array([0.97, 1.0]) + turn, [-60, -np.inf], [60, np.inf])
    return path


def _fixations(rng: np.random.Generator, head: Array, mean: float, fps: int) -> Array:
    """(n, 4) first and last frame, pitch and yaw, of fixations of 0.2 s and more, `mean` s longer on average."""
    rows, now = [], 0.0
    while True:
        now += float(rng.uniform(0.05, 0.4))
        last = now + 0.2 + float(rng.exponential(mean))
        if last > len(head) / RATE - 0.1:
            break
        pitch, yaw = head[int(now * RATE)] + 6 * rng.standard_normal(2)
        rows.append((int(now * fps), int(last * fps), pitch, _wrapped(yaw)))
        now = last + 1 / fps
    return np.array(rows).reshape(-1, 4)


def _write_official(root: Path, people: list[dict[str, Any]], seconds: float) -> None:
    """A JSON file a person and kind of data."""
    films = [{"VideoID": "V0", "FrameRate": 30, "FrameCount": 1816}]
    films += [
        {"VideoID": f"V{i + 1}", "FrameRate": _fps(i), "FrameCount": int(seconds * _fps(i)) + 1} for i in range(8)
    ]
    _dump(root / "1_Stimuli" / "VideoInfo.json", {"VideoInfo": films})
    for number, person in enumerate(people, start=1):
        named = {"ParticipantID": f"P{number}"}
        rated: list[dict[str, Any]] = [
            {"VideoID": f"V{i + 1}", "ValenceValue": int(valence), "ArousalValue": int(arousal)}
            for i, (valence, arousal) in enumerate(person["ratings"].tolist())
        ]
        asked = {**named, "Age": person["age"], "Gender": person["sex"], "Video_SAMRating_VideoTime_Data": rated}
        _dump(
            root / f"2_QuestionnaireData/P{number}_Questionnaire_Data.json",
            {"QuestionnaireData": [asked]},
        )
        files: dict[str, list[dict[str, Any]]] = {}
        for stream, part in PARTS.items():
            watched = files.setdefault(part.file, [{"VideoID": f"V{i + 1}"} for i in range(8)])
            for film, parts in zip(watched, person["films"], strict=True):
                rows = (zip(part.keys, row, strict=True) for row in parts[stream].tolist())
                film[part.rows] = [{k: int(v) if k.endswith("Frame") else v for k, v in row} for row in rows]
        for file, watched in files.items():
            outer, inner = NAMES[file.split("/")[1]]
            _dump(root / file.format(number), {outer: [{**named, inner: watched}]})


def _dump(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def _write_converted(root: Path, people: list[dict[str, Any]], seconds: float) -> None:
    """`metadata.csv`, and an npz a person and film."""
    (root / "signals").mkdir()
    lines = ["file,subject,video,sam_valence,sam_arousal,video_fps,video_frames,age,sex"]
    for number, person in enumerate(people, start=1):
        for i, (ratings, parts) in enumerate(zip(person["ratings"].tolist(), person["films"], strict=True)):
            file = f"signals/P{number:02d}_V{i + 1}.npz"
            np.savez(root / file, **{PARTS[s].array: rows.astype(np.float32) for s, rows in parts.items()})
            told = (f"P{number:02d}", f"V{i + 1}", *map(int, ratings), _fps(i), int(seconds * _fps(i)) + 1)
            lines.append(",".join(map(str, (file, *told, person["age"], person["sex"][0]))))
    (root / "metadata.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
