"""The laws of the house that a reader of the files can check."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("affect", "datamodules", "experiments", "scripts", "tests")
MAY_IMPORT = {
    "affect": ("affect",),
    "datamodules": ("datamodules", "affect.batch", "affect.errors", "affect.preprocessing"),
    "experiments": ("experiments", "datamodules", "affect"),
    "scripts": ("scripts", "experiments", "datamodules", "affect"),
}
"""Room → what it may import of the house: scripts, experiments → datamodules → affect."""
LINES = 400


def sources(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


def imported(tree: ast.AST, module: str) -> set[str]:
    """Full names of everything a module imports, anywhere in it, by statement or by function."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = module.split(".")[: -node.level] if node.level else []
            base = ".".join([*package, *([node.module] if node.module else [])])
            names |= {f"{base}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ("import_module", "__import__"):
                names.add(str(node.args[0].value))
    return names


def forbidden(names: set[str], room: str) -> set[str]:
    """Those of the house's own modules among `names` that the room may not import."""
    inside = {name for name in names if name.split(".")[0] in ROOMS}
    return {n for n in inside if not any(n == ok or n.startswith(f"{ok}.") for ok in MAY_IMPORT[room])}


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_imports_go_one_way(room: str) -> None:
    found = {}
    for path in sources(room):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        if wrong := forbidden(imported(ast.parse(path.read_text(encoding="utf-8")), module), room):
            found[str(path.relative_to(ROOT))] = sorted(wrong)
    assert found == {}


def test_the_walk_sees_every_kind_of_import() -> None:
    """And tells the allowed from the forbidden: the test above must be able to fail."""
    code = """
import affect.encoders.base
from affect import batch, learners
from affect.preprocessing import Step
from affect.batching import trap
def later():
    from ..experiments import run
    import_module("affect.alignment")
"""
    names = imported(ast.parse(code), "datamodules.corpora.made")
    assert {"affect.encoders.base", "affect.batch", "affect.preprocessing.Step", "affect.alignment"} <= names
    expected = {"affect.encoders.base", "affect.learners", "affect.batching.trap", "affect.alignment"}
    assert forbidden(names, "datamodules") == expected
    assert forbidden({"datamodules.cache", "torch", "affect.batch"}, "affect") == {"datamodules.cache"}
    assert "datamodules.experiments.run" in names


@pytest.mark.parametrize("room", ["affect", "datamodules", "experiments"])
def test_every_room_is_walked(room: str) -> None:
    assert len(sources(room)) > 5


def test_no_file_is_too_long() -> None:
    lengths = {p: len(p.read_text(encoding="utf-8").splitlines()) for room in ROOMS for p in sources(room)}
    assert {str(p.relative_to(ROOT)): n for p, n in lengths.items() if n > LINES} == {}


def test_no_drawer_for_odds_and_ends() -> None:
    drawers = {"utils", "util", "helpers", "misc", "common"}
    assert [str(p.relative_to(ROOT)) for room in ROOMS for p in sources(room) if p.stem in drawers] == []


def texts() -> dict[str, str]:
    """The text files that are tracked, or would be with the next commit."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    found = {}
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if not path.is_file() or path.is_symlink() or b"\0" in (content := path.read_bytes())[:8192]:
            continue
        found[name] = content.decode("utf-8", errors="replace")
    assert "pyproject.toml" in found
    return found


def places(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{name}:{number}: {line.strip()[:100]}"
        for name, text in texts().items()
        for number, line in enumerate(text.splitlines(), start=1)
        if pattern.search(line)
    ]


# Put together here, so that this file is no finding of its own.
HOSTS = ["py" + "pi.org", "python" + "hosted.org", "registry.npm" + "js.org", "conda.ana" + "conda.org"]
MACHINE = re.compile(r"(?<![\w.~/-])/(" + "|".join(["ro" + "ot", "ho" + "me", "Us" + "ers", "wo" + "rk"]) + r")/[\w.]")


def test_no_package_registry_is_named() -> None:
    """Where packages come from is the reader's setting, not ours."""
    assert places(re.compile("|".join(re.escape(host) for host in HOSTS))) == []


def test_no_path_of_a_machine_is_written_down() -> None:
    assert places(MACHINE) == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("see /ro" + "ot/.cache", True),
        ('root: "/ho' + 'me/ann/DEAP"', True),
        ("https://example.org/ho" + "me/page", False),
        ("root: data/ro" + "ot/deap", False),
        ("~/DEAP", False),
    ],
)
def test_a_path_of_a_machine_is_known_from_others(line: str, found: bool) -> None:
    assert bool(MACHINE.search(line)) == found
