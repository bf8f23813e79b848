"""EDF, BDF and FIF: channels chosen by name or type, a span of time, one rate, and a unit that is known."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from affect.batch import Signal
from affect.errors import UserError

BIOSIGNAL = (".edf", ".bdf", ".fif")
_VOLTS = {"V": 1.0, "mV": 1e3, "µV": 1e6, "μV": 1e6, "uV": 1e6}  # two of the signs look alike
_FIF_TYPES = {"gsr": "eda", "temperature": "temp"}  # mne's names of channel types → the streams'
_FIFF_VOLT = 107
_REPAIR = "export the recording again, or leave the trial out with --data.bad_trials=drop"


class Channel(NamedTuple):
    """What a file says of one of its signals; the type is the first word of an EDF label (`EEG Fp1`)."""

    label: str
    type: str
    unit: str
    rate: float


def read_biosignal(
    path: Path,
    stream: str,
    channels: Sequence[str] | None = None,
    unit: str | None = None,
    start: float = 0.0,
    stop: float = float("inf"),
) -> Signal:
    """(C, T) of a stream at the file's own rate; voltages in `unit` or µV, everything else in the file's unit.

    Args:
        stream: the type of the channels to read where `channels` does not name them.
        channels: names, with or without the type before it, in the order wanted.
        unit: of voltages, what to convert to; of anything else, its name.
        start, stop: s; infinite: to the end.

    Raises:
        UserError: not a whole file, no such channels, channels of several rates or units, or shorter than `stop`.
    """
    import mne  # costs more than the reading

    try:
        if path.suffix.lower() == ".fif":
            raw: Any = mne.io.read_raw_fif(path, verbose="ERROR")
            chosen = _choose(path, stream, channels, _fif_channels(raw))
        else:
            chosen = _choose(path, stream, channels, edf_channels(path))
            reader = mne.io.read_raw_bdf if path.suffix.lower() == ".bdf" else mne.io.read_raw_edf
            raw = reader(path, include=[c.label for c in chosen], verbose="ERROR")
        part = samples(path, start, stop, float(raw.info["sfreq"]), raw.n_times)
        data = raw.get_data(picks=[c.label for c in chosen], start=part.start, stop=part.stop, verbose="ERROR")
    except UserError:
        raise
    except Exception as error:  # mne raises whatever the broken field leads to
        raise UserError(path, f"a file that mne cannot read ({error})", "a whole recording", _REPAIR) from error
    scale, written = _unit(path, stream, chosen, unit)
    names = tuple(channels or (c.label.partition(" ")[2] or c.label for c in chosen))
    return Signal((scale * data).astype(np.float32), chosen[0].rate, names, written)


def samples(path: Path, start: float, stop: float, rate: float, length: int) -> slice:
    """Where `start` to `stop` seconds lie among `length` samples; rounding may ask for one more than there are."""
    first, last = round(start * rate), length if np.isinf(stop) else round(stop * rate)
    if first >= length or last > length + 1:
        wanted = f"{start:g} s to " + ("the end" if np.isinf(stop) else f"{stop:g} s")
        raise UserError(path, f"a recording of {length / rate:g} s", wanted, "correct start and stop of the trial")
    return slice(first, min(last, length))


def edf_channels(path: Path) -> list[Channel]:
    """The signals of an EDF or BDF file whose header agrees with its size.

    Of a truncated file mne would read what is left and at most warn: a trial quietly too short.
    """
    try:
        with path.open("rb") as file:
            fixed = file.read(256)
            count = int(fixed[252:256])
            rest = file.read(256 * count)
        records, duration = int(fixed[236:244]), float(fixed[244:252])
        label, unit, number = (  # offset a signal and width, in bytes
            [rest[at * count + i * width :][:width].decode("latin-1").strip() for i in range(count)]
            for at, width in ((0, 16), (96, 8), (216, 8))
        )
        depth = 3 if fixed[0] == 0xFF else 2  # bytes a sample of BDF and of EDF
        size = 256 * (count + 1) + depth * records * sum(map(int, number))
        if duration <= 0 or fixed[196:197] == b"D":
            raise ValueError("records of no duration" if duration <= 0 else "a recording with gaps in time, EDF+D")
    except (OSError, ValueError, IndexError) as error:
        raise UserError(path, f"no header that can be read ({error})", "a whole EDF or BDF", _REPAIR) from None
    if records < 1 or size != path.stat().st_size:
        found = f"{path.stat().st_size} bytes under a header that announces {records} records"
        raise UserError(path, found, f"{size} bytes" if records > 0 else "a recording that was closed", _REPAIR)
    fields = zip(label, unit, map(int, number), strict=True)
    named = [Channel(at, at.split()[0].lower(), of, n / duration) for at, of, n in fields if at]
    return [channel for channel in named if channel.label not in ("EDF Annotations", "BDF Annotations")]


def _fif_channels(raw: Any) -> list[Channel]:
    units = ["V" if c["unit"] == _FIFF_VOLT else "" for c in raw.info["chs"]]
    types = [_FIF_TYPES.get(kind, kind) for kind in raw.get_channel_types()]
    rate = float(raw.info["sfreq"])
    return [Channel(*of, rate) for of in zip(raw.ch_names, types, units, strict=True)]


def _choose(path: Path, stream: str, names: Sequence[str] | None, there: list[Channel]) -> list[Channel]:
    """By name, or those of the stream's type."""
    labels = [c.label for c in there]
    if names is None:
        chosen = [c for c in there if c.type == stream]
        if not chosen:
            found = f"no channel of type {stream} among {labels[:80]}"
            raise UserError(path, found, f"labels such as '{stream.upper()} …'", f"name the channels of {stream}")
    else:
        short = {c.label.partition(" ")[2]: c for c in reversed(there)}
        known = short | {c.label: c for c in reversed(there)}
        if absent := [name for name in names if name not in known]:
            raise UserError(path, f"no {absent} among {labels[:80]}", f"{stream} channels {list(names)}", _REPAIR)
        chosen = [known[name] for name in names]
    if twice := sorted({c.label for c in chosen if labels.count(c.label) > 1}):
        raise UserError(path, f"channels {twice} more than once", "each once", _REPAIR)
    if len(rates := {c.rate for c in chosen}) > 1:
        raise UserError(path, f"{stream} channels at {sorted(rates)} Hz", "one rate a stream", _REPAIR)
    return chosen


def _unit(path: Path, stream: str, chosen: list[Channel], wanted: str | None) -> tuple[float, str]:
    """What to multiply mne's values with, and the unit they are in then. mne gives volts, and leaves others alone."""
    units = {c.unit for c in chosen}
    if units <= set(_VOLTS):
        if (wanted := wanted or "µV") not in _VOLTS:
            raise UserError(path, f"{stream} in {sorted(units)}", wanted, "correct the unit of the stream")
        return _VOLTS[wanted], wanted
    if len(units) > 1:
        raise UserError(path, f"{stream} channels in {sorted(units)}", "one unit a stream", _REPAIR)
    return 1.0, wanted or units.pop() or "a.u."
