"""A summary as the table a reader sees in the terminal."""

from typing import Any

from affect.reporting.priors import difference, of_one
from affect.reporting.verdict import sign_of, verdict
from affect.reporting.words import counted, probability

_COLUMNS = {
    "classes": ("balanced_accuracy", "accuracy", "macro_f1", "auroc"),
    "regression": ("ccc", "pearson", "rmse", "mae"),
}
_HEADS = {
    "balanced_accuracy": "balanced accuracy",
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "auroc": "AUROC",
    "ccc": "CCC",
    "pearson": "r",
    "rmse": "RMSE",
    "mae": "MAE",
}


def table(summary: dict[str, Any]) -> str:
    """A block for each target: methods as rows, the first metric with its interval and its test against source-only."""
    unit = "folds" if summary.get("unit") == "fold" else "people"
    lines = [
        f"{summary['experiment']} · {_name(summary['protocol'])} · {summary['subjects']} people, {_counts(summary)}"
        f" · seeds {summary['seeds']} · selection: {summary['selection']}",
        f"mean over {unit}, [95 % bootstrap interval over {unit}]",
        "people train each other's models: near chance these intervals are too narrow",
    ]
    for name, block in summary["targets"].items():
        lines += ["", headline(name, block, summary), *_rows(block), *_streams(block, summary.get("shares", {}))]
        lines += [*_uncertainty(block.get("uncertainty", {})), *_choices(block)]
    lines += alignments(summary.get("alignment", {}), summary.get("search"))
    if summary["trials_left_out"]:
        lines.append(f"\n{counted(len(summary['trials_left_out']), 'trial')} left out: see summary.json")
    return "\n".join(lines)


def headline(name: str, block: dict[str, Any], summary: dict[str, Any]) -> str:
    """What is predicted, how its labels lie, what chance is; how much is labelled where that is not all."""
    known = of_one(block["priors"]["all"], block["classes"])
    scale = f"; scale {block['bounds'][0]:g} to {block['bounds'][1]:g}" if block["bounds"] else ""
    chance = ", ".join(f"{_HEADS[metric]} {value:.3f}" for metric, value in block["chance"].items())
    fewer = f" · {_counts(block)}" if _counts(block) != _counts(summary) else ""
    outside = block["closed_set_leaves_out"]
    closed = f" · closed set: {outside} trials of other classes left out on both sides" if outside else ""
    return f"{name} ({known}{scale}){fewer} · chance: {chance}{closed}"


def _counts(facts: dict[str, Any]) -> str:
    return f"{facts['trials']} trials, {facts['windows']} windows"


def _rows(block: dict[str, Any]) -> list[str]:
    caution = difference(block["priors"], block["classes"])
    return [*_aligned(cells(block)), *told_apart(block), *([caution] if caution else [])]


def told_apart(block: dict[str, Any]) -> list[str]:
    """What the tests of the first metric say, where something was compared."""
    metric = _COLUMNS[block["kind"]][0]
    signs = {name: sign_of(row["window"][metric]) for name, row in block["methods"].items()}
    compared = {name: own for name, own in signs.items() if own is not None}
    return [verdict(compared)] if compared else []


def cells(block: dict[str, Any]) -> list[list[str]]:
    """The table of one target: its head, a row for each method, a row for each trivial predictor."""
    first, *others = _COLUMNS[block["kind"]]
    header = ["method", "normalisation", "setting", _HEADS[first], "per trial", *(_HEADS[metric] for metric in others)]
    header += ["Δ source-only", "p", "p (Holm)", "helped/hurt"]
    methods = [
        [r["method"], r["normalisation"], r["setting"], *_cells(r, first, others), *_against(r["window"][first])]
        for r in block["methods"].values()
    ]
    trivial = [
        [kind, "–", "no signal", *_cells(r, first, others), *_against(None)] for kind, r in block["trivial"].items()
    ]
    return [header, *methods, *trivial]


def _streams(block: dict[str, Any], shares: dict[str, Any]) -> list[str]:
    """What single streams get, alone or when others are missing, and how much each counts."""
    metric = _HEADS[_COLUMNS[block["kind"]][0]]
    lines = []
    for row, heads in block.get("stream_heads", {}).items():
        lines.append(f"{row}: {metric} of each stream's own head: {_listed(heads)}")
    for row, missing in block.get("missing_streams", {}).items():
        lines.append(f"{row}: {metric} with these streams alone: {_listed(missing['subsets'])}")
        lines.append(f"{row}: {metric} with streams lost at random: {_listed(missing['rates'])}")
    for row, found in shares.items():
        told = ", ".join(f"{stream} {share:.2f}" for stream, share in found["mean"].items())
        lines.append(f"{row}: share of each stream: {told}")
    return ["", *lines] if lines else []


