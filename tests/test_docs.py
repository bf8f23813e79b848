"""What README and docs tell people to type and to write works."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.check import check
from experiments.load import load, pairs

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
SMALL = [
    "--data.corpus.subjects=3",
    "--data.corpus.trials=4",
    "--data.corpus.seconds=10",
    "--trainer.max_epochs=1",
    "--wandb.mode=disabled",
    "--normalisation=source",
]


def commands(page: Path) -> list[list[str]]:
    """Commands of this project in a page: those in code blocks, and those in backticks; without what sets variables."""
    text = page.read_text(encoding="utf-8")
    found = [line for block in re.findall(r"```(?:bash)?\n(.*?)```", text, re.S) for line in joined(block)]
    found += [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", text, flags=re.S))]
    return [arguments for line in found if (arguments := project_command(line))]


def joined(block: str) -> list[str]:
    return block.replace("\\\n", " ").splitlines()


def project_command(line: str) -> list[str] | None:
    """Arguments from the script on."""
    words = shlex.split(line.partition(" #")[0]) if "python" in line and ".py" in line else []
    if "python" not in words:
        return None
    rest = words[words.index("python") + 1 :]
    return rest if rest and re.match(r"(experiments|scripts)/.*\.py$", rest[0]) else None


every_command = pytest.mark.parametrize(
    "command",
    [pytest.param(c, id=f"{page.stem}: {' '.join(c)[:70]}") for page in PAGES for c in commands(page)],
)


@every_command
def test_a_command_names_what_there_is(command: list[str]) -> None:
    """Its script; the config with its overrides, of which every key is known; the files that come with the project."""
    script, *rest = command
    assert (ROOT / script).is_file()
    for word in rest:
        if word.startswith("experiments/") and "NAME" not in word:
            assert (ROOT / word).exists(), word
    if "--config" in rest and "NAME" not in " ".join(rest) and "…" not in rest:
        at = rest.index("--config")
        mine = [
            w
            for w in pairs_of(rest[:at] + rest[at + 2 :])
            if w.startswith(("--data", "--model", "--methods", "--seeds"))
        ]
        load(ROOT / rest[at + 1], [w for w in mine if "my_study" not in w])


def pairs_of(words: list[str]) -> list[str]:
    """`--key value` as `--key=value`, as the door reads them."""
    options = [w for w in words if w not in ("--dry-run", "--audit", "--quiet", "--run", "--help")]
    return pairs(options)


@pytest.mark.slow
@pytest.mark.parametrize("page", ["own_encoder", "own_alignment"])
def test_a_class_of_ones_own(page: str, tmp_path: Path) -> None:
    """The page's class and command, through the door, with workers that meet the class for the first time."""
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    ((name, source),) = re.findall(r'```python title="([^"]+)"\n(.*?)```', text, re.S)
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).write_text(source)
    (command,) = [line for block in re.findall(r"```bash\n(.*?)```", text, re.S) for line in joined(block)]
    script, *rest = project_command(command) or []
    places = [
        f"--data.cache={tmp_path / 'cache'}",
        f"--output={tmp_path / 'runs'}",
        f"--data.corpus.root={tmp_path / 'd'}",
    ]
    done = subprocess.run(
        [sys.executable, str(ROOT / script), *rest, *SMALL, *places],
        env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "runs").glob("quickstart-*/summary.json"))) == 1


@pytest.mark.slow
def test_the_tutorial_runs_as_printed(tmp_path: Path) -> None:
    """Every command in order, in a place of its own."""
    text = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    for line in [line for block in re.findall(r"```bash\n(.*?)```", text, re.S) for line in joined(block)]:
        script, *rest = project_command(line) or []
        rest = [str(ROOT / word) if word.startswith("experiments/") else word for word in rest]
        done = subprocess.run([sys.executable, str(ROOT / script), *rest], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"


@pytest.mark.slow
def test_the_site_builds_strictly(tmp_path: Path) -> None:
    """No broken link, no page or class that is not there."""
    zensical = Path(sys.executable).with_name("zensical")
    if not zensical.exists():
        pytest.skip("the docs group is not installed: uv sync --group docs")
    done = subprocess.run([str(zensical), "build", "--strict"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'id="affect.alignment.DANN"' in (ROOT / "site" / "reference" / "alignment" / "index.html").read_text()


def test_every_page_is_in_the_site() -> None:
    nav = (ROOT / "zensical.toml").read_text(encoding="utf-8")
    pages = [page.relative_to(ROOT / "docs").as_posix() for page in PAGES if page.is_relative_to(ROOT / "docs")]
    assert [page for page in pages if f'"{page}"' not in nav] == []


def test_commands_are_found() -> None:
    """The tests above look at something."""
    assert len(commands(ROOT / "README.md")) >= 5
    assert check(load(ROOT / "experiments/configs/quickstart.yaml", [])).name == "quickstart"
