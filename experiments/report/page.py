"""An experiment's folder → its page: question, data, split, results, figures, audit, command, versions, cost."""

from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np

from affect.reporting.page import Block, Code, Facts, Page, Section, Shown, Table, Text, render
from affect.reporting.priors import difference, of_all
from affect.reporting.table import alignments, cells, headline, told_apart, uncertainty_cells
from affect.reporting.verdict import sign_of
from affect.reporting.words import counted
from datamodules.atomic import write_text
from experiments.report.folder import ExperimentFolder

ROOT = Path(__file__).resolve().parents[2]
_SHOWN = 12  # trials left out, defects
_HOW_SURE = (
    "How sure, and how rightly, on windows: temperature learned on held-out source, calibration error and Brier score "
    "before → after it, risk–coverage, and conformal sets that promise 90 % to people like the held-out ones; "
    "tested people are others"
)


def write_page(folder: ExperimentFolder, shown: Sequence[Shown], out: Path | None = None) -> Path:
    """Write the page.

    Args:
        shown: figures on it.
        out: where; default: `page.html` in the folder.
    """
    path = out or folder.path / "page.html"
    write_text(path, render(page(folder, shown)))
    return path


def page(folder: ExperimentFolder, shown: Sequence[Shown]) -> Page:
    """What is on it."""
    pictures: dict[str, list[Block]] = {"split": [], "leak": [], "other": []}
    for one in shown:
        place = "split" if one.name == "split" else "leak" if one.name == "leak_gap" else "other"
        pictures[place].append(one.picture())
    question = question_of(folder)
    return Page(
        folder.name,
        question[:1],
        [
            Section("Question", [Text(question[1:])] if question[1:] else []),
            Section("Data", _data(folder)),
            Section("Who is where", pictures["split"]),
            Section("Results", _results(folder)),
            Section("Figures", pictures["other"]),
            Section("Leak audit", [*_audit(folder), *pictures["leak"]]),
            Section("How to make it again", _again(folder)),
        ],
    )


def question_of(folder: ExperimentFolder) -> list[str]:
    """The comment at the head of the experiment's config, where the project has one of its name."""
    for path in sorted((ROOT / "experiments" / "configs").rglob(f"{folder.name}.yaml")):
        head = takewhile(lambda line: line.startswith("#"), path.read_text(encoding="utf-8").splitlines())
        question, _, rest = "\n".join(line.lstrip("# ") for line in head).partition("uv run python")
        return [" ".join(part.split()) for part in (question, rest.partition("\n")[2]) if part.strip()]
    return [f"What do {', '.join(folder.experiment.methods)} get on people the model never met?"]


def _data(folder: ExperimentFolder) -> list[Block]:
    summary, data = folder.summary, folder.data
    corpora = ", ".join(one["class_path"].rpartition(".")[2] for one in summary["corpus"])
    rows = [
        ("Corpus", corpora),
        ("People, trials, windows", f"{summary['subjects']}, {summary['trials']}, {summary['windows']}"),
    ]
    if data:
        window = data["window"]
        rows.append(("Window", f"{window['seconds']:g} s, every {window['step']:g} s"))
        rows += [(f"Stream {name}", _stream(about)) for name, about in data["streams"].items()]
    blocks: list[Block] = [Facts(rows)]
    for target, block in summary["targets"].items():
        caution = difference(block["priors"], block["classes"])
        blocks.append(Text([of_all(target, block["priors"], block["classes"]), *([caution] if caution else [])]))
    left_out = summary["trials_left_out"]
    if left_out:
        blocks.append(Text([f"{counted(len(left_out), 'trial')} left out:", *left_out[:_SHOWN]]))
    if data and data["defects"]:
        head = list(data["defects"][0])
        listed = [[str(row[name]) for name in head] for row in data["defects"]]
        blocks.append(Table(head, listed[:_SHOWN], f"Recordings that are not as they should be: {len(listed)} rows"))
    elif data:
        blocks.append(Text(["Quality: nothing missing, dead or clipped in any trial."]))
    return blocks


