"""Sound and film on disk."""

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import cached_property
from heapq import heappop, heappush
from itertools import repeat
from math import ceil, inf
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray

from affect.batch import Signal, Video
from affect.errors import UserError

if TYPE_CHECKING:
    from av import VideoFrame, VideoStream
    from av.container import InputContainer

SOUND = (".wav", ".flac", ".ogg", ".opus", ".mp3")
FILM = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".wmv", ".flv", ".mpg", ".mpeg")
STILL = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
SLACK = 1.0  # s that may be missing at the end of a film, or be lost in it: the picture before stands in
_TICK = 1e-3  # s; containers round time stamps
_REACH = 16  # pictures; no codec reorders over more
_AGAIN = "download the file again"


def read_sound(path: Path) -> Signal:
    """A sound file as (1, T) float32 of full scale ±1 at its own rate, its channels averaged."""
    try:
        with path.open("rb") as file:
            head, size = file.read(8), path.stat().st_size
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError) as error:
        raise UserError(path, f"no readable sound ({error})", "a wav, flac, ogg or opus clip", _AGAIN) from error
    # Of a truncated wav soundfile gives what is left; the other formats make it raise.
    if head[:4] == b"RIFF" and (whole := int.from_bytes(head[4:], "little") + 8) > size + 1:
        raise UserError(path, f"{size} bytes under a header that announces {whole}", "a whole wav file", _AGAIN)
    if len(samples) == 0:
        raise UserError(path, "a sound file without samples", "a clip of speech", _AGAIN)
    return Signal(np.ascontiguousarray(samples.mean(axis=1)[None]), float(rate), ("mono",), "amplitude")


def sound_of(path: Path) -> Signal:
    """The sound of a film as (1, T) float32 of full scale ±1 at its own rate, its channels averaged."""
    import av

    with _opened(path) as container:
        convert, blocks = av.AudioResampler(format="fltp"), []
        for frame in container.decode(container.streams.audio[0]) if container.streams.audio else ():
            blocks += [block.to_ndarray().mean(axis=0) for block in convert.resample(frame)]
        if not blocks:
            raise UserError(path, "no sound", "a film with sound", _AGAIN)
        return Signal(np.concatenate(blocks)[None], float(container.streams.audio[0].rate), ("mono",), "amplitude")


class VideoFile(Video):
    """A span of a film on disk, or a still picture; the file is open only while it is read.

    A picture is shown from its time stamp until that of the next one, so a film of variable frame rate keeps its
    time. Time 0 of the file is where a player starts it.

    Args:
        path: a film that FFmpeg reads, or a still: one of the endings `STILL`.
        start: s into the file where the span starts. Negative: the file starts that much later than the span, and
            its first picture stands in for the lead.
        seconds: length of the span; None: to the end of the film. Of a still, start and seconds mean nothing.
    """

    def __init__(self, path: Path, start: float = 0.0, seconds: float | None = None) -> None:
        self.path, self.start, self.span = Path(path), start, seconds
        self.still = self.path.suffix.lower() in STILL
        self.where = str(path) if start == 0 else f"{path}, from {start:g} s"

    @cached_property
    def seconds(self) -> float:  # type: ignore[override]  # nobody sets it
        """Length of the span; of a whole film, by its header, else by counting."""
        if self.still:
            return inf
        if self.span is not None:
            return self.span
        with _film(self.path) as (container, stream):
            end = _end(container, stream)
        if end <= self.start:
            raise UserError(self.where, f"a film that ends at {end:.3g} s", "one that lasts longer", _AGAIN)
        return end - self.start

    def frames(self, rate: float) -> Iterator[NDArray[np.uint8]]:
        if self.still:
            yield _picture(self.path)
            return
        count = max(1, ceil(self.seconds * rate - 1e-6))
        given, shown = 0, None
        with closing(_from(self.path, self.start)) as pictures:
            for following in pictures:
                if shown is not None:
                    due = min(count, ceil((following.at - self.start - _TICK) * rate))
                    yield from _copies(shown, due - given)
                    given = max(given, due)
                if given == count:
                    return
                shown = following
        if shown is None:
            raise UserError(self.path, "no picture that can be decoded", "a film of a face", _AGAIN)
        if shown.until + SLACK < self.start + self.seconds:
            raise UserError(
                self.where,
                f"a film that ends at {shown.until:.3g} s",
                f"one that lasts until {self.start + self.seconds:.3g} s",
                f"{_AGAIN}, or leave the trial out with --data.bad_trials=drop",
            )
        yield from _copies(shown, count - given)


class _Shown(NamedTuple):
    """A decoded picture and when it is shown, in s."""

    at: float
    until: float
    frame: "VideoFrame"


