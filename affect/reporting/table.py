"""A summary as the table a reader sees in the terminal."""

from typing import Any

_COLUMNS = ("balanced_accuracy", "accuracy", "macro_f1", "auroc")


def table(summary: dict[str, Any]) -> str:
    """Methods as rows; balanced accuracy with interval and test against source-only, the other metrics beside it."""
    target = summary["target"]
    priors = ", ".join(f"{name} {share:.2f}" for name, share in summary["class_priors"]["all"].items())
    chance = summary["chance"]["balanced_accuracy"]
    lines = [
        f"{summary['experiment']}: {target['init_args']['rating']} ({priors}) · {_name(summary['protocol'])}"
        f" · {summary['subjects']} people, {summary['trials']} trials, {summary['windows']} windows"
        f" · seeds {summary['seeds']} · selection: {summary['selection']}",
        f"mean over people, [95 % bootstrap interval over people]; chance (balanced accuracy, AUROC)"
        f" {chance:.3f}, {summary['chance']['auroc']:.3f}",
        "people train each other's models: near chance these intervals are too narrow",
        "",
    ]
    header = ["method", "normalisation", "setting", "balanced accuracy", "per trial", "accuracy", "macro-F1", "AUROC"]
    header += ["Δ source-only", "p", "helped/hurt"]
    methods = [
        [r["method"], r["normalisation"], r["setting"], *_cells(r), *_against(r)] for r in summary["methods"].values()
    ]
    trivial = [[kind, "–", "no signal", *_cells(r), "", "", ""] for kind, r in summary["trivial"].items()]
    lines += _aligned([header, *methods, *trivial])
    if summary["trials_left_out"]:
        lines.append(f"\n{len(summary['trials_left_out'])} trials left out: see summary.json")
    return "\n".join(lines)


def _cells(row: dict[str, Any]) -> list[str]:
    window, trial = row["window"], row["trial"]
    first = window["balanced_accuracy"]
    return [
        f"{first['mean']:.3f} [{first['low']:.3f}, {first['high']:.3f}]",
        _mean(trial["balanced_accuracy"]),
        *(_mean(window[metric]) for metric in _COLUMNS[1:]),
    ]


def _against(row: dict[str, Any]) -> list[str]:
    comparison = row["window"]["balanced_accuracy"].get("vs_source_only")
    if comparison is None:
        return ["", "", ""]
    difference = comparison["difference"]
    return [
        f"{difference['mean']:+.3f} [{difference['low']:+.3f}, {difference['high']:+.3f}]",
        f"{comparison['p']:.3f}",
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
