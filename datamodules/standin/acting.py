"""The films of stand-ins for acted speech: a drawn face that goes from rest to an emotion and back."""

from pathlib import Path

import numpy as np

FPS = 10  # pictures a second
FEELINGS = {
    "neutral": (0.0, 0.0),
    "calm": (0.3, -0.4),
    "happiness": (0.9, 0.4),
    "sadness": (-0.7, -0.5),
    "anger": (-0.8, 0.7),
    "fear": (-0.6, 0.9),
    "disgust": (-0.7, 0.1),
    "surprise": (0.2, 0.9),
}
"""Emotion, by its name in voice.py → the valence and arousal the face shows (the circumplex of Russell 1980)."""


def film(path: Path, emotion: str, scale: float, seconds: float, person: int, shift: float) -> None:
    """Write one take.

    Args:
        scale: of valence and arousal; 0 is a face at rest.
        person: number of a person, who looks alike in all takes.
        shift: size of the differences between people.
    """
    from datamodules.standin.drawn_face import draw_face, write_video

    valence, arousal = FEELINGS[emotion]
    parts = scale * np.linspace(0, 1, 5)
    stages = [draw_face(96, part * valence, part * arousal, person, shift) for part in parts]
    count = max(2, round(seconds * FPS))
    way = np.sin(np.pi * (np.arange(count) + 0.5) / count)
    write_video(path, (stages[round(4 * at)] for at in way), FPS)
