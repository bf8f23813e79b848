"""The leak audit: `run.py --audit` looks for every way in which a tested person may have been known before."""

import json
from dataclasses import asdict

from affect.evaluation.canary import Neighbours
from affect.preprocessing.normalisation import Normalisation
from datamodules.atomic import write_text
from datamodules.protocols import Fold, Protocol
from experiments.audit import disjoint, gap, hidden, inductive, noise, recordings
from experiments.audit.verdict import Verdict
from experiments.components import build
from experiments.plan import Plan


def audit(plan: Plan) -> list[Verdict]:
    """What every check found."""
    protocol = build(plan.experiment.protocol, Protocol, "protocol")
    windows: list[tuple[Fold, dict[str, disjoint.Rows]]] = []
    near: dict[Normalisation, list[Neighbours]] = {"source": [], "subject": []}
    first = {run.fold.name: run for run in reversed(plan.runs)}
    for fold in plan.folds:
        data = noise.data_of(plan, first[fold.name])
        parts = {"training": data.source_train, "validation": data.source_val, "testing": data.target_test}
        windows.append((fold, parts))
        for normalisation, folds in near.items():
            seen = data if normalisation == "source" else noise.data_of(plan, first[fold.name], normalisation)
            if (found := noise.neighbours_of(plan, seen)) is not None:
                folds.append(found)
    return [
        disjoint.people(plan, protocol),
        disjoint.trials(plan, windows),
        recordings.recordings(plan),
        recordings.parts(plan, protocol),
        disjoint.stimuli(plan, protocol),
        disjoint.pretraining_people(plan),
        noise.random_labels(plan, near),
        hidden.shuffled_labels(plan, protocol),
        inductive.other_signals(plan),
    ]


def report(plan: Plan) -> tuple[str, bool]:
    """Audit, measure the leak gap, and leave `audit.json` and `leak_gap.png` in the experiment's folder.

    Returns:
        What is printed, and whether there is a leak.
    """
    verdicts, measured = audit(plan), gap.measure(plan)
    leaks = [verdict.check for verdict in verdicts if verdict.verdict == "LEAK"]
    said = gap.report(plan, measured)
    content = {
        "experiment": plan.experiment.name,
        "leaks": leaks,
        "checks": [asdict(verdict) for verdict in verdicts],
        "leak_gap": gap.as_dict(plan, measured),
    }
    write_text(plan.folder / "audit.json", json.dumps(content, indent=1, ensure_ascii=False))
    end = f"LEAK: {', '.join(leaks)}" if leaks else "no leak found"
    lines = [*map(str, verdicts), *said, f"{end} → {plan.folder / 'audit.json'}"]
    return "\n".join(lines), bool(leaks)
