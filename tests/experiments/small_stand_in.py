"""A stand-in as small as an experiment can be made on."""

import inspect
from pathlib import Path
from typing import Any

import datamodules.standin


def small(
    corpus: str, root: Path, seconds: float, filmed: bool = False, segments: int = 1, trials: int = 6
) -> dict[str, Any]:
    """The stand-in of a corpus, as a component: three people, six trials where that can be said."""
    sizes = {
        "subjects": 3,
        "actors": 3,
        "people": 3,
        "speakers": 3,
        "trials": trials,
        "repetitions": 1,
        "seconds": seconds,
    }
    sizes |= {"faces": 3} if filmed else {}
    sizes |= {"segments": segments, "seconds": segments * seconds}
    takes = inspect.signature(getattr(datamodules.standin, f"StandIn{corpus}")).parameters
    return {
        "class_path": f"datamodules.standin.StandIn{corpus}",
        "init_args": {"root": str(root), **{name: size for name, size in sizes.items() if name in takes}},
    }
