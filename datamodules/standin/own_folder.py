"""A stand-in for a folder of one's own: a small mixed study, as docs/own_data.md describes it, with a known effect.

EEG in arrays, skin conductance in tables, one EDF of the heart a person, a spoken answer in wav. Pleasant trials have
less frontal alpha and a higher voice; in arousing ones (half of each kind) the skin conducts more, the heart is faster
and the voice louder. People differ in all of these, and in how strongly they respond. The first person's last answer is
missing.
"""

from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import soundfile
from numpy.typing import NDArray

from datamodules.corpora.folder import Folder
from datamodules.standin.folder import folder_of, write_once

VERSION = 1  # raise it when the files written change
EEG = ("Fp1", "Fp2", "F3", "F4", "C3", "C4", "O1", "O2")
FRONTAL = np.array([1.0, 1.0, 0.8, 0.8, 0.3, 0.3, 0.0, 0.0])
EEG_RATE, EDA_RATE, ECG_RATE, AUDIO_RATE = 128, 16, 128, 8000
ONSET = 2.0  # s of baseline
FEELINGS = ("calm", "excited", "gloomy", "tense")  # by pleasure, then arousal
ABOUT = f"""streams:
  eeg: {{rate: {EEG_RATE}, channels: [{", ".join(EEG)}], unit: µV}}
  eda: {{rate: {EDA_RATE}, channels: [EDA], unit: µS}}
ratings:
  valence: [1, 9]
  arousal: [1, 9]
"""


