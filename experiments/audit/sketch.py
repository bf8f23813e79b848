"""Sketches of recordings: two share one where stretches of them are the same, wherever they begin, at whatever gain."""

from collections import Counter
from collections.abc import Mapping
from itertools import combinations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d

Hashes = NDArray[np.uint64]
_SPAN = 64  # samples of a stretch
_PEAK = 16  # samples on each side that a peak is above
_DISTINCT = 32  # values at least: in a flat stretch, order means little
_CHANNELS = 8
_KEPT = 64  # stretches of a recording
_COMMON = 4  # recordings at most: a stretch of more is a shape that many have
_SHARED = 8  # stretches at least
_SHARE = 0.25  # of the smaller sketch
_MULTIPLIERS = np.random.default_rng(0).integers(0, 1 << 63, _SPAN, dtype=np.uint64) | np.uint64(1)


def sketch(signal: NDArray[np.floating]) -> Hashes:
    """(C, T) → up to 64 hashes of stretches around peaks, in a few channels.

    A hash is made of the order of a stretch's samples by size, which no gain above zero and no offset changes. Peaks
    are found, and the smallest hashes kept, wherever the recording begins.
    """
    found = []
    for number, channel in enumerate(signal[:: -(-len(signal) // _CHANNELS)]):
        x = np.ascontiguousarray(channel)
        if len(x) < _SPAN:
            break
        middle = x[_SPAN // 2 : len(x) - _SPAN // 2 + 1]
        peaks = maximum_filter1d(x, 2 * _PEAK + 1)[_SPAN // 2 : len(x) - _SPAN // 2 + 1] == middle
        stretches = sliding_window_view(x, _SPAN)[np.flatnonzero(peaks)]
        stretches = stretches[(np.diff(np.sort(stretches, axis=1), axis=1) > 0).sum(axis=1) >= _DISTINCT - 1]
        order = stretches.argsort(axis=1, kind="stable").astype(np.uint64)
        found.append(_mixed((order * _MULTIPLIERS).sum(axis=1, dtype=np.uint64) + np.uint64(number)))
    return np.unique(np.concatenate(found))[:_KEPT] if found else np.zeros(0, np.uint64)


def shared(sketches: Mapping[int, Hashes]) -> list[tuple[int, int]]:
    """Pairs of recordings, the smaller number first, that have so many stretches in common that they are one."""
    holders: dict[int, list[int]] = {}
    for recording in sorted(sketches):
        for value in sketches[recording].tolist():
            holders.setdefault(value, []).append(recording)
    common = Counter(pair for held in holders.values() if len(held) <= _COMMON for pair in combinations(held, 2))
    return [
        (a, b)
        for (a, b), count in common.items()
        if count >= max(_SHARED, _SHARE * min(len(sketches[a]), len(sketches[b])))
    ]


def _mixed(value: Hashes) -> Hashes:
    """Hashes whose size says nothing of what they were made of (the end of MurmurHash3)."""
    for _ in range(2):
        value = (value ^ (value >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    return value ^ (value >> np.uint64(33))
