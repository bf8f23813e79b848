"""A stand-in for WESAD: invented people in its official layout, with a known effect of the state on the body.

Under stress the heart and the lungs work faster, the skin conducts more, muscles are tense, fingers cool and the body
moves; amusement has a little of it, meditation the contrary: slow breath, which the heart follows (Kreibig 2010,
Biological Psychology 84:394). The order of stress and amusement alternates between people, as in the real corpus.
People differ in all levels and in how strongly they respond.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datamodules.corpora.wesad import RATE, STATES, STREAMS, Wesad
from datamodules.standin import python2_pickle
from datamodules.standin.folder import folder_of, write_once

VERSION = 1  # raise it when the files written change
GAP = 2.0  # s between two states, and of a reading, whose label is to be ignored
LAG = 3.0  # s until a change of state is all in the body
_ORDERS = (("Base", "TSST", "Medi 1", "Fun", "Medi 2"), ("Base", "Fun", "Medi 1", "TSST", "Medi 2"))
_LABELS = {"Base": 1, "TSST": 2, "Fun": 3, "Medi 1": 4, "Medi 2": 4, "sRead": 6, "fRead": 7, "": 0}
# Change of: ln heart rate, ln skin conductance, ln breaths, ln muscle tone, °C of the skin, ln movement, ln of how far
# the heart follows the breath. One row a state, none for baseline.
_EFFECTS = np.array(
    [
        (0.00, 0.0, 0.00, 0.0, 0.0, 0.0, 0.0),
        (0.22, 0.5, 0.25, 0.4, -0.4, 0.6, -0.5),
        (0.05, 0.15, 0.10, 0.2, 0.0, 0.3, -0.1),
        (-0.05, -0.15, -0.35, -0.2, 0.1, -0.3, 0.5),
    ]
)
_FEELINGS = {"Base": (6, 3), "TSST": (4, 6), "Fun": (7, 4), "Medi 1": (7, 2), "Medi 2": (7, 2)}  # SAM, 1–9
# A heartbeat as bumps on its phase (McSharry et al. 2003): P Q R S T, each angle (rad), height (mV), width (rad).
_BEAT = np.array([(-1.2, 0.1, 0.25), (-0.26, -0.1, 0.1), (0, 0.9, 0.1), (0.26, -0.2, 0.1), (1.75, 0.25, 0.4)])


class StandInWesad(Wesad):
    """Invented people in WESAD's layout, written under `root` when first asked for and read by the real reader.

    Args:
        root: folder of all stand-ins; this one gets its own folder in it, named by a hash of the settings.
        subjects: how many people, S2, S3 … without S12.
        seconds: length of each of a person's five states.
        strength: size of the states' effect; at 0 they are alike in distribution.
        shift: size of the differences between people; at 0 all are alike in distribution.
        seed: another seed, other people.
    """

    def __init__(
        self,
        root: str = "data/standin",
        subjects: int = 6,
        seconds: float = 20.0,
        strength: float = 1.0,
        shift: float = 1.0,
        seed: int = 0,
    ) -> None:
        self.write = partial(
            write_wesad,
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


def write_wesad(
    root: Path,
    *,
    subjects: int = 6,
    seconds: float = 20.0,
    strength: float = 1.0,
    shift: float = 1.0,
    seed: int = 0,
) -> None:
    """Fill the folder `root` with one folder a person; arguments as for StandInWesad."""
    numbers = [number for number in range(2, subjects + 3) if number != 12][:subjects]
    for number in numbers:
        rng = np.random.default_rng([seed, number])  # so that the first people stay when more are asked for
        name, folder = f"S{number}", root / f"S{number}"
        folder.mkdir()
        session = _schedule(_ORDERS[number % 2], seconds)
        label = np.repeat([_LABELS[what] for what, _, _ in session], [round((b - a) * RATE) for _, a, b in session])
        signal = _signals(_invent(rng, strength, shift), rng, label)
        with (folder / f"{name}.pkl").open("wb") as file:
            recording: python2_pickle.Value = {"signal": signal, "label": label.astype("<i4"), "subject": name}
            python2_pickle.dump(file, recording, protocol=0)
        (folder / f"{name}_quest.csv").write_text(_questionnaire(rng, name, session), encoding="utf-8")
        age, sex = rng.integers(24, 35), rng.choice(["male", "female"])
        notes = f"### Personal information ###\nAge: {age}\nGender: {sex}\nDominant hand: right\n"
        (folder / f"{name}_readme.txt").write_text(notes, encoding="utf-8")


def _schedule(order: tuple[str, ...], seconds: float) -> list[tuple[str, float, float]]:
    """(condition, or nothing for the time between; start; end in s), in the order of time."""
    after = {order[1]: "sRead", order[3]: "fRead"}
    session, now = [("", 0.0, GAP)], GAP
    for condition in order:
        reading = [(after[condition], GAP)] if condition in after else []
        for what, length in [(condition, seconds), *reading, ("", GAP)]:
            session.append((what, now, now + length))
            now += length
    return session


@dataclass(frozen=True)
class _Person:
    """How one body works.

    Args:
        heart, breath: cycles a second at rest.
        skin: µS at rest.
        gains: of ECG, EMG, respiration, BVP, and of the wrist's skin conductance to the chest's.
        warmth: °C of chest and wrist.
        movement: g.
        effects: (4, 7) as _EFFECTS, of this person.
    """

    heart: float
    breath: float
    skin: float
    gains: NDArray[np.float64]
    warmth: NDArray[np.float64]
    movement: float
    effects: NDArray[np.float64]


def _invent(rng: np.random.Generator, strength: float, shift: float) -> _Person:
    """Draw one person; every draw is scaled by `shift`."""

    def differ(spread: float, *shape: int) -> NDArray[np.float64]:
        return np.asarray(np.exp(shift * spread * rng.standard_normal(shape)))

    return _Person(
        heart=1.15 * float(differ(0.12)),
        breath=0.25 * float(differ(0.12)),
        skin=4.0 * float(differ(0.6)),
        gains=np.array([1.0, 1.0, 1.0, 1.0, 0.5]) * differ(0.3, 5),
        warmth=np.array([33.5, 32.5]) + np.log(differ(0.8, 2)),
        movement=0.02 * float(differ(0.3)),
        effects=strength * _EFFECTS * differ(0.35, 1, _EFFECTS.shape[1]),
    )


def _signals(person: _Person, rng: np.random.Generator, label: NDArray[np.int64]) -> dict[str, dict[str, np.ndarray]]:
    """All sensors over the session, in the places and units of the real corpus."""
    state = np.where((label >= 1) & (label <= len(STATES)), label - 1, 0)
    heart, skin, breath, tone, cold, movement, follows = _later(person.effects[state]).T
    count = len(label)

    def wander(spread: float, seconds: float) -> NDArray[np.float64]:
        """(T,) noise that changes so slowly."""
        knots = np.arange(0, count + seconds * RATE, seconds * RATE)
        return np.asarray(spread * np.interp(np.arange(count), knots, rng.standard_normal(len(knots))))

    lungs = _phase(person.breath * np.exp(breath + wander(0.1, 5)))
    beats = _phase(person.heart * np.exp(heart + wander(0.03, 6) + 0.03 * np.exp(follows) * np.sin(lungs)))
    angle = np.angle(np.exp(1j * beats))
    ecg = sum(height * np.exp(-((angle - at) ** 2) / (2 * width**2)) for at, height, width in _BEAT)
    conductance = person.skin * np.exp(skin + wander(0.06, 1))
    shake = person.movement * np.exp(movement) * np.stack([wander(1.0, 0.1) for _ in range(3)], axis=0)
    pulse = np.roll(beats, round(0.2 * RATE))  # it takes that long to the wrist
    bvp = 40 * person.gains[3] * (np.sin(pulse) + 0.4 * np.sin(2 * pulse + 1) + 0.2 * rng.standard_normal(count))
    warmth = person.warmth[:, None] + np.outer([0.3, 1.0], cold) + 0.02 * wander(1.0, 8)
    chest = {
        "ACC": _steps(np.array([0.87, -0.1, -0.3])[:, None] + shake, 2e-4),
        "ECG": _steps(person.gains[0] * (np.asarray(ecg) + 0.03 * rng.standard_normal(count)), 3 / 2**16),
        "EMG": _steps(0.01 * person.gains[1] * np.exp(tone) * rng.standard_normal(count), 3 / 2**16),
        "EDA": _steps(conductance + 0.01 * rng.standard_normal(count), 25 / 2**16),
        "Temp": _steps(warmth[0] + 0.01 * rng.standard_normal(count), 1e-3).astype("<f4"),
        "Resp": _steps(3 * person.gains[2] * (np.sin(lungs) + 0.05 * rng.standard_normal(count)), 100 / 2**16),
    }
    arm = np.array([40.0, -20.0, 45.0])[:, None] + 200 * shake + rng.standard_normal((3, count))
    wrist = {
        "ACC": _steps(arm, 1.0, "wrist_acc"),
        "BVP": _steps(bvp, 0.01, "bvp"),
        "EDA": _steps(person.gains[4] * conductance, 1e-6, "wrist_eda"),
        "TEMP": _steps(warmth[1] + 0.02 * rng.standard_normal(count), 0.02, "wrist_temp"),
    }
    return {"chest": chest, "wrist": wrist}


def _phase(rate: NDArray[np.float64]) -> NDArray[np.float64]:
    """Radians of something that runs through `rate` cycles a second."""
    return np.asarray(2 * np.pi * rate.cumsum() / RATE)


def _later(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(T, K) their mean over the last seconds: the body is slow."""
    count = round(LAG * RATE)
    total = np.cumsum(np.concatenate([np.repeat(values[:1], count, axis=0), values]), axis=0)
    return np.asarray((total[count:] - total[:-count]) / count)


