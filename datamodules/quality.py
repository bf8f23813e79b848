"""What is wrong in a recording: what would poison training quietly is refused by name, the rest is told."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from affect.batch import Signal
from affect.errors import UserError

_REMEDY = "leave the trial out with --data.bad_trials=drop, the stream with =absent, or repair the file"
_FAST = 32.0  # Hz; slower streams rest at their extremes without being clipped


@dataclass(frozen=True)
class Quality:
    """Of one stream of one trial.

    Args:
        missing: NaN or infinite samples.
        dead: channels that never move.
        clipped: channel → share of its samples that rest at its highest or lowest value, where that is over 1 %.
        problem: why the stream cannot be used; None if it can.
    """

    missing: int = 0
    dead: tuple[str, ...] = ()
    clipped: tuple[tuple[str, float], ...] = ()
    problem: UserError | None = None

    def facts(self) -> dict[str, Any]:
        """What is not as it should be, as plain data; empty if all is well."""
        found = {"missing": self.missing, "dead": list(self.dead), "clipped": dict(self.clipped)}
        return {name: value for name, value in found.items() if value}


def inspect(signal: Signal, stream: str, where: str) -> Quality:
    """Look at (C, T) samples: shape, NaN or infinity, channels that never move, clipping; at pictures, their shape."""
    data, channels = signal.data, signal.channels
    if data.ndim not in (2, 4) or data.shape[0] != len(channels):
        found, expected = f"{stream} of shape {data.shape}", f"({len(channels)} channels, samples)"
        return Quality(problem=UserError(where, found, expected, "download the file again"))
    if data.shape[1] == 0:
        return Quality(problem=UserError(where, f"{stream} with no samples", "a recording", "download the file again"))
    if data.ndim == 4 or stream == "annotation":  # ratings over time may rest, and may be missing
        return Quality()
    low, high = data.min(axis=1), data.max(axis=1)  # NaN if there is one, and cheap
    if not (np.isfinite(low) & np.isfinite(high)).all():
        bad = ~np.isfinite(data)
        names = [c for c, b in zip(channels, bad.any(axis=1), strict=True) if b]
        found = f"{int(bad.sum())} NaN or infinite samples in {stream} channels {names}"
        return Quality(missing=int(bad.sum()), problem=UserError(where, found, "finite samples", _REMEDY))
    dead = tuple(c for c, still in zip(channels, low == high, strict=True) if still and signal.rate)
    if dead and stream != "au":  # a face may do nothing all the time
        found = f"constant (dead) {stream} channels {list(dead)}"
        return Quality(dead=dead, problem=UserError(where, found, "channels that vary over the trial", _REMEDY))
    return Quality(clipped=_clipped(signal, low, high))


def _clipped(signal: Signal, low: NDArray[np.float32], high: NDArray[np.float32]) -> tuple[tuple[str, float], ...]:
    """Channels with more than 1 % of their samples at an extreme; only suspects are counted in full."""
    if signal.rate < _FAST:
        return ()
    sparse = np.ascontiguousarray(signal.data[:, ::16])
    rest = np.count_nonzero((sparse == high[:, None]) | (sparse == low[:, None]), axis=1)
    suspects = np.flatnonzero(rest > 0.005 * sparse.shape[1])
    found = []
    for c in suspects:
        rests = int(((signal.data[c] == high[c]) | (signal.data[c] == low[c])).sum())
        if rests > max(10, 0.01 * signal.data.shape[1]):
            found.append((signal.channels[c], round(rests / signal.data.shape[1], 4)))
    return tuple(found)


def check_rating(name: str, value: float | str, scale: tuple[float, float] | tuple[str, ...], where: str) -> None:
    """Refuse a rating outside its scale; NaN stands for 'not given' and passes."""
    if isinstance(value, float) and np.isnan(value):
        return
    if isinstance(value, str):
        ok, allowed = value in scale, f"one of {list(scale)}"
    else:
        low, high = float(scale[0]), float(scale[1])
        ok, allowed = low <= value <= high, f"{low:g} to {high:g}"
    if not ok:
        raise UserError(
            where,
            f"{name} rating {value}",
            allowed,
            "repair the file, or leave the trial out with --data.bad_trials=drop",
        )
