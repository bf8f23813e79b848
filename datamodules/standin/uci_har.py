"""A stand-in for UCI HAR: the file of its official windows, with a known effect of the activity in them.

Gravity points along the body when it is upright and across it when it lies; steps add a swing at the cadence and its
double. People differ in cadence and vigour, and in how the phone sits at the waist: a rotation of all three sensors,
which is what makes one person's windows strange to a model of another.
"""

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datamodules.corpora.uci_har import ACTIVITIES, FILE, RATE, SAMPLES, UciHar
from datamodules.standin.folder import folder_of, write_once

VERSION = 1  # raise it when the files written change
# Of each activity: gravity in the body's frame (x is up when standing), g; swing, g; steps a second.
GRAVITY = np.array([[1, -0.15, 0], [0.97, -0.25, 0], [1, -0.1, 0], [0.9, 0.3, 0.3], [1, -0.15, 0], [0.1, 0.7, 0.7]])
SWING = np.array([0.25, 0.22, 0.4, 0.0, 0.0, 0.0])
CADENCE = np.array([1.9, 1.6, 2.1, 1.9, 1.9, 1.9])
STANDING = ACTIVITIES.index("standing")


class StandInUciHar(UciHar):
    """Invented people in the layout of UCI HAR, written under `root` when first asked for, read by the real reader.

    Args:
        root: folder of all stand-ins; this one gets its own folder in it, named by a hash of the settings.
        subjects: how many people, 1, 2 …
        trials: windows of each activity a person, 2 or more; 30 % of them are for `test`.
        strength: size of the activity's effect; at 0 everybody stands all the time.
        shift: size of the differences between people; at 0 all are alike in distribution.
        seed: another seed, other people.
    """

    def __init__(
        self,
        root: str = "data/standin",
        subjects: int = 8,
        trials: int = 20,
        strength: float = 1.0,
        shift: float = 1.0,
        seed: int = 0,
    ) -> None:
        self.write = partial(
            write_uci_har,
            subjects=subjects,
            trials=max(2, trials),
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


def write_uci_har(
    root: Path,
    *,
    subjects: int = 8,
    trials: int = 20,
    strength: float = 1.0,
    shift: float = 1.0,
    seed: int = 0,
) -> None:
    """Fill the folder `root` with the one file; arguments as for StandInUciHar."""
    y = np.repeat(np.arange(len(ACTIVITIES)), trials)
    is_test = np.tile(np.arange(trials) >= trials - max(1, round(0.3 * trials)), len(ACTIVITIES))
    x, order = [], []
    for number in range(1, subjects + 1):
        rng = np.random.default_rng([seed, number])  # so that the first people stay when more are asked for
        order.append(rng.permutation(len(y)))
        x.append(_windows(rng, y, strength, shift)[order[-1]])
    np.savez_compressed(
        root / FILE,
        x=np.concatenate(x).astype(np.float16),
        y=np.concatenate([y[o] for o in order]).astype(np.int8),
        subject=np.repeat(np.arange(1, subjects + 1, dtype=np.int8), len(y)),
        is_test=np.concatenate([is_test[o] for o in order]),
    )


def _windows(rng: np.random.Generator, y: NDArray[np.int64], strength: float, shift: float) -> NDArray[np.float64]:
    """(n, 9, 128) of one person: body_acc, body_gyro, total_acc."""
    count, t = len(y), np.arange(SAMPLES) / RATE
    turn = _rotation(0.35 * shift * rng.standard_normal(3))
    vigour, pace = np.exp(shift * np.array([0.2, 0.08]) * rng.standard_normal(2))

    def of(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(values[STANDING] + strength * (values[y] - values[STANDING]))

    phase = 2 * np.pi * (of(CADENCE)[:, None] * pace * t + rng.uniform(size=(count, 1)))
    swing = of(SWING)[:, None, None] * vigour * np.exp(0.15 * rng.standard_normal((count, 1, 1)))
    steps = np.stack([np.sin(phase), 0.5 * np.cos(phase), 0.5 * np.sin(2 * phase)], axis=1)
    body = swing * steps + 0.02 * rng.standard_normal((count, 3, SAMPLES))
    gyro = 2 * swing * np.roll(steps, 1, axis=1) + 0.04 * rng.standard_normal((count, 3, SAMPLES))
    gravity = of(GRAVITY) + 0.1 * rng.standard_normal((count, 3))
    total = body + gravity[:, :, None]
    return np.concatenate([turn @ sensor for sensor in (body, gyro, total)], axis=1)


def _rotation(angle: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3, 3) about the axis along `angle`, by its length in rad (Rodrigues)."""
    size = max(float(np.linalg.norm(angle)), 1e-12)
    x, y, z = angle / size
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + np.sin(size) * cross + (1 - np.cos(size)) * cross @ cross)
