"""The page of an experiment: what is on it, that it needs nothing from anywhere, and that a browser can show it."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from conftest import Door, Place

from affect.errors import UserError
from affect.reporting.page import Fragment, Page, Section, Table, Text, render
from experiments.report import ExperimentFolder, whole
from experiments.report.figures import plane
from scripts.report import main as report

OUTSIDE = re.compile(r"""(?:src|href|srcset|action)\s*=\s*["'](?!data:|#)|url\((?!["']?data:)|@import|<script""")


@pytest.fixture(scope="module")
def folder(finished: Place) -> Path:
    (path,) = finished.output.glob("small-*")
    return path


@pytest.fixture
def own(folder: Path, tmp_path: Path) -> Path:
    """A copy that may be spoilt."""
    shutil.copytree(folder.parent / "runs", tmp_path / "runs")
    return shutil.copytree(folder, tmp_path / folder.name)


def test_an_experiment_ends_with_its_page(folder: Path) -> None:
    page = (folder / "page.html").read_text(encoding="utf-8")
    summary = json.loads((folder / "summary.json").read_text())
    row = summary["targets"]["valence"]["methods"]["dann/source"]["window"]["balanced_accuracy"]
    said = ("Who is where", "LeaveOneSubjectOut", summary["data_fingerprint"], f"{row['mean']:.3f}", "transductive",
            "experiments/run.py --config", "min in all", "Leak audit")  # fmt: skip
    for text in said:
        assert text in page
    assert page.count("<img ") == 2
    assert not OUTSIDE.search(page)


def test_its_command_finds_everything_done(folder: Path, door: Door) -> None:
    assert "8 of 8 runs done" in door([f"--config={folder / 'config.yaml'}", "--dry-run"]).out


def test_the_whole_page_is_made_from_the_folder_alone(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = own / "page.html"
    page.unlink()
    assert report([str(own)]) == 0
    assert capsys.readouterr().out.strip() == str(page)
    drawn = {path.stem for path in (own / "figures").glob("*.svg")}
    assert drawn == {path.stem for path in (own / "figures").glob("*.png")}
    assert drawn == {
        "split", "valence-people", "valence-confusion", "valence-source-reliability", "valence-source-risk",
        "training-source",
    }  # fmt: skip
    text = page.read_text(encoding="utf-8")
    assert text.count("<img ") == len(drawn)
    assert not OUTSIDE.search(text)


def test_which_figures_follows_from_what_the_folder_holds(own: Path) -> None:
    (own / "data.json").unlink()
    for path in own.parent.glob("runs/*/curves.csv"):
        path.unlink()
    names = {one.name for one in whole(ExperimentFolder(own))}
    assert "split" not in names
    assert not any(name.startswith("training") for name in names)


def test_the_plane_needs_both_targets_of_one_kind(tmp_path: Path) -> None:
    ratings = pd.DataFrame({"subject": "a", "trial": range(9), "label_v": range(9), "label_a": range(8, -1, -1)})
    told = ratings.assign(predicted_v=ratings["label_v"] / 2, predicted_a=4.0)
    block = {"classes": [], "bounds": (0.0, 8.0)}
    targets = {"v": {**block, "init_args": {"rating": "valence"}}, "a": {**block, "init_args": {"rating": "arousal"}}}
    summary = {"targets": targets}
    folder: Any = SimpleNamespace(name="n", summary=summary, chosen={"m/n": []}, predictions=lambda row: told)
    (shown,) = plane(folder)
    shown.save(tmp_path)
    assert (tmp_path / "plane.svg").stat().st_size > 1000
    summary["targets"] = {"v": targets["v"]}
    assert not list(plane(folder))


def test_half_written_folders_are_refused(own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert report([str(tmp_path)]) == 2
    assert "no summary.json" in capsys.readouterr().err
    victim = sorted((own.parent / "runs").glob("*/done"))[0]
    victim.unlink()
    with pytest.raises(UserError, match=r"1 of 8 runs missing or half-written"):
        ExperimentFolder(own)
    victim.touch()
    (own / "summary.json").write_text('{"targets": ')
    assert report([str(own)]) == 2
    assert "finish the experiment" in capsys.readouterr().err
    assert report([str(own), "--data.corpus.root=elsewhere"]) == 2


def test_what_is_put_on_a_page_is_escaped_but_for_fragments() -> None:
    blocks = [Text(["a < b & <i>"]), Table(["<h>"], [["<c>"]]), Fragment("<b>kept</b>")]
    html = render(Page("<t>", ["<l>"], [Section("some", blocks), Section("none", [])]))
    assert "<b>kept</b>" in html
    for text in ("<i>", "<h>", "<c>", "<t>", "<l>"):
        assert text not in html
    assert "none" not in re.findall(r"<h2>(.*?)</h2>", html)


ASKED = """
<script>
const errors = [];
addEventListener("error", e => errors.push(String(e.message || e.target.src).slice(0, 99)), true);
addEventListener("load", () => {
  const root = document.documentElement, images = [...document.images];
  parent.postMessage(JSON.stringify({
    width: root.clientWidth, over: root.scrollWidth - root.clientWidth, errors,
    images: images.length, broken: images.filter(i => !i.naturalWidth).length,
    asked: performance.getEntriesByType("resource").map(e => e.name).filter(n => !n.startsWith("data:")),
    tables: [...document.querySelectorAll("table")].every(t => t.closest(".scroll")),
  }), "*");
});
</script>
"""
"""Put into the page: what it measures of itself, sent to the window around it."""

FRAME = """<script>addEventListener("message", e => document.documentElement.dataset.told = e.data)</script>
<iframe src="asked.html" style="width: {width}px; height: {height}px; border: 0"></iframe>"""
"""A window as narrow as a phone; chromium's own are 500 pixels wide at least."""


@pytest.mark.slow
@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_a_browser_shows_it(own: Path, tmp_path: Path, width: int, height: int) -> None:
    """No error, no request, nothing wider than the window; the screenshot stays in the test's folder."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if not chromium:
        pytest.skip("no chromium: apt-get install chromium")
    assert report([str(own)]) == 0
    html = (own / "page.html").read_text(encoding="utf-8")
    (tmp_path / "asked.html").write_text(html.replace("<head>", f"<head>{ASKED}", 1), encoding="utf-8")
    frame = tmp_path / "frame.html"
    frame.write_text(FRAME.format(width=width, height=height), encoding="utf-8")

    def browse(*arguments: str) -> str:
        plain = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr"]
        size = f"--window-size={width},{height}"
        done = subprocess.run([chromium, *plain, size, *arguments], capture_output=True, text=True, timeout=120)
        assert "CONSOLE" not in done.stderr, done.stderr
        return done.stdout

    told = re.search(r'data-told="(.*?)"', browse("--virtual-time-budget=5000", "--dump-dom", frame.as_uri()))
    assert told
    found = json.loads(told[1].replace("&quot;", '"'))
    assert found == {
        "width": width, "over": 0, "errors": [], "images": 6, "broken": 0, "asked": [], "tables": True,
    }  # fmt: skip
    shot = tmp_path / f"page-{width}.png"
    browse(f"--screenshot={shot}", (own / "page.html").as_uri())
    assert shot.stat().st_size > 10_000


@pytest.mark.slow
def test_deep_figures_of_the_same_data_and_code(finished: Place, own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = f"--data.corpus.root={finished.root}"
    assert report([str(own), "--deep", where]) == 0
    drawn = {path.stem for path in (own / "figures").glob("*.png")}
    assert {"embedding-source", "difference-eeg", "attribution-eeg"} <= drawn
    assert report([str(own), "--deep", where, "--trainer.max_epochs=3"]) == 2
    assert "another experiment" in capsys.readouterr().err
