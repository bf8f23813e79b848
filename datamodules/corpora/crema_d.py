"""CREMA-D: 91 actors say twelve sentences in six emotions, recorded as sound and as film.

Cao, Cooper, Keutmann, Gur, Nenkova, Verma: CREMA-D: Crowd-sourced Emotional Multimodal Actors Dataset. IEEE
Transactions on Affective Computing 5(4), 2014, doi:10.1109/TAFFC.2014.2336244 (Open Database License).
"""

import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

from affect.errors import UserError
from datamodules.corpora.base import Corpus, Source, Trial
from datamodules.formats.media import FILM, SOUND, VideoFile, read_sound
from datamodules.formats.tables import coded, numbers, read_table

EMOTIONS = {"ANG": "anger", "DIS": "disgust", "FEA": "fear", "HAP": "happy", "NEU": "neutral", "SAD": "sad"}
INTENSITIES = {"LO": "low", "MD": "medium", "HI": "high", "XX": "unspecified"}
SENTENCES = ("IEO", "TIE", "IOM", "IWW", "TAI", "MTI", "IWL", "ITH", "DFA", "ITS", "TSI", "WSI")
MEDIA = {"audio": ("AudioWAV", SOUND), "face": ("VideoFlash", FILM)}
"""Stream → its folder, and the endings of its files."""
PEOPLE = "VideoDemographics.csv"
CLIP = re.compile(r"(\d{4})_([A-Z]{3})_([A-Z]{3})_([A-Z]{1,2})")
NAMING = "ACTOR_SENTENCE_EMOTION_INTENSITY, for example 1001_DFA_ANG_XX"
_POINTER = b"version https://git-lfs"


class CremaD(Corpus):
    """Acted speech, one trial a clip: `AudioWAV/1001_DFA_ANG_XX.wav` and, where it is, `VideoFlash/….flv`.

    Streams, each absent where a clip has no file of it: `audio` (1, T), amplitude of full scale ±1, mono, at the
    file's own rate (16 kHz); `face`, film.
    The emotion is the one that was acted, not the one that raters perceived. Only the sentence IEO was said in three
    intensities, all others and everything neutral in none (`unspecified`). The stimulus is the code of the sentence.
    Group facts from `VideoDemographics.csv`, where it is: age in years, sex, race, ethnicity.
    A few clips are known to be broken (silent, empty, or of the wrong length, for example 1076_MTI_SAD_XX and the film
    of 1064_IEO_DIS_MD): leave them out with --data.bad_trials=drop.
    """

    name = "crema_d"
    streams = tuple(MEDIA)
    ratings: ClassVar = {"emotion": tuple(EMOTIONS.values()), "intensity": tuple(INTENSITIES.values())}

    def check(self) -> None:
        super().check()
        for stream in self.streams:
            for path in self._of("", stream)[:1]:
                with path.open("rb") as file:
                    if file.read(len(_POINTER)) == _POINTER:
                        expected = "the recording itself: the repository keeps it in Git LFS"
                        raise UserError(path, "a pointer of Git LFS", expected, "run git lfs pull in the repository")

    def layout(self) -> str:
        return "AudioWAV/1001_DFA_ANG_XX.wav … or VideoFlash/….flv, and VideoDemographics.csv"

    def _found(self) -> list[str]:
        return sorted({path.name[:4] for stream in self.streams for path in self._of("", stream)})

    def missing(self, found: list[str]) -> list[str]:
        """Actors are numbered from 1001 without gaps."""
        return [str(n) for n in range(1001, int(found[-1])) if str(n) not in found]

    def files(self, subject: str) -> list[Path]:
        people = [path] if (path := self.root / PEOPLE).is_file() else []
        return [*people, *(path for stream in self.streams for path in self._of(subject, stream))]

    def files_of(self, subject: str, stream: str) -> list[Path]:
        return self._of(subject, stream)

    def trials(self, subject: str, streams: Sequence[str]) -> Iterator[Trial | UserError]:
        group = self._people().get(subject, {})
        clips: dict[str, dict[str, list[Path]]] = {}
        for stream in self.streams:
            for path in self._of(subject, stream):
                # One clip was for years distributed with a single X.
                clips.setdefault(re.sub(r"_X$", "_XX", path.stem), {}).setdefault(stream, []).append(path)
        for clip, files in sorted(clips.items()):
            first = next(iter(files.values()))[0]
            _, sentence, emotion, intensity = clip.split("_")
            if sentence not in SENTENCES or emotion not in EMOTIONS or intensity not in INTENSITIES:
                yield UserError(first, f"codes {clip}", NAMING, "rename the file, or move it elsewhere")
            elif doubled := next((paths for paths in files.values() if len(paths) > 1), None):
                found = f"a second file of the same clip as {doubled[0].name}"
                yield UserError(doubled[1], found, "one file a clip", "keep one")
            else:
                yield Trial(
                    subject=subject,
                    stimulus=sentence,
                    ratings={"emotion": EMOTIONS[emotion], "intensity": INTENSITIES[intensity]},
                    streams={name: _source(name, files[name][0]) for name in streams if name in files},
                    where=str(first),
                    group=group,
                )

    def _of(self, subject: str, stream: str) -> list[Path]:
        """All files of a stream, of one actor or of all."""
        folder, endings = MEDIA[stream]
        paths = (self.root / folder).glob(f"{subject}*")
        return sorted(p for p in paths if p.suffix.lower() in endings and CLIP.fullmatch(p.stem))

    def _people(self) -> dict[str, dict[str, float | str]]:
        """Actor → age, sex, race, ethnicity; empty without the file."""
        path = self.root / PEOPLE
        if not path.is_file():
            return {}
        table = read_table(path, ("actorid", "age", "sex", "race", "ethnicity"))
        age = numbers(table, ("age",), path)["age"]
        sex = [coded(text, {"male": "male", "female": "female"}) for text in table["sex"]]
        rows = zip(table["actorid"], age, sex, table["race"], table["ethnicity"], strict=True)
        return {actor: {"age": a, "sex": s, "race": str(r), "ethnicity": str(e)} for actor, a, s, r, e in rows}


def _source(stream: str, path: Path) -> Source:
    return partial(read_sound, path) if stream == "audio" else VideoFile(path)
