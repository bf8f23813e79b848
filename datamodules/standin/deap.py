"""A stand-in for DEAP: invented people in its official layout, with a known effect of valence and arousal in them.

The EEG is 1/f noise and an alpha rhythm of 32 sources under the electrodes, shaped in the frequency domain and mixed
to the scalp. Pleasant trials have less alpha over the left and more over the right forehead (Davidson 1992, Brain and
Cognition 20:125) and more frontal beta; arousing ones have less alpha (as in DEAP itself: Koelstra et al. 2012) and
more central and temporal beta and gamma, and the skin conducts, the heart beats and the lungs breathe a little more.
A trial's effect follows its own rating and starts with the stimulus; the baseline has none. People differ in 1/f
exponent, alpha peak, levels of their rhythms, gains, mixing, and in how strongly and where they respond.

Some people may be filmed too: drawn faces that smile in pleasant trials, the clips numbered as they were presented.
"""

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np

from affect.errors import UserError
from datamodules.corpora.deap import EEG, LABELS, RATE, Deap
from datamodules.standin import python2_pickle
from datamodules.standin.drawn_face import draw_face, write_video
from datamodules.standin.folder import folder_of, write_once

VERSION = 2  # raise it when the files written change
BASELINE = Deap.baseline_seconds
FILM_RATE, FILM_SIZE = 10, 96  # pictures a second; pixels, height and width
_UNFAMILIAR = (2, 15, 23)  # participants of the real corpus who were not asked how familiar the videos were
_UNFILMED = {3: 1, 5: 1, 11: 3, 14: 1}  # participant → clips that the real corpus lacks
# Electrodes seen from above, in radii of the head: x to the right, y to the nose. The right half mirrors the left.
_LEFT = {
    **{"Fp1": (-0.31, 0.95), "AF3": (-0.33, 0.74), "F3": (-0.42, 0.53), "F7": (-0.81, 0.59), "FC5": (-0.70, 0.30)},
    **{"FC1": (-0.22, 0.27), "C3": (-0.50, 0.00), "T7": (-1.00, 0.00), "CP5": (-0.70, -0.30), "CP1": (-0.22, -0.27)},
    **{"P3": (-0.42, -0.53), "P7": (-0.81, -0.59), "PO3": (-0.33, -0.74), "O1": (-0.31, -0.95)},
}
_PLACES = {
    **_LEFT,
    **{f"{name[:-1]}{int(name[-1]) + 1}": (-x, y) for name, (x, y) in _LEFT.items()},
    **{"Fz": (0.0, 0.52), "Cz": (0.0, 0.0), "Pz": (0.0, -0.52), "Oz": (0.0, -1.0)},
}
X, Y = np.array([_PLACES[name] for name in EEG]).T
# A field over the scalp, of unit variance, alike at neighbouring electrodes: FIELD @ white noise.
FIELD = np.linalg.cholesky(np.exp(-((X[:, None] - X) ** 2 + (Y[:, None] - Y) ** 2) / (2 * 0.3**2)) + 1e-6 * np.eye(32))


def _near(y: float, width: float) -> np.ndarray:
    """(32,) weight of each electrode by its distance from the row at height `y`."""
    return np.asarray(np.exp(-((Y - y) ** 2) / (2 * width**2)))


# Change of log power from a neutral to an extreme rating, (32, 4): theta, alpha, beta, gamma.
_FRONT, _CENTRE, _BACK = _near(0.6, 0.35), _near(0.0, 0.35), _near(-0.8, 0.45)
_NOWHERE = np.zeros(32)
VALENCE = 1.2 * np.stack([_NOWHERE, np.clip(2 * X, -1, 1) * _FRONT, 0.6 * _FRONT, _NOWHERE], axis=1)
AROUSAL = 0.9 * np.stack([_NOWHERE, -0.5 * (0.3 + _BACK), 0.35 * _CENTRE, 0.35 * (0.3 + np.abs(X)) * _CENTRE], axis=1)


