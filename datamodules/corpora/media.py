"""Sound and film on disk."""

from pathlib import Path

import numpy as np
import soundfile

from affect.batch import Signal
from affect.errors import UserError

SOUND = (".wav", ".flac", ".ogg", ".opus", ".mp3")


def read_sound(path: Path) -> Signal:
    """A sound file as (1, T) float32 of full scale ±1 at its own rate, its channels averaged."""
    remedy = "download the file again"
    try:
        with path.open("rb") as file:
            head, size = file.read(8), path.stat().st_size
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError) as error:
        raise UserError(path, f"no readable sound ({error})", "a wav, flac, ogg or opus clip", remedy) from error
    # Of a truncated wav soundfile gives what is left; the other formats make it raise.
    if head[:4] == b"RIFF" and (whole := int.from_bytes(head[4:], "little") + 8) > size + 1:
        raise UserError(path, f"{size} bytes under a header that announces {whole}", "a whole wav file", remedy)
    if len(samples) == 0:
        raise UserError(path, "a sound file without samples", "a clip of speech", remedy)
    return Signal(np.ascontiguousarray(samples.mean(axis=1)[None]), float(rate), ("mono",), "amplitude")
