"""A stand-in for DREAMER: invented people in its one file, with a known effect of valence and arousal in them.

How they sound is in `epoc`. As in the real file the EEG is raw: in steps of the headset's converter, with its offset
and slow drifts; the ECG is in steps of its converter; baselines stand apart from the films, and films differ in length.
"""

import json
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from affect.errors import UserError
from datamodules.corpora.dreamer import EEG, STREAMS, Dreamer
from datamodules.standin import epoc
from datamodules.standin.folder import folder_of, write_once

VERSION = 1  # raise it when the files written change
BASELINE = 8.0  # s; 61 in the real file
STEP, OFFSET = 0.51, 4200.0  # µV: of the headset's 14 bits, and in the middle of its range


class StandInDreamer(Dreamer):
    """Invented people in DREAMER's layout, written under `root` when first asked for and read by the real reader.

    Args:
        root: folder of all stand-ins; this one gets its own folder in it, named by a hash of the settings.
        subjects: how many people, 1 to 99.
        trials: how many films, 2 to 99; 18 in the real file.
        seconds: mean length of the films; 8 s of baseline come before each.
        strength: size of the effect of valence and arousal; at 0 the signals know nothing of the ratings.
        shift: size of the differences between people; at 0 all are alike in distribution.
        seed: another seed, other people.
    """

    def __init__(
        self,
        root: str = "data/standin",
        subjects: int = 8,
        trials: int = 18,
        seconds: float = 20.0,
        strength: float = 1.0,
        shift: float = 1.0,
        seed: int = 0,
    ) -> None:
        self.invented = _Settings(subjects, trials, float(seconds), float(strength), float(shift), seed)
        self.stand_ins = Path(root).expanduser()
        super().__init__(str(folder_of(self.stand_ins, self.name, self.invented.facts())))

    def check(self) -> None:
        """Nothing can be amiss yet: the folder is written when first asked for."""

    def ensure(self) -> None:
        write_once(self.stand_ins, self.name, self.invented.facts(), partial(_write, settings=self.invented))


def write_dreamer(
    root: Path,
    *,
    subjects: int = 8,
    trials: int = 18,
    seconds: float = 20.0,
    strength: float = 1.0,
    shift: float = 1.0,
    seed: int = 0,
) -> None:
    """Write `DREAMER.mat` and `standin.json` into `root` for `Dreamer` to read; arguments as for StandInDreamer."""
    settings = _Settings(subjects, trials, float(seconds), float(strength), float(shift), seed)
    _write(root, settings)
    facts = {"stand_in": True, "corpus": Dreamer.name, **settings.facts()}
    (root / "standin.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class _Settings:
    subjects: int
    trials: int
    seconds: float
    strength: float
    shift: float
    seed: int

    def __post_init__(self) -> None:
        bounds = {"subjects": (1, 99), "trials": (2, 99), "seconds": (1, 3600), "strength": (0, 100), "shift": (0, 100)}
        for name, (low, high) in {**bounds, "seed": (0, 2**32)}.items():
            if not low <= getattr(self, name) <= high:
                where = f"data.corpus.{name}"
                raise UserError(where, f"{getattr(self, name)}", f"{low} to {high}", "correct the setting")

    def facts(self) -> dict[str, object]:
        return {"version": VERSION, **asdict(self)}


def _write(root: Path, settings: _Settings) -> None:
    content = {
        "Data": _cells([_person(settings, number) for number in range(1, settings.subjects + 1)], row=True),
        "EEG_SamplingRate": STREAMS["eeg"][0],
        "ECG_SamplingRate": STREAMS["ecg"][0],
        "EEG_Electrodes": _cells(EEG, row=True),
        "noOfSubjects": float(settings.subjects),
        "noOfVideoSequences": float(settings.trials),
        "Disclaimer": "These people are invented.",
        "Provider": "stand-in",
        "Version": "1.0.2",
        "Acknowledgement": "",
    }
    epoc.save(root / "DREAMER.mat", {"DREAMER": content})


def _person(settings: _Settings, number: int) -> dict[str, Any]:
    """One person's struct. Own generators for each: more people, or another strength, leave the rest as it was."""
    latent = epoc.feelings(settings.seed, number, settings.trials, settings.shift)
    scores = np.clip(np.round(3.5 + 1.1 * latent), 1, 5)  # 4 and 5 where the feeling is above the person's middle
    felt = settings.strength * np.tanh((scores - 3.5) / 1.0)
    lengths = settings.seconds * np.random.default_rng([2, settings.seed]).uniform(0.75, 1.25, settings.trials)
    facts = np.random.default_rng([3, settings.seed, number])
    person = epoc.invent(facts, settings.shift)
    parts: dict[str, dict[str, list[epoc.Array]]] = {name: {"baseline": [], "stimuli": []} for name in ("EEG", "ECG")}
    for i, seconds in enumerate(lengths):
        rng = np.random.default_rng([4, settings.seed, number, i])
        for name, signal in zip(("EEG", "ECG"), _signals(rng, person, felt[i], float(seconds)), strict=True):
            start = round(BASELINE * STREAMS[name.lower()][0])
            parts[name]["baseline"].append(signal[:start])
            parts[name]["stimuli"].append(signal[start:])
    return {
        "Age": str(facts.integers(22, 34)),
        "Gender": str(facts.choice(["male", "female"])),
        **{name: {part: _cells(cells) for part, cells in recorded.items()} for name, recorded in parts.items()},
        "ScoreValence": scores[:, :1],
        "ScoreArousal": scores[:, 1:],
        "ScoreDominance": np.clip(np.round(3.0 + facts.standard_normal((settings.trials, 1))), 1, 5),
    }


def _signals(
    rng: np.random.Generator, person: epoc.Person, felt: epoc.Array, seconds: float
) -> tuple[epoc.Array, epoc.Array]:
    """(T, 14) µV and (T', 2) steps, baseline first."""
    fast = epoc.times(BASELINE, seconds, STREAMS["eeg"][0])
    eeg = OFFSET + epoc.eeg(rng, person, felt, fast, 0.2, 45.0)
    ecg = epoc.ecg(rng, person, float(felt[1]), epoc.times(BASELINE, seconds, STREAMS["ecg"][0]), STREAMS["ecg"][0])
    return STEP * np.round(eeg / STEP), np.clip(np.round(2048 + ecg), 0, 4095)


def _cells(values: Any, row: bool = False) -> np.ndarray:
    """A cell array, (n, 1) or (1, n)."""
    cells = np.empty(len(values), dtype=object)
    cells[:] = values
    return cells[None] if row else cells[:, None]
