"""An invented body under an Empatica E4: what the wristband measures while stress comes and goes, and its csv files.

With stress the heart beats faster and evener, the vessels of the wrist narrow (a smaller pulse), the skin conducts more
and responds more often, and it cools (Kreibig 2010, Biological Psychology 84:394). All of it drifts, too.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from datamodules.formats.empatica import SENSORS

Array = NDArray[np.float64]
RATE = 4  # Hz of the course of stress
LAG = 4.0  # s until the body follows
LATE = 10  # s that the heart rate, a mean over as long, starts later than the rest


class Body(NamedTuple):
    """What differs between people."""

    heart_rate: float
    """Beats a second."""
    conductance: float
    """µS."""
    temperature: float
    """°C."""
    pulse: float
    """Height of a beat in the BVP."""
    lability: float
    """Skin conductance responses a minute at rest."""
    response: Array
    """(heart, skin, temperature, vessels): how strongly stress moves each, 1 on average."""


def invent(rng: np.random.Generator, shift: float) -> Body:
    """Draw one person; every draw is scaled by `shift`."""
    heart, skin, warmth, height, lability = shift * rng.standard_normal(5)
    return Body(
        heart_rate=1.25 * np.exp(0.12 * heart),
        conductance=np.exp(0.9 * skin),
        temperature=33.0 + 1.5 * warmth,
        pulse=40 * np.exp(0.4 * height),
        lability=3 * np.exp(0.4 * lability),
        response=1 + 0.6 * shift * rng.standard_normal(4),
    )


def measure(rng: np.random.Generator, body: Body, stress: Array) -> tuple[dict[str, Array], Array]:
    """What the wristband records of (n,) stress, 0 … 1 or so, at 4 Hz.

    Returns:
        stream → (T, C) in the units of its file, all of the same time but for `hr`, which starts LATE s later and is
        empty in a shorter recording; and (beats, 2): when a beat was, s, and how long after the one before.
    """
    seconds = len(stress) / RATE
    grown = np.convolve(stress, np.exp(-np.arange(8 * LAG * RATE) / (LAG * RATE)))[: len(stress)] / (LAG * RATE)
    clock = np.arange(len(stress)) / RATE

    def drift(size: float) -> Array:
        """By so much at the end of the session, however long it is."""
        return np.asarray(size * np.cumsum(rng.standard_normal(len(stress))) / np.sqrt(len(stress)))

    breath = np.sin(2 * np.pi * np.cumsum(0.25 + 0.03 * grown + drift(0.02)) / RATE)
    heart = np.log(body.heart_rate) + 0.07 * body.response[0] * grown + drift(0.1)
    rate = np.exp(heart + 0.04 * np.exp(-0.3 * grown) * breath + 0.01 * rng.standard_normal(len(stress)))
    fine = np.arange(int(seconds * 64)) / 64
    cycle = np.cumsum(np.interp(fine, clock, rate)) / 64
    vessels = body.pulse * np.exp(np.interp(fine, clock, drift(0.3) - 0.2 * body.response[3] * grown))
    phase = 2 * np.pi * (cycle % 1)
    wave = np.exp(2.5 * (np.cos(phase - 1.6) - 1)) + 0.35 * np.exp(3 * (np.cos(phase - 3.6) - 1))
    bvp = vessels * (wave - 0.4) + 1.5 * rng.standard_normal(len(fine))
    at = np.flatnonzero(np.diff(np.floor(cycle))) / 64
    hr = 60 * np.array([rate[a * RATE : (a + LATE) * RATE].mean() for a in range(max(0, int(seconds) - LATE))])

    often = body.lability / 60 / RATE * np.exp(0.6 * body.response[1] * grown)
    onsets = (rng.uniform(size=len(stress)) < often) * rng.lognormal(-1.5, 0.5, len(stress))
    age = np.arange(30 * RATE) / RATE
    responses = np.convolve(onsets, 2.5 * (np.exp(-age / 3) - np.exp(-age / 0.8)))[: len(stress)]
    level = np.exp(0.2 * body.response[1] * grown + drift(0.4))
    eda = body.conductance * (level + 0.3 * responses) + 0.003 * rng.standard_normal(len(stress))
    temp = body.temperature - 0.3 * body.response[2] * grown + drift(0.8)

    posture = rng.standard_normal(3)
    moves = 2 * np.repeat(rng.standard_normal((-(-len(fine) // 128), 3)) ** 3, 64, axis=0)[: len(fine) // 2]
    acc = 64 * posture / np.linalg.norm(posture) + moves + rng.standard_normal(moves.shape)
    streams = {"bvp": bvp, "eda": np.maximum(eda, 0), "temp": temp, "hr": hr}
    columns = {name: values[:, None] for name, values in streams.items()} | {"acc": np.clip(np.rint(acc), -128, 127)}
    return columns, np.column_stack([at[1:], np.diff(at)])


def write_session(folder: Path, start: int, streams: dict[str, Array], beats: Array) -> None:
    """A session's files as the E4 manager exports them; of the beats those of still moments, as its algorithm."""
    folder.mkdir(parents=True)
    formats = {"bvp": "{:.2f}", "eda": "{:.6f}", "temp": "{:.2f}", "hr": "{:.2f}", "acc": "{:.0f}"}
    for name, values in streams.items():
        sensor = SENSORS[name]
        begin = start + (LATE if name == "hr" else 0)
        head = [", ".join(f"{value:.6f}" for _ in sensor.channels) for value in (begin, sensor.rate)]
        line = ",".join([formats[name]] * values.shape[1]).format
        body = (line(*row) for row in values.tolist())
        (folder / sensor.file).write_text("\n".join([*head, *body]) + "\n", encoding="utf-8")
    kept = [f"{at:.6f},{interval:.6f}" for at, interval in beats.tolist() if int(at / 15) % 2]
    (folder / "IBI.csv").write_text("\n".join([f"{start:.6f}, IBI", *kept]) + "\n", encoding="utf-8")
    (folder / "info.txt").write_text(".csv files in this archive are of an invented person.\n", encoding="utf-8")
