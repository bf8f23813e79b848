"""A stand-in for the London faces: drawn people, neutral and smiling, in the official layout.

Smiles differ in size between people, and so do faces at rest: some look pleased when they are not.
"""

import csv
from functools import partial
from pathlib import Path

import numpy as np

from datamodules.corpora.london_faces import EMOTIONS, FOLDERS, LondonFaces
from datamodules.standin.drawn_face import draw_face
from datamodules.standin.folder import folder_of, write_once

VERSION = 1  # raise it when the files written change
TAKES = {"neutral": "03", "happy": "08"}  # of the official names
SILENT = 31  # one who does not tell the age, as in the real corpus


class StandInLondonFaces(LondonFaces):
    """Invented people in the London set's layout, written under `root` when first asked for.

    Args:
        root: folder of all stand-ins; this one gets its own folder in it, named by a hash of the settings.
        people: how many.
        size: pixels of a photograph, height and width; 1350 in the real corpus. From 96 on, the face is found.
        strength: size of the smile; at 0 both photographs are alike but for chance.
        shift: size of the differences between people; at 0 all are alike.
        seed: another seed, other people.
    """

    def __init__(
        self,
        root: str = "data/standin",
        people: int = 24,
        size: int = 128,
        strength: float = 1.0,
        shift: float = 1.0,
        seed: int = 0,
    ) -> None:
        self.write = partial(
            write_london_faces, people=people, size=size, strength=float(strength), shift=float(shift), seed=seed
        )
        self.invented = {"version": VERSION, **self.write.keywords}
        self.folder = Path(root).expanduser()
        super().__init__(str(folder_of(self.folder, self.name, self.invented)))

    def check(self) -> None:
        """Nothing can be amiss yet: the folder is written when first asked for."""

    def ensure(self) -> None:
        write_once(self.folder, self.name, self.invented, self.write)


def write_london_faces(
    root: Path, *, people: int = 24, size: int = 128, strength: float = 1.0, shift: float = 1.0, seed: int = 0
) -> None:
    """Fill the folder `root` with photographs and their table; arguments as for StandInLondonFaces."""
    from PIL import Image

    rows = []
    for folder in FOLDERS.values():
        (root / folder).mkdir()
    for number in range(1, people + 1):
        looks, rng = np.random.SeedSequence([seed, number]).generate_state(1)[0], np.random.default_rng([seed, number])
        at_rest, smile = shift * 0.2 * rng.standard_normal(), 0.5 * np.exp(shift * 0.5 * rng.standard_normal())
        for emotion, felt in zip(EMOTIONS, (0.0, strength), strict=True):
            valence, arousal = at_rest + smile * felt + 0.05 * rng.standard_normal(), 0.15 * rng.standard_normal()
            picture = draw_face(size, valence, arousal, int(looks), shift).astype(float)
            picture = (picture + 3 * rng.standard_normal(picture.shape)) * np.exp(0.03 * rng.standard_normal())
            path = root / FOLDERS[emotion] / f"{number:03d}_{TAKES[emotion]}.jpg"
            Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(path, quality=92)
        age = "NA" if number == SILENT else rng.integers(18, 55)
        told = rng.choice(["female", "male"]), rng.choice(["white", "west_asian", "black", "east_asian"])
        rows.append((f"{number:03d}", age, *told))
    with (root / "london_faces_info.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("face_id", "face_age", "face_gender", "face_eth"), *rows])