def _steps(values: NDArray[np.float64], step: float, stream: str = "ecg") -> NDArray[np.float64]:
    """(C, T) or (T,) at 700 Hz → (samples, C) at the sensor's rate, in steps of its converter."""
    rate, rows = STREAMS[stream].rate, np.atleast_2d(values)
    at = np.arange(round(rows.shape[1] / RATE * rate)) * RATE / rate
    return np.asarray(np.round(rows[:, at.astype(int)].T / step) * step)


def _questionnaire(rng: np.random.Generator, name: str, session: list[tuple[str, float, float]]) -> str:
    """`SX_quest.csv`: the conditions with their times in minutes.seconds, then the answers to four questionnaires."""
    asked = [what for what, _, _ in session if what in _FEELINGS]
    listed = sorted((s for s in session if s[0]), key=lambda s: s[0].endswith("Read"))  # readings at the end
    times = [[f"{int(s // 60)}.{int(s % 60):02d}" for _, *span in listed for s in [span[edge]]] for edge in (0, 1)]
    felt = [np.clip(np.array(_FEELINGS[what]) + rng.integers(-2, 3, 2), 1, 9) for what in asked]
    rows = [
        ("# Subj", name),
        ("# ORDER", *(what for what, _, _ in listed)),
        ("# START", *times[0]),
        ("# END", *times[1]),
        (),
        *(("# PANAS", *rng.integers(1, 6, 24)) for _ in asked),
        (),
        *(("# STAI", *rng.integers(1, 5, 6)) for _ in asked),
        (),
        *(("# DIM", *answer) for answer in felt),
        (),
        ("# SSSQ", *rng.integers(1, 6, 6)),
    ]
    return "".join(";".join(map(str, row)) + ";;\n" for row in rows)