class StandInDeap(Deap):
    """Invented people in DEAP's layout, written under `root` when first asked for and read by the real reader.

    Args:
        root: folder of all stand-ins; this one gets its own folder in it, named by a hash of the settings.
        subjects: how many people, 1 to 99.
        trials: how many videos, 2 to 40.
        seconds: length of a video; 3 s of baseline come before it.
        strength: size of the effect of valence and arousal; at 0 the signals know nothing of the ratings.
        shift: size of the differences between people; at 0 all are alike in distribution.
        seed: another seed, other people.
        faces: how many of the people were filmed, the first ones; 0 to 22.
    """

    def __init__(
        self,
        root: str = "data/standin",
        subjects: int = 8,
        trials: int = 16,
        seconds: float = 30.0,
        strength: float = 1.0,
        shift: float = 1.0,
        seed: int = 0,
        faces: int = 0,
    ) -> None:
        self.invented = _Settings(subjects, trials, float(seconds), float(strength), float(shift), seed, faces)
        self.stand_ins = Path(root).expanduser()
        super().__init__(str(folder_of(self.stand_ins, self.name, self.invented.facts())))

    def check(self) -> None:
        """Nothing can be amiss yet: the folder is written when first asked for."""

    def ensure(self) -> None:
        write_once(self.stand_ins, self.name, self.invented.facts(), partial(_write, settings=self.invented))


