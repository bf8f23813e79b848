"""Face: film → square crops of one size at one rate."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from math import isinf
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat, PositiveInt

from affect.batch import Signal, Video
from affect.preprocessing.step import VideoStep

if TYPE_CHECKING:
    import cv2

Picture = NDArray[np.uint8]
_LONG = 320  # pixels of the longer side of what faces are looked for in
_SMALLEST = 1 / 6  # of its shorter side; smaller ones are no portrait
_PATIENCE = 1.0  # s a face may be lost before it is looked for anywhere
_JITTER = 0.05  # of a face's side; moves of its box are followed as far as they reach this, and smoothed below


class _Box(NamedTuple):
    """A square, in pixels of the picture."""

    x: float
    """Middle."""
    y: float
    side: float


@dataclass(frozen=True)
class FaceCrops(VideoStep):
    """Film → (3, T, size, size) RGB of 8 bit at `rate`; a still gives one picture without time (rate 0).

    The face is found by Viola & Jones's cascade (CVPR 2001; OpenCV's `frontalface_alt2`): the largest in the first
    picture that has one, then the one near it in each picture, small moves of its box smoothed. Where none is found the
    last box holds, the first one for the pictures before it; after a second without one, the largest anywhere.

    Args:
        rate: pictures a second, Hz.
        size: pixels; height and width.
        crop: the face, the largest square in the middle, or nothing (the whole picture, its sides made equal).
        margin: widens the cascade's box, which ends at brows and chin, on every side by this share of it.
    """

    rate: PositiveFloat = 5.0
    size: PositiveInt = 64
    crop: Literal["face", "centre", "none"] = "face"
    margin: Annotated[float, Field(ge=0, le=1)] = 0.1

    def __call__(self, video: Video) -> Signal:
        import cv2

        cv2.setNumThreads(1)  # people are prepared in parallel
        if self.crop == "face":
            crops = [self._cut(picture, box) for picture, box in _followed(video, self.rate)]
        else:
            crops = [self._cut(picture, None) for picture in video.frames(self.rate)]
        if not crops:
            raise ValueError("no pictures")
        rate = 0.0 if isinf(video.seconds) else self.rate
        return Signal(np.stack(crops, axis=1), rate, ("red", "green", "blue"), "8 bit")

    def _cut(self, picture: Picture, box: _Box | None) -> Picture:
        """(3, size, size), of the square inside the picture that is nearest to the one wanted."""
        import cv2

        height, width = picture.shape[:2]
        if self.crop != "none":
            box = box or _Box(width / 2, height / 2, min(height, width))
            side = min(round(box.side * (1 + 2 * self.margin * (self.crop == "face"))), height, width)
            top = int(np.clip(round(box.y - side / 2), 0, height - side))
            left = int(np.clip(round(box.x - side / 2), 0, width - side))
            picture = picture[top : top + side, left : left + side]
        shrinks = min(picture.shape[:2]) >= self.size
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        resized = cv2.resize(np.ascontiguousarray(picture), (self.size, self.size), interpolation=how)
        return np.ascontiguousarray(resized.transpose(2, 0, 1))


def _followed(video: Video, rate: float) -> Iterator[tuple[Picture, _Box]]:
    """Every picture with the box of its face."""
    count = 0
    for count, picture in enumerate(video.frames(rate), start=1):  # noqa: B007
        if box := _find(picture, None):
            break
    else:
        raise ValueError(f"no face in {count} frames")
    lost = 0
    for picture in video.frames(rate):  # again from the start: the pictures before the first face were not kept
        found = _find(picture, box)
        if found:
            moves = [new - old for new, old in zip(found, box, strict=True)]
            weight = min(1.0, max(0.2, max(map(abs, moves)) / (_JITTER * box.side)))
            box = _Box(*(old + weight * move for old, move in zip(box, moves, strict=True)))
            lost = 0
        elif (lost := lost + 1) > _PATIENCE * rate:
            box = _find(picture, None) or box
        yield picture, box


def _find(picture: Picture, near: _Box | None) -> _Box | None:
    """The largest face; with `near`, of those of about its size and place."""
    import cv2

    height, width = picture.shape[:2]
    top, bottom, left, right = 0, height, 0, width
    smallest, largest = _SMALLEST * min(height, width), float(min(height, width))
    if near:
        top, bottom = max(0, int(near.y - near.side)), min(height, int(near.y + near.side) + 1)
        left, right = max(0, int(near.x - near.side)), min(width, int(near.x + near.side) + 1)
        smallest, largest = 0.7 * near.side, 1.4 * near.side
    scale = min(1.0, _LONG / max(height, width))
    region = np.ascontiguousarray(picture[top:bottom, left:right])
    grey = cv2.cvtColor(region, cv2.COLOR_RGB2GRAY)
    if scale < 1:
        grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    limits = [(round(scale * side),) * 2 for side in (smallest, largest)]
    found = _cascade().detectMultiScale(grey, 1.1, 3, minSize=limits[0], maxSize=limits[1])
    if len(found) == 0:
        return None
    x, y, side, _ = max(found, key=lambda face: int(face[2]))
    return _Box(left + (x + side / 2) / scale, top + (y + side / 2) / scale, side / scale)


@cache
def _cascade() -> "cv2.CascadeClassifier":
    import cv2
    from cv2.data import haarcascades

    return cv2.CascadeClassifier(haarcascades + "haarcascade_frontalface_alt2.xml")
