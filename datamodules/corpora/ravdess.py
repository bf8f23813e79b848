"""RAVDESS, speech: 24 actors say two statements in eight emotions, recorded as sound and as film.

Livingstone & Russo 2018, PLoS ONE 13(5):e0196391, doi:10.1371/journal.pone.0196391 (CC BY-NC-SA 4.0).
Action units: RAVDESS Facial Landmark Tracking (Swanson, Livingstone & Russo 2019), doi:10.5281/zenodo.3255102.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from affect.batch import Signal
from affect.errors import UserError
from datamodules.corpora.base import Corpus, Source, Trial
from datamodules.formats.media import FILM, SOUND, VideoFile, read_sound
from datamodules.formats.openface import ACTION_UNITS, UNIT, read_openface
from datamodules.formats.tables import numbers, read_table

EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
INTENSITIES = ("normal", "strong")
STATEMENTS = ("statement1", "statement2")
MEANS = "openface_au_means.csv"
SPEECH = re.compile(r"(0[123])-(01-\d\d-\d\d-\d\d-\d\d-\d\d)")  # modality, and the take; song is left out
NAMING = "MM-01-EE-II-SS-RR-NN: emotion 01–08, intensity 01–02, statement 01–02, repetition, actor"


class Ravdess(Corpus):
    """Acted speech, one trial a take: files `Actor_NN/MM-01-EE-II-SS-RR-NN.*` that differ in their modality MM only.

    Streams, each absent where a take has no file of it:
    `audio` (1, T): `03-….wav` (or .flac, .ogg, .opus), amplitude of full scale ±1, mono (mean of the channels), at the
    file's own rate (48 kHz in the official download).
    `face`: `01-….mp4`, film with sound, or else `02-….mp4`, the same film without.
    `au`: OpenFace's 17 intensities and 18 presences of action units, of the film of the same take. From
    `openface_au_means.csv` (column `file`, such as 01-01-05-01-01-01-12, and the 35 units), where it is: means over
    the clip, (35, 1) without time. Else from the official tracking `01-….csv`, in `Actor_NN/` or a folder beside it:
    (35, T), a value a frame.

    The stimulus is the statement said; neutral has no strong intensity. The repetition distinguishes two takes of the
    same words and is no fact of person or stimulus: it stays in `where`. Group fact: sex (odd actors are male).
    """

    name = "ravdess"
    streams = ("audio", "face", "au")
    ratings: ClassVar = {"emotion": EMOTIONS, "intensity": INTENSITIES}

    def layout(self) -> str:
        return f"Actor_01 … Actor_24 with clips 03-01-EE-II-SS-RR-NN.wav or films 01-01-….mp4, or {MEANS}"

    def _found(self) -> list[str]:
        folders = [p.name for p in self.root.glob("Actor_*") if re.fullmatch(r"Actor_\d+", p.name)]
        recorded = [actor for actor in folders if any(self._recordings(actor))]
        tracked = [
            *self._means(),
            *(path.stem for path in self.root.glob("*/01-01-*.csv") if SPEECH.fullmatch(path.stem)),
        ]
        return sorted(recorded or {f"Actor_{take[-2:]}" for take in tracked}, key=_number)

    def missing(self, found: list[str]) -> list[str]:
        """Actors are numbered from 1 without gaps."""
        there = {_number(a) for a in found}
        return [f"Actor_{n:02d}" for n in range(1, max(there) + 1) if n not in there]

    def files(self, subject: str) -> list[Path]:
        takes = self._takes(subject).values()
        return sorted({path for take in takes for paths in take.values() for path in paths})

    def files_of(self, subject: str, stream: str) -> list[Path]:
        return sorted({path for take in self._takes(subject).values() for path in take.get(stream, [])})

    def trials(self, subject: str, streams: Sequence[str]) -> Iterator[Trial | UserError]:
        for take, files in sorted(self._takes(subject).items()):
            try:
                yield self._trial(subject, take, files, streams)
            except UserError as error:
                yield error

    def _trial(self, subject: str, take: str, files: Mapping[str, list[Path]], streams: Sequence[str]) -> Trial:
        first = next(files[stream][0] for stream in self.streams if stream in files)
        where = f"{first}, 01-{take}" if first.name == MEANS else str(first)
        emotion, intensity, statement, repetition, actor = map(int, take.split("-")[1:])
        known = emotion in range(1, 9) and intensity in (1, 2) and statement in (1, 2) and repetition > 0
        if not known or actor != _number(subject):
            remedy = "rename the file, or move it where it belongs"
            raise UserError(where, f"codes {take} in {subject}", NAMING, remedy)
        if doubled := next((paths for paths in files.values() if len(paths) > 1), None):
            found = f"a second file of the same take as {doubled[0].name}"
            raise UserError(doubled[1], found, "one file a take", "keep one")
        return Trial(
            subject=subject,
            stimulus=STATEMENTS[statement - 1],
            ratings={"emotion": EMOTIONS[emotion - 1], "intensity": INTENSITIES[intensity - 1]},
            streams={name: self._source(name, take, files[name][0]) for name in streams if name in files},
            where=where,
            group={"sex": "male" if actor % 2 else "female"},
        )

    def _source(self, stream: str, take: str, path: Path) -> Source:
        if stream == "audio":
            return partial(read_sound, path)
        if stream == "face":
            return VideoFile(path)
        if path.name == MEANS:
            return Signal(self._means()[take][:, None], 0.0, ACTION_UNITS, UNIT)
        return partial(read_openface, path)

    def _takes(self, subject: str) -> dict[str, dict[str, list[Path]]]:
        """Take → stream → its files: one, unless something is there twice."""
        takes: dict[str, dict[str, list[Path]]] = {}
        means = self._means()
        for stream, take, path in self._recordings(subject):
            if not (stream == "au" and means):
                takes.setdefault(take, {}).setdefault(stream, []).append(path)
        for take in means:
            if int(take[-2:]) == _number(subject):
                takes.setdefault(take, {})["au"] = [self.root / MEANS]
        for files in takes.values():
            if "face" in files:  # the film with sound comes before the one without
                files["face"] = [path for path in files["face"] if path.stem == files["face"][0].stem]
        return takes

    def _recordings(self, subject: str) -> Iterator[tuple[str, str, Path]]:
        """(stream, take, file) of everything in the actor's folder, and of tracking files elsewhere."""
        inside = self.root / subject
        beside = (p for p in self.root.glob(f"*/01-01-*-{_number(subject):02d}.csv") if p.parent != inside)
        for path in [*sorted(inside.glob("0[123]-01-*")), *sorted(beside)]:
            match, kind = SPEECH.fullmatch(path.stem), path.suffix.lower()
            if match is None:
                continue
            if match[1] == "03" and kind in SOUND:
                yield "audio", match[2], path
            elif match[1] in ("01", "02") and kind in FILM:
                yield "face", match[2], path
            elif match[1] == "01" and kind == ".csv":
                yield "au", match[2], path

    def _means(self) -> dict[str, NDArray[np.float32]]:
        """Take → (35,) means of its action units; empty without the file."""
        path = self.root / MEANS
        return _read_means(path, path.stat().st_mtime_ns) if path.is_file() else {}


@lru_cache(maxsize=1)
def _read_means(path: Path, changed: int) -> dict[str, NDArray[np.float32]]:
    """All of the file, which is one for all actors and so asked for again and again; songs are left out."""
    units = [name.lower() for name in ACTION_UNITS]
    expected = "columns file (01-01-EE-II-SS-RR-NN), AU01_r … AU45_r, AU01_c … AU45_c, separated by commas"
    table = read_table(path, ("file", *units), expected)
    stems = table["file"].map(lambda name: Path(name).stem)
    if stems.duplicated().any():
        row = int(stems.duplicated().to_numpy().argmax())
        raise UserError(f"{path}, row {row + 2}", f"a second row of {stems[row]}", "one row a film", "keep one")
    values = numbers(table, units, path).to_numpy(np.float32)
    matches = (SPEECH.fullmatch(stem) for stem in stems)
    return {match[2]: row for match, row in zip(matches, values, strict=True) if match}


def _number(actor: str) -> int:
    return int(actor.removeprefix("Actor_"))
