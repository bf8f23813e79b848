"""A stand-in for Stress-Predict: invented sessions of an Empatica E4 in its official layout, with a known effect.

Everyone does the corpus's seven stretches in its order, each of the same length. In the three that are labelled as
stress the body is stressed (see standin/empatica.py). As in the corpus, the recording starts 9 s before the labels,
streams end some seconds apart, and the last second has no heart rate.
"""

from functools import partial
from pathlib import Path

import numpy as np

from datamodules.corpora.stress_predict import LABELS, ORDER, StressPredict
from datamodules.standin.empatica import LATE, RATE, invent, measure, write_session
from datamodules.standin.folder import folder_of, write_once

VERSION = 1  # raise it when the files written change
START = 1_644_231_372  # Unix s of the first session
EARLY = LATE - 1  # s from the start of the recording to the first label
STREAMS = ("bvp", "eda", "temp", "hr", "acc")


class StandInStressPredict(StressPredict):
    """Invented people in Stress-Predict's layout, written under `root` when first asked for, read by the real reader.

    Args:
        root: folder of all stand-ins; this one gets its own folder in it, named by a hash of the settings.
        subjects: how many people, S02, S03 …
        seconds: length of each of a person's seven stretches; whole seconds are kept.
        strength: size of stress's effect; at 0 all stretches are alike in distribution.
        shift: size of the differences between people; at 0 all are alike in distribution.
        seed: another seed, other people.
    """

    def __init__(
        self,
        root: str = "data/standin",
        subjects: int = 8,
        seconds: float = 120.0,
        strength: float = 1.0,
        shift: float = 1.0,
        seed: int = 0,
    ) -> None:
        self.write = partial(
            write_stress_predict,
            subjects=subjects,
            seconds=float(seconds),
            strength=float(strength),
            shift=float(shift),
            seed=seed,
        )
        self.invented = {"version": VERSION, **self.write.keywords}
        self.stand_ins = Path(root).expanduser()
        super().__init__(str(folder_of(self.stand_ins, self.name, self.invented)))

    def check(self) -> None:
        """Nothing can be amiss yet: the folder is written when first asked for."""

    def ensure(self) -> None:
        write_once(self.stand_ins, self.name, self.invented, self.write)


def write_stress_predict(
    root: Path,
    *,
    subjects: int = 8,
    seconds: float = 120.0,
    strength: float = 1.0,
    shift: float = 1.0,
    seed: int = 0,
) -> None:
    """Fill the folder `root` with `Raw_data` and the table of labels; arguments as for StandInStressPredict."""
    length = max(1, int(seconds))
    label = np.repeat([i % 2 for i in range(len(ORDER))], length)
    rows = ["Participant,HR,respr,Time(sec),Label"]
    for number in range(2, subjects + 2):
        rng = np.random.default_rng([seed, number])  # so that the first people stay when more are asked for
        start = START + 86_400 * number
        course = np.pad(np.repeat(label, RATE), (EARLY * RATE, 0)) * float(strength)
        streams, beats = measure(rng, invent(rng, shift), np.append(course, [0.0] * (2 * RATE)))
        ends = {"bvp": 64, "eda": 2 * RATE, "temp": 0, "hr": 0, "acc": 32}  # samples before the end of the session
        streams = {name: streams[name][: len(streams[name]) - ends[name]] for name in STREAMS}
        folder = root / "Raw_data" / f"S{number:02d}"
        write_session(folder, start, streams, beats)
        tags = [start + EARLY + length * i for i in range(1, len(ORDER))]
        (folder / f"tags_S{number:02d}.csv").write_text("".join(f"{tag}\n" for tag in tags), encoding="utf-8")
        breaths = 13 + 0.5 * rng.standard_normal(len(label))
        heart = [f"{value:.2f}" for value in streams["hr"][: len(label) - 1, 0]] + [""]
        rows += [
            f"{number},{hr},{breath:.8f},{start + EARLY + i},{stress}"
            for i, (hr, breath, stress) in enumerate(zip(heart, breaths, label.tolist(), strict=True))
        ]
    (root / LABELS).parent.mkdir()
    (root / LABELS).write_text("\n".join(rows) + "\n", encoding="utf-8")