class StandInFolder(Folder):
    """Invented people in a folder of one's own, written under `root` when first asked for, read by the real reader.

    Args:
        root: folder of all stand-ins; this one gets its own folder in it, named by a hash of the settings.
        subjects: how many people.
        trials: of each person, a multiple of 4 makes the feelings as many.
        seconds: length of a trial after its 2 s of baseline.
        strength: size of the effects; at 0 the signals know nothing of the ratings.
        shift: size of the differences between people; at 0 all are alike in distribution.
        seed: another seed, other people.
    """

    streams: ClassVar[tuple[str, ...]] = ("eeg", "eda", "ecg", "audio")  # known before the folder is written
    ratings: ClassVar = {"valence": (1.0, 9.0), "arousal": (1.0, 9.0), "feeling": FEELINGS}
    baseline_seconds: ClassVar[float] = ONSET

    def __init__(
        self,
        root: str = "data/standin",
        subjects: int = 6,
        trials: int = 8,
        seconds: float = 8.0,
        strength: float = 1.0,
        shift: float = 1.0,
        seed: int = 0,
    ) -> None:
        self.write = partial(
            write_folder,
            subjects=subjects,
            trials=trials,
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


def write_folder(
    root: Path,
    *,
    subjects: int = 6,
    trials: int = 8,
    seconds: float = 8.0,
    strength: float = 1.0,
    shift: float = 1.0,
    seed: int = 0,
) -> None:
    """Fill the folder `root` with recordings, `trials.csv` and `streams.yaml`; arguments as for StandInFolder."""
    import edfio

    rows = []
    for person in range(1, subjects + 1):
        rng = np.random.default_rng([seed, person])  # so that the first people stay when more are asked for
        name, trait = f"P{person:02d}", shift * rng.standard_normal(8)
        (root / name).mkdir()
        age, sex = int(rng.integers(19, 40)), str(rng.choice(["female", "male"]))
        heart: list[NDArray[np.float64]] = []
        length = round(ONSET + seconds) * ECG_RATE  # whole records of EDF
        for trial, kind in enumerate(rng.permutation(np.arange(trials) % 4), start=1):
            felt = np.array([1.0 if kind < 2 else -1.0, 1.0 if kind % 2 else -1.0])  # pleasure, arousal
            ratings = np.clip(np.round(5 + felt * rng.uniform(1, 4, 2), 1), 1, 9)
            pleasure, arousal = strength * (ratings - 5) / 3 * (1 + 0.3 * trait[:2])
            stem = f"{name}/trial{trial:02d}"
            np.save(root / f"{stem}_eeg.npy", _eeg(rng, trait, pleasure, seconds).astype(np.float32))
            conductance = pd.DataFrame({"EDA": _eda(rng, trait, arousal, seconds)})
            conductance.to_csv(root / f"{stem}_eda.csv", index=False, float_format="%.4f")
            said = person > 1 or trial < trials
            if said:
                soundfile.write(root / f"{stem}.wav", _voice(rng, trait, pleasure, arousal, seconds), AUDIO_RATE)
            rows.append(
                {
                    **{"subject": name, "trial": trial, "stimulus": f"clip{kind + 1}", "onset": ONSET},
                    **{"file.eeg": f"{stem}_eeg.npy", "file.eda": f"{stem}_eda.csv", "file.ecg": f"{name}/heart.edf"},
                    **{"start.ecg": len(heart) * length / ECG_RATE, "stop.ecg": (len(heart) + 1) * length / ECG_RATE},
                    **{"file.audio": f"{stem}.wav" if said else ""},
                    **{"rating.valence": ratings[0], "rating.arousal": ratings[1], "rating.feeling": FEELINGS[kind]},
                    **{"group.age": age, "group.sex": sex},
                }
            )
            heart.append(_ecg(rng, trait, arousal, length))
        signal = edfio.EdfSignal(np.concatenate(heart), ECG_RATE, label="ECG", physical_dimension="uV")
        edfio.Edf([signal]).write(root / name / "heart.edf")
    pd.DataFrame(rows).to_csv(root / "trials.csv", index=False)
    (root / "streams.yaml").write_text(ABOUT, encoding="utf-8")


def _after_onset(samples: int, rate: int, effect: float) -> NDArray[np.float64]:
    """(T,) the effect of the stimulus: none in the baseline, all of it a second later."""
    return np.asarray(effect * np.clip(np.arange(samples) / rate - ONSET, 0, 1))


def _eeg(rng: np.random.Generator, trait: NDArray[np.float64], pleasure: float, seconds: float) -> NDArray[np.float64]:
    """(8, T) µV: 1/f noise and alpha."""
    samples = round((ONSET + seconds) * EEG_RATE)
    f = np.fft.rfftfreq(samples, 1 / EEG_RATE)

    def noise(power: NDArray[np.float64]) -> NDArray[np.float64]:
        white = rng.standard_normal((2, len(EEG), len(f)))
        return np.asarray(np.fft.irfft(np.sqrt(power) * (white[0] + 1j * white[1]), samples))

    background = noise(np.where(f > 0.5, np.maximum(f, 0.5) ** -(1.2 + 0.1 * trait[2]), 0.0))
    alpha = noise(np.exp(-((f - 10 - 0.5 * trait[3]) ** 2) / 2)) * np.exp(0.3 * trait[4])
    change = np.exp(-0.4 * _after_onset(samples, EEG_RATE, pleasure) * FRONTAL[:, None])
    # 40: the standard deviation of a quiet scalp, about 10 µV
    return np.asarray(40 * np.sqrt(samples) * (background + 0.5 * alpha * change) * np.exp(0.2 * trait[5]))


def _eda(rng: np.random.Generator, trait: NDArray[np.float64], arousal: float, seconds: float) -> NDArray[np.float64]:
    """(T,) µS: a level that wanders, and more of it under arousal."""
    samples = round((ONSET + seconds) * EDA_RATE)
    wander = np.cumsum(rng.standard_normal(samples)) * 0.02
    return np.asarray(np.exp(1.0 + 0.3 * trait[6] + 0.08 * _after_onset(samples, EDA_RATE, arousal)) + wander)


def _ecg(rng: np.random.Generator, trait: NDArray[np.float64], arousal: float, samples: int) -> NDArray[np.float64]:
    """(T,) µV: a narrow bump a beat, noise."""
    rate = 1.1 + 0.1 * trait[7] + 0.08 * _after_onset(samples, ECG_RATE, arousal)
    beat = np.cos(2 * np.pi * (np.cumsum(np.clip(rate, 0.7, 2.5)) / ECG_RATE + rng.uniform()))
    return np.asarray(900 * np.exp(60 * (beat - 1)) + 10 * rng.standard_normal(samples))


def _voice(
    rng: np.random.Generator, trait: NDArray[np.float64], pleasure: float, arousal: float, seconds: float
) -> NDArray[np.float32]:
    """(T,) of full scale ±1: pulses at the pitch of a voice, four syllables a second, breath."""
    samples = round((ONSET + seconds) * AUDIO_RATE)
    time = np.arange(samples) / AUDIO_RATE
    higher, louder = (_after_onset(samples, AUDIO_RATE, effect) for effect in (pleasure, arousal))
    pitch = 150 * np.exp(0.2 * trait[6] + 0.1 * higher + 0.05 * rng.standard_normal())
    pulses = np.exp(20 * (np.cos(2 * np.pi * np.cumsum(pitch) / AUDIO_RATE) - 1))
    syllables = np.clip(np.sin(2 * np.pi * 4 * time), 0, None)
    loudness = 0.1 * np.exp(0.3 * trait[7] + 0.25 * louder + 0.1 * rng.standard_normal())
    sound = loudness * pulses * syllables + 0.002 * rng.standard_normal(samples)
    return np.asarray(sound.clip(-1, 1), dtype=np.float32)
