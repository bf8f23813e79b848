"""UCI HAR: 30 people, six activities, the accelerometer and gyroscope of a phone at the waist.

Anguita, Ghio, Oneto, Parra, Reyes-Ortiz: A public domain dataset for human activity recognition using smartphones.
ESANN 2013, doi:10.24432/C54S4K (CC BY 4.0). In the split of AdaTime (Ragab et al.: A benchmarking suite for domain
adaptation on time series data. ACM TKDD 17(8), 2023), so that its published figures can be set beside ours.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from affect.batch import Signal
from affect.errors import UserError
from datamodules.corpora.base import Corpus, Trial
from datamodules.formats.tables import AGAIN

FILE = "uci_har_adatime_split.npz"
ACTIVITIES = ("walking", "upstairs", "downstairs", "sitting", "standing", "laying")
"""In the official order: `activity_labels.txt` counts them from 1, the file from 0."""
CHANNELS = tuple(f"{sensor}_{axis}" for sensor in ("body_acc", "body_gyro", "total_acc") for axis in "xyz")
"""In the order of AdaTime's files; body_acc is total_acc without gravity (high pass at 0.3 Hz)."""
RATE, SAMPLES = 50.0, 128
_SHAPES = {"x": (len(CHANNELS), SAMPLES), "y": (), "subject": (), "is_test": ()}


class UciHar(Corpus):
    """One file, `uci_har_adatime_split.npz`: `x` (n, 9, 128), `y` (n,) 0–5, `subject` (n,) 1–30, `is_test` (n,).

    A trial is one of the official windows of 2.56 s. Stream `motion` (9, 128) at 50 Hz: accelerations in g, turning in
    rad/s. Rating `activity`; the stimulus is the activity, too, as people were told what to do. Session `train` or
    `test`: AdaTime draws 30 % of each person's windows, stratified by activity, for `test`.

    The official windows overlap by half and `test` is drawn from among them at random, so a `test` window mostly
    shares its samples with `train` windows of the same person. Between people that is harmless; a choice made on the
    source's own `test` windows is optimistic, and a within-person score would be worthless.

    Args:
        root: the folder that holds the file.
        subjects: read these only, for example ["2", "11"]; default all.
    """

    name: ClassVar[str] = "uci_har"
    streams: ClassVar[tuple[str, ...]] = ("motion",)
    ratings: ClassVar[Mapping[str, tuple[float, float] | tuple[str, ...]]] = {"activity": ACTIVITIES}

    @property
    def file(self) -> Path:
        return self.root / FILE

    def layout(self) -> str:
        return f"{FILE}: x (n, 9, 128), y, subject, is_test"

    def _found(self) -> list[str]:
        return [str(person) for person in np.unique(_table(self.file)["subject"])] if self.file.is_file() else []

    def files(self, subject: str) -> list[Path]:
        return [self.file]

    def trials(self, subject: str, streams: Sequence[str]) -> Iterator[Trial | UserError]:
        table = _table(self.file)
        rows = np.flatnonzero(table["subject"] == int(subject))
        data = table["x"][rows].astype(np.float32)
        for row, samples in zip(rows.tolist(), data, strict=True):
            label = int(table["y"][row])
            activity = ACTIVITIES[label] if 0 <= label < len(ACTIVITIES) else f"y = {label}"
            yield Trial(
                subject=subject,
                stimulus=activity,
                ratings={"activity": activity},
                streams={"motion": Signal(samples, RATE, CHANNELS, "g, rad/s, g")} if "motion" in streams else {},
                where=f"{self.file}, row {row}",
                session="test" if table["is_test"][row] else "train",
            )


def _table(path: Path) -> dict[str, NDArray[Any]]:
    stat = path.stat()
    return _read(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=1)
def _read(path: Path, size: int, changed: int) -> dict[str, NDArray[Any]]:
    """The arrays of the file, as they lie in it; kept for the next person (24 MB), as long as the file stays."""
    try:
        with np.load(path, allow_pickle=False) as file:
            table = {name: file[name] for name in _SHAPES}
    except Exception as error:  # numpy and zipfile raise whatever the broken byte leads to
        raise UserError(path, f"no such arrays ({error})", ", ".join(_SHAPES), AGAIN) from error
    for name, shape in _SHAPES.items():
        found, kinds = table[name], {"x": "f", "is_test": "b"}.get(name, "iu")
        if found.shape != (len(table["y"]), *shape) or found.dtype.kind not in kinds:
            expected = f"(n, {', '.join(map(str, shape))})" if shape else f"(n,) of {len(table['x'])} windows"
            raise UserError(path, f"{name}: {found.dtype} of shape {found.shape}", expected, AGAIN)
    return table