def _from(path: Path, start: float) -> Generator[_Shown, None, None]:
    """The pictures in order; the first one is shown at `start` or before it, where the film reaches so far back."""
    for seek in (start, None) if start > SLACK else (None,):
        with closing(_decoded(path, seek)) as pictures:
            first = next(pictures, None)
            # Where its index is wrong or missing, a file is sought in badly: then from the beginning.
            if first and (seek is None or (first.frame.key_frame and first.at <= start + _TICK)):
                yield first
                yield from pictures
                return


def _decoded(path: Path, seek: float | None) -> Generator[_Shown, None, None]:
    """The pictures in order, from the last key frame before `seek` s."""
    import av

    with _film(path) as (container, stream):
        origin, usual = _origin(container), float(1 / stream.average_rate) if stream.average_rate else 0.0
        if seek is not None and stream.start_time is not None:
            with suppress(av.error.FFmpegError):  # not every film can be sought in
                container.seek(int((seek + origin) / _tick(stream)), stream=stream)
        damaged, until = False, 0.0 if seek is None else inf

        def readable() -> Iterator["VideoFrame"]:
            nonlocal damaged
            for packet in container.demux(stream):
                try:
                    yield from packet.decode()
                except av.error.InvalidDataError:
                    damaged = True  # go on as a player does, unless too much is lost

        for stamp, frame in _ordered(readable(), usual, _REACH if stream.codec_context.has_b_frames else 0):
            at = stamp - origin
            if damaged and at > until + SLACK:
                found = f"pictures from {until:.3g} to {at:.3g} s that cannot be decoded"
                raise UserError(path, found, "a whole film", _AGAIN)
            until = at + (frame.duration * _tick(stream) or usual)
            yield _Shown(at, until, frame)


def _ordered(frames: Iterable["VideoFrame"], usual: float, reach: int) -> Iterator[tuple[float, "VideoFrame"]]:
    """(time stamp in s, picture).

    Pictures come in the order they are shown, but not always their stamps: AVI has none, and what FFmpeg puts in
    their place comes in the order of the file. So stamps are sorted, `reach` pictures ahead.
    """
    stamps: list[float] = []
    waiting: deque[VideoFrame] = deque()
    stamp = -usual
    for frame in frames:
        stamp = stamp + usual if frame.time is None else frame.time
        heappush(stamps, stamp)
        waiting.append(frame)
        if len(waiting) > reach:
            yield heappop(stamps), waiting.popleft()
    while waiting:
        yield heappop(stamps), waiting.popleft()


def _copies(picture: _Shown, times: int) -> Iterator[NDArray[np.uint8]]:
    """The picture in RGB, upright, as often as asked for; not converted for nothing."""
    if times > 0:
        array = np.rot90(picture.frame.to_ndarray(format="rgb24"), picture.frame.rotation // 90)
        yield from repeat(array, times)


@contextmanager
def _opened(path: Path) -> Iterator["InputContainer"]:
    """The file, open; whatever FFmpeg refuses in it, by its name."""
    import av

    try:
        # "file:", so that no name is taken for an address, and no playlist leads elsewhere
        with av.open(f"file:{path}", options={"protocol_whitelist": "file"}) as container:
            yield container
    except (av.error.FFmpegError, OSError) as error:
        size = f", {path.stat().st_size} bytes" if path.is_file() else ""
        raise UserError(path, f"no readable film{size} ({error})", "a film such as .mp4 or .avi", _AGAIN) from error


@contextmanager
def _film(path: Path) -> Iterator[tuple["InputContainer", "VideoStream"]]:
    """The file, open, and its moving pictures; the cover of a sound file does not move."""
    from av.stream import Disposition

    with _opened(path) as container:
        streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
        if not streams:
            raise UserError(path, "no moving pictures", "a film of a face", _AGAIN)
        streams[0].thread_type = "NONE"  # for films of this size threads cost more than they bring
        yield container, streams[0]


def _tick(stream: "VideoStream") -> float:
    """s a time stamp counts."""
    return float(stream.time_base or 0)


def _origin(container: "InputContainer") -> float:
    """s, the time stamp at which a player starts."""
    return (container.start_time or 0) / 1e6


def _end(container: "InputContainer", stream: "VideoStream") -> float:
    """s at which the last picture ends: of its stream, else of the whole file, else counted without decoding."""
    if stream.duration:
        return float((stream.start_time or 0) + stream.duration) * _tick(stream) - _origin(container)
    if container.duration:  # Matroska and FLV say when they end, not how long they last
        return float(container.duration) / 1e6 - _origin(container)
    ends = (p.pts + (p.duration or 0) for p in container.demux(stream) if p.pts is not None)
    return float(max(ends, default=0) * _tick(stream)) - _origin(container)


def _picture(path: Path) -> NDArray[np.uint8]:
    """(H, W, 3) RGB of a still, upright."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            return np.array(ImageOps.exif_transpose(image).convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(path, f"no readable picture ({error})", "a jpg or png", _AGAIN) from error
