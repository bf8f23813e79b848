"""Write a stand-in corpus: small invented recordings in a corpus's official layout, with a known effect in them.

uv run python scripts/make_standin.py deap ~/standin-deap --subjects 8 --trials 16 --seconds 30 --strength 1
"""

import argparse
import importlib
import inspect
import json
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from affect.errors import UserError
from datamodules import standin

STAND_INS = [getattr(standin, name) for name in standin.__all__]
WRITERS: dict[str, Callable[..., None]] = {
    c.name: getattr(importlib.import_module(c.__module__), f"write_{c.name}") for c in STAND_INS
}


def main() -> int:
    """Parse, write, say where."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    corpora = parser.add_subparsers(dest="corpus", required=True)
    for name, writer in WRITERS.items():
        corpus = corpora.add_parser(name, description=inspect.getdoc(writer))
        corpus.add_argument("root", type=Path, help="a new or empty folder")
        for key, parameter in list(inspect.signature(writer).parameters.items())[1:]:
            corpus.add_argument(f"--{key}", type=type(parameter.default), default=parameter.default)
    settings = vars(parser.parse_args())
    corpus, root = settings.pop("corpus"), settings.pop("root").expanduser()
    root.mkdir(parents=True, exist_ok=True)
    if any(root.iterdir()):
        print(f"error: {root} is not empty; a stand-in is never written over anything", file=sys.stderr)
        return 2
    try:
        WRITERS[corpus](root, **settings)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    facts = {"stand_in": True, "corpus": corpus, **settings}
    (root / "standin.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    print(root)
    return 0


if __name__ == "__main__":
    sys.exit(main())
