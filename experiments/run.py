"""The door: python experiments/run.py --config experiments/configs/quickstart.yaml [--any.key=value …] [--audit]

--config FILE   the experiment
--any.key=VALUE changes one leaf of it, VALUE in YAML; a class's arguments may leave `init_args` out
--dry-run       prepares the data, prints the plan (folds, people, runs, what is done) and stops
--audit         the same, but looks for leaks and draws what they would be worth; the exit code is 1 if there are any
--help          this text and every key
"""

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the door is a file in the project, not a package
for threads in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(threads, "1")  # runs go side by side, each on one core

from affect.errors import UserError  # noqa: E402
from experiments.load import describe_schema, load, pairs  # noqa: E402


def main(arguments: list[str]) -> int:
    """Run an experiment; the exit code is 0, 1 (failed, or leaks), 2 (something to put right) or 130 (interrupted)."""
    try:
        config, overrides, dry_run, audit, want_help = _parse(arguments)
        if want_help:
            print(f"{__doc__}\nKeys [default]:\n{describe_schema()}")
            return 0
        if config is None:
            raise UserError("--config", "nothing", "the YAML of an experiment", "see experiments/configs/, and --help")
        experiment = load(config, overrides)
        from experiments.session import run

        return run(experiment, dry_run, audit)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        where, found = error.filename or "the disk", error.strerror or str(error)
        print(
            f"error: {UserError(where, found, 'a file or folder to use', 'check path and permissions')}",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted: finished runs are kept; the same command goes on from here", file=sys.stderr)
        return 130


def _parse(arguments: list[str]) -> tuple[Path | None, list[str], bool, bool, bool]:
    """Split the command line; `--key value` and `--key=value` are the same."""
    config: Path | None = None
    overrides: list[str] = []
    dry_run = audit = want_help = False
    for argument in pairs(arguments):
        if argument in ("--help", "-h"):
            want_help = True
        elif argument == "--dry-run":
            dry_run = True
        elif argument == "--audit":
            audit = True
        elif argument.startswith("--config="):
            config = Path(argument.partition("=")[2]).expanduser()
        else:
            overrides.append(argument)
    return config, overrides, dry_run, audit, want_help


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main(sys.argv[1:]))
