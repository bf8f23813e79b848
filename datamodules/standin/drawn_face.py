"""A drawn face for stand-ins: simple shapes in soft light, that a face detector takes for a face; and films of it.

Valence bends the mouth, lifts the cheeks and narrows the eyes; arousal opens eyes and mouth and lifts the brows: the
directions of Ekman & Friesen's Facial Action Coding System (1978; AU 12 and 6, AU 5, 26 and 1 + 2).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
# From light to dark; people lie anywhere between
SKINS = np.array([(241, 208, 185), (228, 180, 150), (205, 150, 115), (165, 112, 80), (125, 82, 58)], float)
HAIRS = np.array([(35, 28, 25), (70, 45, 30), (115, 80, 45), (180, 150, 95), (150, 145, 140)], float)


def draw_face(
    size: int, valence: float, arousal: float, person: np.random.Generator | int, shift: float = 1.0
) -> NDArray[np.uint8]:
    """A face from the front, (size, size, 3) RGB.

    Args:
        size: pixels; from 96 on, OpenCV's frontal cascade finds the face.
        valence, arousal: −1 to 1, as far as the face shows them; beyond is clipped.
        person: number of a person, who looks alike whenever drawn, or a generator that a new one is drawn from.
        shift: size of the differences between people; at 0 all look alike.
    """
    looks = _invent(np.random.default_rng(person), shift)
    canvas = _Canvas(size, looks.ground)
    _head(canvas, looks)
    _features(canvas, looks, float(np.clip(valence, -1, 1)), float(np.clip(arousal, -1, 1)))
    return np.clip(np.rint(canvas.picture), 0, 255).astype(np.uint8)


def write_video(path: Path, frames: Iterable[NDArray[np.uint8]], fps: float) -> None:
    """Write (H, W, 3) RGB pictures, of even height and width: as MPEG-4 in .avi, else as H.264 where FFmpeg has it."""
    from fractions import Fraction

    import av

    frames = iter(frames)
    first = next(frames)
    h264 = path.suffix.lower() != ".avi" and "libx264" in av.codecs_available
    # bitexact: no date and no version, so that the same pictures give the same bytes
    with av.open(str(path), "w", options={"fflags": "bitexact"}) as container:
        stream = container.add_stream("libx264" if h264 else "mpeg4", rate=Fraction(fps).limit_denominator(1001))
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        stream.codec_context.options = {"preset": "veryfast", "crf": "20"} if h264 else {"qmin": "3", "qmax": "3"}
        for picture in chain([first], frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
        container.mux(stream.encode(None))


@dataclass(frozen=True)
class _Looks:
    """Of a person; lengths in half widths of the picture, colours RGB from 0 to 255."""

    skin: Array
    hair: Array
    ground: Array
    width: float
    eyes: float
    """Their distance from the middle."""
    brows: float
    """Their thickness."""
    nose: float
    mouth: float
    """Half their width."""
    fringe: float
    """Where the hair ends."""
    light: float
    """From −1, the left, to 1, the right."""


def _invent(rng: np.random.Generator, shift: float) -> _Looks:
    """Draw one person; every draw is scaled by `shift`."""

    def between(low: float, high: float) -> float:
        middle, half = (low + high) / 2, (high - low) / 2
        return float(np.clip(middle + shift * half * rng.uniform(-1, 1), low, high))

    def tone(colours: Array) -> Array:
        at = between(0, len(colours) - 1)
        return np.array([np.interp(at, np.arange(len(colours)), channel) for channel in colours.T])

    return _Looks(
        skin=tone(SKINS),
        hair=tone(HAIRS) * between(0.6, 0.9),
        ground=between(120, 230) + np.array([between(-12, 12) for _ in range(3)]),
        width=between(0.54, 0.61),
        eyes=between(0.23, 0.26),
        brows=between(0.022, 0.04),
        nose=between(0.07, 0.1),
        mouth=between(0.18, 0.23),
        fringe=between(-0.66, -0.52),
        light=between(-1, 1),
    )


class _Canvas:
    """A square picture, x and y from −1 to 1, y down, painted in soft-edged shapes.

    Args:
        size: pixels.
        ground: colour.
    """

    def __init__(self, size: int, ground: Array) -> None:
        axis = (np.arange(size, dtype=np.float32) + 0.5) * 2 / size - 1
        self.x, self.y = axis[None, :], axis[:, None]
        self.pixel = 2 / size
        self.picture: Array = np.broadcast_to(ground, (size, size, 3)).astype(np.float32)

    def paint(self, mask: Array, colour: Array) -> None:
        self.picture += mask[..., None] * (colour - self.picture)

    def shade(self, mask: Array, factor: float) -> None:
        """Make darker (factor < 1) or lighter."""
        self.picture *= 1 + (factor - 1) * mask[..., None]

    def ellipse(self, x: float, y: float, width: float, height: float, soft: float = 0.0) -> Array:
        """Mask of an ellipse of these half axes, its edge `soft` wide."""
        radius = np.sqrt(((self.x - x) / width) ** 2 + ((self.y - y) / height) ** 2)
        return np.clip((1 - radius) * min(width, height) / max(soft, self.pixel) + 0.5, 0, 1)

    def glow(self, x: float, y: float, width: float, height: float) -> Array:
        """Mask of a Gaussian spot."""
        return np.exp(-(((self.x - x) / width) ** 2) - ((self.y - y) / height) ** 2)

    def stroke(self, x: float, half: float, middle: Array, thickness: float) -> Array:
        """Mask of a line along y = `middle` (1, size), from x − half to x + half, thinner at its ends."""
        along = np.clip(1 - ((self.x - x) / half) ** 2, 0, 1)
        across = thickness * np.sqrt(along) - np.abs(self.y - middle)
        return np.clip(across / self.pixel + 0.5, 0, 1) * (along > 0)


def _head(canvas: _Canvas, looks: _Looks) -> None:
    """Hair, shoulders, neck, ears and the skin in its light."""
    x, y, width = canvas.x, canvas.y, looks.width
    hair = canvas.ellipse(0, -0.18, width + 0.1, 0.76, 0.04)
    canvas.paint(hair, looks.hair)
    canvas.paint(canvas.ellipse(0, 1.15, 0.95, 0.35, 0.03), 0.35 * looks.ground)
    canvas.paint(canvas.ellipse(0, 0.8, 0.27, 0.4, 0.05), 0.72 * looks.skin)
    for side in (-1, 1):
        canvas.paint(canvas.ellipse(side * width, 0.02, 0.07, 0.15, 0.03), 0.8 * looks.skin)
    face = canvas.ellipse(0, 0.03, width, 0.78, 0.04)
    canvas.paint(face, looks.skin)
    canvas.shade(face * np.clip((x / width) ** 2 + (y / 0.85) ** 2, 0, 1) ** 2, 0.72)  # it is round
    canvas.shade(face * np.clip(0.5 - 0.5 * looks.light * x, 0, 1), 0.86)
    canvas.paint(hair * np.clip((looks.fringe + 0.35 * x**2 - y) / 0.06 + 0.5, 0, 1), looks.hair)


def _features(canvas: _Canvas, looks: _Looks, valence: float, arousal: float) -> None:
    """Eyes, brows, nose and mouth, as valence and arousal move them."""
    x, smile, frown = canvas.x, max(valence, 0.0), max(-valence, 0.0)
    white, iris, lash = (np.array(c, np.float32) for c in ((205, 200, 196), (45, 32, 26), (40, 28, 24)))
    brow = np.minimum(0.7 * looks.hair, 0.5 * looks.skin)  # darker than the skin, whatever the hair
    eye, opening = -0.12, 0.055 * (1 + 0.45 * arousal - 0.2 * smile)
    for side in (-1, 1):
        at = side * looks.eyes
        canvas.shade(canvas.glow(at, eye - 0.02, 0.2, 0.13), 0.62)  # the socket
        canvas.shade(canvas.glow(side * 0.33, 0.2 - 0.04 * valence, 0.17, 0.14), 1.1 + 0.06 * smile)  # the cheek
        inside = canvas.ellipse(at, eye, 0.115, opening)
        canvas.paint(inside, white)
        canvas.paint(inside * canvas.ellipse(at, eye, 0.055, 0.055), iris)
        lid = eye - opening * np.sqrt(np.clip(1 - ((x - at) / 0.125) ** 2, 0, 1))
        canvas.paint(canvas.stroke(at, 0.13, lid, 0.018), lash)
        out = side * (x - at)  # towards the temple
        arch = eye - 0.16 - 0.05 * arousal + 0.03 * frown + 0.9 * out**2 - 0.25 * frown * out
        canvas.paint(canvas.stroke(at, 0.17, arch, looks.brows), brow)
        canvas.shade(canvas.glow(side * looks.nose, 0.2, 0.035, 0.03), 0.55)  # the nostril
        canvas.shade(canvas.glow(side * (looks.nose + 0.02), 0.08, 0.05, 0.16), 0.86)
    canvas.shade(canvas.glow(0, 0.0, 0.05, 0.2), 1.14)  # the bridge of the nose
    canvas.shade(canvas.glow(0, 0.24, 0.12, 0.04), 0.8)
    half, gap = looks.mouth * (1 + 0.2 * valence), 0.012 + 0.04 * max(arousal, 0.0) + 0.02 * smile
    lips = 0.46 - 0.13 * valence * ((x / half) ** 2 - 0.4)
    canvas.paint(canvas.stroke(0, half, lips, gap + 0.04), looks.skin * np.array([0.72, 0.45, 0.45], np.float32))
    canvas.paint(canvas.stroke(0, 0.9 * half, lips, gap), np.array([60, 22, 24], np.float32))
    canvas.shade(canvas.glow(0, 0.6, 0.14, 0.04), 0.82)  # below the lips
    for side in (-1, 1):
        canvas.shade(canvas.glow(side * (half + 0.06), 0.36, 0.03, 0.1), 1 - 0.25 * smile)  # the fold beside them