def _stream(about: dict[str, Any]) -> str:
    said = [counted(len(about["channels"]), "channel")]
    said += [f"{about['rate']:g} Hz"] if about["rate"] else ["one value a trial"]
    said += [about["unit"]] if about["unit"] and len(about["unit"]) < 30 else []
    if about["features"]:
        said.append(f"{counted(len(about['features']), 'feature')} a channel")
    elif about["rate"]:
        said.append("as samples")
    return ", ".join(said) + (f"; absent in {counted(about['absent'], 'trial')}" if about["absent"] else "")


def _results(folder: ExperimentFolder) -> list[Block]:
    summary = folder.summary
    unit = "folds" if summary["unit"] == "fold" else "people"
    protocol = summary["protocol"]["class_path"].rpartition(".")[2]
    said = f"{protocol}; seeds {summary['seeds']}; selection: {summary['selection']}. "
    said += f"Means over {unit} with 95 % bootstrap intervals; Δ, p and helped/hurt are against source-only under the "
    said += "same normalisation (Wilcoxon, Holm over the table). Bold: better than source-only, p (Holm) < .05."
    near = "People train each other's models: near chance these intervals are too narrow."
    blocks: list[Block] = [Text([said, near])]
    for target, block in summary["targets"].items():
        head, *rows = cells(block)
        trivial = range(len(block["methods"]), len(rows))
        blocks.append(Table(head, rows, headline(target, block, summary), list(trivial), _better(block)))
        blocks += [Text(told) for told in [told_apart(block)] if told]
        if uncertain := block.get("uncertainty"):
            head, *rows = uncertainty_cells(uncertain)
            blocks.append(Table(head, rows, _HOW_SURE))
    blocks += [Text([line for line in alignments(summary["alignment"], summary["search"]) if line])]
    return blocks


def _better(block: dict[str, Any]) -> list[int]:
    """Rows that source-only is told apart from, on the better side, in the first metric."""
    rows = block["methods"].values()
    return [i for i, row in enumerate(rows) if sign_of(next(iter(row["window"].values()))) == 1]


def _audit(folder: ExperimentFolder) -> list[Block]:
    if not folder.audit:
        return [Text(["Not made: the experiment's command with --audit makes it."])]
    leaks = folder.audit["leaks"]
    rows = [[c["check"], c["verdict"], "; ".join([c["said"], *c["found"]])] for c in folder.audit["checks"]]
    head = f"LEAK: {', '.join(leaks)}" if leaks else "No leak found."
    strong = [i for i, row in enumerate(rows) if row[1] == "LEAK"]
    return [Text([head]), Table(["check", "verdict", "what was looked at"], rows, strong=strong)]


def _again(folder: ExperimentFolder) -> list[Block]:
    seconds, unknown = folder.costs()
    cost = (
        f"{counted(len(seconds), 'run')}, {np.sum(seconds) / 60:.1f} min in all, {np.median(seconds):.1f} s each "
        if (seconds)
        else ""
    )
    cost += "(median; training and testing, one process each, without preparing the data)" if seconds else ""
    cost += f"{'; ' if cost else ''}not known of {counted(unknown, 'run')}" if unknown else ""
    told = {name: ", ".join(values) for name, values in folder.provenance.items()}
    rows = [
        *((name.capitalize() if name != "affect" else "affect", value) for name, value in told.items()),
        ("Data fingerprint", folder.summary["data_fingerprint"]),
        ("Folder", folder.path.name),
        ("Cost", cost),
    ]
    config = folder.path / "config.yaml"
    commands = [
        f"uv run python experiments/run.py --config {config}",
        f"uv run python scripts/report.py {folder.path}         # this page, with all figures",
        f"uv run python scripts/report.py {folder.path} --deep  # and those that take data and networks",
    ]
    text = config.read_text(encoding="utf-8")
    lines = counted(len(text.splitlines()), "line")
    return [Code("\n".join(commands)), Facts(rows), Code(text, f"config.yaml: all of the experiment, {lines}")]
