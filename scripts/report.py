"""Write the page of an experiment: one HTML file with its question, data, results, figures, audit and versions.

uv run python scripts/report.py runs/quickstart-… [--deep] [--out FILE] [--any.key=VALUE …]
uv run python scripts/report.py experiments/tables/ravdess_streams.yaml [--out FILE] [--any.key=VALUE …]

Of a table, the page shows what is finished; `--output FOLDER` is that of scripts/table.py.

--deep            also what needs the prepared data and the trained networks: embeddings before and after alignment,
                  topographies, attributions; needs the extra `figures` (umap-learn, captum)
--out FILE        of the page; default: page.html in the folder; figures lie beside it, as .svg and .png
--any.key=VALUE   of the experiment, for --deep: where the data are now, as --data.corpus.root=~/DEAP

Without --deep the page is made from the folder alone.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
for threads in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(threads, "1")

from affect.errors import UserError  # noqa: E402


def main(arguments: Sequence[str]) -> int:
    """Write; 0, 2 (something to put right) or 130 (interrupted)."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form, allow_abbrev=False)
    parser.add_argument("source", type=Path, help="folder of an experiment, with its summary.json; or a table's YAML")
    parser.add_argument("--deep", action="store_true")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--output", type=Path, default=Path("runs/reproductions"))
    settings, overrides = parser.parse_known_args(arguments)
    try:
        from experiments.load import pairs
        from experiments.report import ExperimentFolder, whole, write_page

        if settings.source.suffix in (".yaml", ".yml"):
            from experiments.report.of_table import write_table_page

            print(write_table_page(settings.source, pairs(overrides), settings.output, settings.out))
            return 0
        if overrides and not settings.deep:
            raise UserError(overrides[0], "without --deep", "overrides of where data lie, for --deep", "add --deep")
        folder = ExperimentFolder(settings.source)
        shown = list(whole(folder))
        if settings.deep:
            from experiments.report.deep import deep_figures

            shown += deep_figures(folder, pairs(overrides))
        page = write_page(folder, shown, settings.out)
        for one in shown:
            one.save(page.parent / "figures")
        print(page)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