def write_deap(
    root: Path,
    *,
    subjects: int = 8,
    trials: int = 16,
    seconds: float = 30.0,
    strength: float = 1.0,
    shift: float = 1.0,
    seed: int = 0,
    faces: int = 0,
) -> None:
    """Fill the new or empty folder `root` for `Deap` to read, with `standin.json`; arguments as for StandInDeap."""
    settings = _Settings(subjects, trials, float(seconds), float(strength), float(shift), seed, faces)
    root.mkdir(parents=True, exist_ok=True)
    if any(root.iterdir()):
        raise UserError(root, "files are there already", "a new or empty folder", "write the stand-in elsewhere")
    _write(root, settings)
    facts = {"stand_in": True, "corpus": Deap.name, **settings.facts()}
    (root / "standin.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class _Settings:
    subjects: int
    trials: int
    seconds: float
    strength: float
    shift: float
    seed: int
    faces: int

    def __post_init__(self) -> None:
        bounds = {"subjects": (1, 99), "trials": (2, 40), "seconds": (1, 3600), "strength": (0, 100), "shift": (0, 100)}
        for name, (low, high) in {**bounds, "seed": (0, 2**32), "faces": (0, 22)}.items():
            if not low <= getattr(self, name) <= high:
                where = f"data.corpus.{name}"
                raise UserError(where, f"{getattr(self, name)}", f"{low} to {high}", "correct the setting")

    def facts(self) -> dict[str, object]:
        return {"version": VERSION, **asdict(self)}

    @property
    def times(self) -> np.ndarray:
        """(T,) seconds since the stimulus began; the baseline's are negative."""
        return np.arange(round((BASELINE + self.seconds) * RATE)) / RATE - BASELINE


def _write(root: Path, settings: _Settings) -> None:
    (root / "data_preprocessed_python").mkdir()
    rated, asked = [], []
    for number in range(1, settings.subjects + 1):
        # Own generators for every person and kind: more people, or another strength, leave the rest as it was.
        labels = _ratings(settings, number)
        felt = np.tanh((labels[:, :2] - 5.0) / 1.6)
        eeg, seen = _eeg(np.random.default_rng([2, settings.seed, number]), settings, felt)
        body = _body(np.random.default_rng([3, settings.seed, number]), settings, felt[:, 1:])
        with (root / "data_preprocessed_python" / f"s{number:02d}.dat").open("wb") as file:
            python2_pickle.dump(file, {"labels": labels, "data": np.concatenate([eeg, body], axis=1)}, protocol=2)
        facts = np.random.default_rng([4, settings.seed, number])
        rated += _rated(facts, number, labels, seen)
        facts_of = facts.integers(19, 38), facts.choice(["Male", "Female"])
        asked.append((f"S{number:02d}", *facts_of, "Right", "Yesterday, Regularly"))
        if number <= settings.faces:
            _write_faces(root / "face_video", settings, number, felt, seen)
    (root / "metadata_csv").mkdir()
    columns = ("Participant_id", "Trial", "Experiment_id", "Start_time", *map(str.capitalize, LABELS), "Familiarity")
    _write_csv(root / "metadata_csv" / "participant_ratings.csv", columns, rated)
    columns = ("Participant_id", "Age", "Gender", "Handedness", "Coffee consumption")
    _write_csv(root / "metadata_csv" / "participant_questionnaire.csv", columns, asked)


def _write_csv(path: Path, columns: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([columns, *rows])


def _rated(rng: np.random.Generator, number: int, labels: np.ndarray, seen: np.ndarray) -> list[tuple[object, ...]]:
    """One person's rows of `participant_ratings.csv`, in the order of presentation."""
    start = 1_000_000 * rng.uniform(75, 110, len(seen)).cumsum()  # µs since the session began
    rows: list[tuple[object, ...]] = []
    for trial, video in enumerate(np.argsort(seen)):
        familiarity = None if number in _UNFAMILIAR else rng.integers(1, 6)
        ratings = (f"{value:.2f}" for value in labels[video])
        rows.append((number, trial + 1, video + 1, int(start[trial]), *map(float, ratings), familiarity))
    return rows


def _write_faces(root: Path, settings: _Settings, number: int, felt: np.ndarray, seen: np.ndarray) -> None:
    """One person's clips: of the video only, without the baseline, numbered in the order of presentation."""
    folder, rng = root / f"s{number:02d}", np.random.default_rng([5, settings.seed, number])
    folder.mkdir(parents=True)
    looks = int(rng.integers(2**32))
    rests, lively = settings.shift * 0.3 * rng.standard_normal(), np.exp(settings.shift * 0.3 * rng.standard_normal())
    times = np.arange(round(settings.seconds * FILM_RATE)) / FILM_RATE

    @cache
    def drawn(valence: float, arousal: float) -> np.ndarray:
        return draw_face(FILM_SIZE + 4, valence, arousal, looks, settings.shift)

    def film(valence: np.ndarray, arousal: np.ndarray) -> Iterator[np.ndarray]:
        sway = np.rint(2 + 2 * np.sin(0.2 * rng.standard_normal((len(times), 2)).cumsum(axis=0))).astype(int)
        for v, a, (x, y) in zip(np.rint(6 * valence) / 6, np.rint(2 * arousal) / 2, sway, strict=True):
            yield drawn(v, a)[y : y + FILM_SIZE, x : x + FILM_SIZE]  # the head is never quite still

    for trial, video in enumerate(np.argsort(seen)[: len(seen) - _UNFILMED.get(number, 0)], start=1):
        mood = rests + 0.3 * rng.standard_normal() + 0.2 * np.sin(0.5 * times + rng.uniform(0, 2 * np.pi))
        effect = settings.strength * lively * felt[video, :, None] * np.clip(times, 0.0, 1.0)
        faces = film(np.clip(mood + effect[0], -1, 1), np.clip(0.5 * effect[1], -1, 1))
        write_video(folder / f"s{number:02d}_trial{trial:02d}.avi", faces, FILM_RATE)


def _ratings(settings: _Settings, number: int) -> np.ndarray:
    """(trials, 4) valence, arousal, dominance, liking: of the video, the person and chance; 40–60 % lie above 5."""
    video, person = np.random.default_rng([0, settings.seed, 1]), np.random.default_rng([1, settings.seed, number])
    quadrant = video.permutation(np.arange(settings.trials) % 4)
    meant = np.stack([quadrant % 2, quadrant // 2], axis=1) * 2.0 - 1.0
    meant += 0.3 * video.standard_normal(meant.shape)
    valence, arousal = (meant + 0.6 * person.standard_normal(meant.shape)).T
    others = 0.6 * person.standard_normal((2, settings.trials))
    latent = np.stack([valence, arousal, 0.3 * (valence + arousal) + others[0], 0.7 * valence + others[1]], axis=1)
    share = 0.5 + 0.1 * min(settings.shift, 1.0) * person.uniform(-1, 1, 4)
    below = np.clip(np.round(share * settings.trials), 1, settings.trials - 1).astype(int)
    ordered = np.take_along_axis(np.sort(latent, axis=0), np.stack([below - 1, below]), axis=0)
    return np.asarray(np.clip(5.0 + 1.8 * (latent - ordered.mean(axis=0)), 1.0, 9.0))


@dataclass(frozen=True)
class _Person:
    """How one brain sounds.

    Args:
        bands: (4, F) weight of each band at each frequency.
        amplitude: (32, F) of the sources at rest.
        mixing: (32, 32) sources to electrodes, gains and the common average reference included.
        valence, arousal: (32, 4) change of log power at an extreme rating.
    """

    bands: np.ndarray
    amplitude: np.ndarray
    mixing: np.ndarray
    valence: np.ndarray
    arousal: np.ndarray


def _invent(rng: np.random.Generator, shift: float, f: np.ndarray) -> _Person:
    """Draw one person; every draw is scaled by `shift`."""

    def differ(spread: float, *shape: int) -> np.ndarray:
        return np.asarray(shift * spread * rng.standard_normal(shape))

    def respond(common: np.ndarray, part: float) -> np.ndarray:
        # The person's own part is orthogonal to the common one: responses differ in size and place, never in sign.
        own = common.any(axis=0) * (FIELD @ rng.standard_normal((32, 4)))
        own -= common * (own * common).sum() / (common**2).sum()
        own *= shift * part * np.sqrt((common**2).sum() / (own**2).sum())
        return np.asarray(common * np.exp(differ(0.3, 4)) + own)

    peak = np.clip(10.25 + shift * rng.uniform(-1.75, 1.75), 8.5, 12.0)
    centre, width = np.array([[6.0], [peak], [20.0], [38.0]]), np.array([[1.2], [1.3], [5.0], [6.0]])
    bands = np.exp(-((f - centre) ** 2) / (2 * width**2))
    levels = FIELD @ differ(0.7, 32, 4) + differ(0.6, 4)
    alpha = 4.0 * np.exp(differ(0.5)) * (0.15 + _BACK)[:, None] * bands[1]
    power = ((f / 10.0) ** -(1.0 + differ(0.2)) + alpha) * np.exp(levels @ bands)
    nearness = np.exp(-((X[:, None] - X) ** 2 + (Y[:, None] - Y) ** 2) / (2 * 0.35**2))
    mixing = 5.0 * np.exp(differ(0.3, 32, 1)) * (nearness @ (np.eye(32) + differ(0.1, 32, 32)))
    return _Person(bands, np.sqrt(power), mixing - mixing.mean(axis=0), respond(VALENCE, 1.4), respond(AROUSAL, 1.7))


def _eeg(rng: np.random.Generator, settings: _Settings, felt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(trials, 32, T) float32 µV of a person who feels `felt`: (trials, 2) valence and arousal, −1 to 1.

    And (trials,) the place, 0 …, of each video in the order in which this person saw them.
    """
    times, trials = settings.times, len(felt)
    f = np.fft.rfftfreq(len(times), 1 / RATE)
    kept = (f >= 4.0) & (f <= 45.0)
    person = _invent(rng, settings.shift, f[kept])
    # Gain and rhythms wander over the session, and people see the videos in an order of their own.
    seen = rng.permutation(trials)
    walk = rng.standard_normal((5, trials)).cumsum(axis=1)[:, seen] / np.sqrt(trials)
    gain = 0.1 * (walk[4] + rng.standard_normal(trials))
    drift = 0.1 * (walk[:4].T[:, None] + FIELD @ rng.standard_normal((trials, 32, 4)))
    effect = settings.strength * (felt[:, :1, None] * person.valence + felt[:, 1:, None] * person.arousal)
    onset = np.clip(times, 0.0, 1.0).astype(np.float32)
    mixing = person.mixing.astype(np.float32)
    spectrum = np.zeros((2, 32, len(f)), np.complex64)  # at rest, and what the effect adds
    out = np.empty((trials, 32, len(times)), np.float32)
    for trial in range(trials):
        amplitude = person.amplitude * np.exp(gain[trial] + drift[trial] @ person.bands / 2)
        noise = rng.standard_normal((32, kept.sum(), 2), dtype=np.float32).view(np.complex64)[..., 0]
        spectrum[0][:, kept] = amplitude.astype(np.float32) * noise
        spectrum[1][:, kept] = np.expm1(effect[trial] @ person.bands / 2).astype(np.float32) * spectrum[0][:, kept]
        rest, added = np.fft.irfft(spectrum, len(times), norm="ortho")
        out[trial] = mixing @ (rest + onset * added)
    return out, seen


def _body(rng: np.random.Generator, settings: _Settings, arousal: np.ndarray) -> np.ndarray:
    """(trials, 8, T) float64: two EOG, two EMG (µV), GSR (Ohm), respiration, plethysmograph, temperature (°C)."""
    times, trials = settings.times, len(arousal)
    effect = settings.strength * arousal * (1.0 - np.exp(-np.maximum(times, 0.0) / 4.0))  # the body is slow

    def differ(spread: float) -> float:
        return float(settings.shift * spread * rng.standard_normal())

    def noise(low: float, high: float) -> np.ndarray:
        """(trials, T) pink noise of unit variance between two frequencies."""
        f = np.fft.rfftfreq(len(times), 1 / RATE)
        amplitude = np.where((f >= low) & (f <= high), np.maximum(f, low) ** -0.5, 0.0)
        wave = np.fft.irfft(amplitude * (rng.standard_normal((trials, len(f), 2)) @ [1, 1j]), len(times))
        return np.asarray(wave / wave.std())

    def cycles(rate: float, spread: float, response: float, swing: np.ndarray | float = 0.0) -> np.ndarray:
        """(trials, T) phase in radians of something that beats `rate` times a second."""
        speed = rate * np.exp(spread * rng.standard_normal((trials, 1)) + response * effect + swing)
        return np.asarray(2 * np.pi * (speed.cumsum(axis=1) / RATE + rng.uniform(size=(trials, 1))))

    blinked = rng.uniform(times[0], times[-1], (len(times) // 500, trials, 1))
    blinks = sum(np.exp(-(((times - at) / 0.1) ** 2)) for at in blinked)
    breath = cycles(0.25 * np.exp(differ(0.15)), 0.08, 0.03)
    heart = cycles(1.2 * np.exp(differ(0.12)), 0.05, 0.03, swing=0.03 * np.sin(breath))
    skin = 5.0 * np.exp(differ(0.5) + 0.1 * rng.standard_normal((trials, 1)) + 0.04 * effect + 0.05 * noise(0.03, 0.5))
    muscle = np.exp(differ(0.3))
    channels = [
        25.0 * noise(0.3, 10.0),
        25.0 * noise(0.3, 10.0) + 100.0 * blinks,
        muscle * 8.0 * noise(10.0, 60.0),
        muscle * 12.0 * noise(10.0, 60.0),
        1e6 / skin,
        1000.0 * np.exp(differ(0.3)) * (np.sin(breath) + 0.1 * noise(0.05, 2.0)),
        1000.0 * np.exp(differ(0.3)) * (np.sin(heart) + 0.4 * np.sin(2 * heart + 1.0) + 0.1 * noise(0.1, 10.0)),
        33.0 + differ(1.0) + 0.1 * noise(0.03, 0.5),
    ]
    return np.stack(channels, axis=1)