def _uncertainty(found: dict[str, Any]) -> list[str]:
    """How sure methods are and how rightly, where held-out source windows could teach them; nothing elsewhere."""
    if all(row["not_fitted"] for row in found.get("methods", {}).values()):
        return []
    nominal = f"{100 * found['nominal']:g} %"
    return [
        "",
        f"uncertainty on windows; T: temperature learned on held-out source; ECE ({found['bins']} bins) and Brier "
        "before → after it",
        *_aligned(uncertainty_cells(found)),
        f"sets promise a coverage of {nominal} to people exchangeable with the held-out source; tested people are not",
    ]


def uncertainty_cells(found: dict[str, Any]) -> list[list[str]]:
    """A head and a row for each method of a target's `uncertainty`."""
    cells = [["method/normalisation", "T", "ECE", "Brier", "AURC", "coverage", "short by", "people below", "set size"]]
    for name, row in found["methods"].items():
        own, sets = row["window"], row["window"].get("coverage")
        scores, risk = [_mean(own[metric]) for metric in ("ece", "brier")], _mean(own["aurc"])
        if sets is None:
            cells.append([name, "not fitted", *scores, risk, "–", "–", "–", "–"])
            continue
        scores = [f"{before} → {_mean(own[f'{m}_scaled'])}" for before, m in zip(scores, ("ece", "brier"), strict=True)]
        cells.append([name, f"{row['temperature']['median']:.2f}", *scores, risk])
        cells[-1].append(f"{sets['mean']:.3f} [{sets['low']:.3f}, {sets['high']:.3f}]")
        cells[-1].append(f"{max(0.0, found['nominal'] - sets['mean']):.3f}")
        lowest = min(sets["subjects"].values())
        cells[-1] += [f"{row['below']} of {sets['people']}, lowest {lowest:.3f}", _mean(own["set_size"])]
    return cells


def _choices(block: dict[str, Any]) -> list[str]:
    """What each validator's choice gets, beside that of an oracle who knows the target's labels."""
    found = block.get("selection", {})
    if not found:
        return []
    metric = _COLUMNS[block["kind"]][0]
    names = list(dict.fromkeys(name for row in found.values() for name in row))
    cells = [
        [row, *(f"{v[name][metric]:.3f} ({v[name]['regret']:.3f})" if name in v else "–" for name in names)]
        for row, v in found.items()
    ]
    title = f"{_HEADS[metric]} of what each validator chooses (regret: how much less than the oracle's choice)"
    return ["", title, *_aligned([["method/normalisation", *names], *cells])]


def alignments(found: dict[str, Any], search: dict[str, Any] | None) -> list[str]:
    """The budget of a search; how far apart source and target are; adversaries that are none."""
    lines = []
    if search:
        lines.append(f"{search['candidates']} settings tried with every method ({search['sampler']})")
    told = {row: f"{_number(v['a_distance_before'])} → {_number(v['a_distance_after'])}" for row, v in found.items()}
    if any(v["a_distance_after"] is not None for v in found.values()):
        lines.append(
            "proxy A-distance source–target before → after training (0: alike, 2: apart): "
            + ", ".join(f"{row} {text}" for row, text in told.items())
        )
    for row, v in found.items():
        for state, told_as in (
            ("dead", "is dead in {} runs: its domain head cannot learn"),
            ("wins", "wins in {} runs: the encoder hides nothing from it"),
        ):
            if count := v.get("adversary", {}).get(state, 0):
                lines.append(f"warning: {row}: the adversary {told_as.format(count)}")
    return ["", *lines] if lines else []


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _listed(found: dict[str, Any]) -> str:
    return ", ".join(f"{name} {_mean(statistic)}" for name, statistic in found.items())


def _cells(row: dict[str, Any], first: str, others: list[str]) -> list[str]:
    found = row["window"][first]
    interval = "–" if found is None else f"{found['mean']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"
    return [interval, _mean(row["trial"][first]), *(_mean(row["window"][metric]) for metric in others)]


def _against(statistic: dict[str, Any] | None) -> list[str]:
    comparison = (statistic or {}).get("vs_source_only")
    if comparison is None:
        return ["", "", "", ""]
    difference = comparison["difference"]
    return [
        f"{difference['mean']:+.3f} [{difference['low']:+.3f}, {difference['high']:+.3f}]",
        probability(comparison["p"]),
        probability(comparison["p_holm"]),
        f"{comparison['helped']}/{comparison['hurt']}",
    ]


def _mean(statistic: dict[str, Any] | None) -> str:
    return "–" if statistic is None else f"{statistic['mean']:.3f}"


def _name(component: dict[str, Any]) -> str:
    return str(component["class_path"]).rpartition(".")[2]


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [lines[0], "─" * max(len(line) for line in lines), *lines[1:]]
