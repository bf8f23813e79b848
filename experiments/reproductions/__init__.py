"""Studies that make the figures of a paper again; each yields rows for a table (experiments/tables)."""

from experiments.reproductions.amazon import Amazon
from experiments.reproductions.moons import Moons

__all__ = ["Amazon", "Moons"]
