"""The table that is printed, and the words about labels before it: what the summary holds, letter by letter."""

from typing import Any

import pytest

from affect.reporting.priors import of_all, of_everybody
from affect.reporting.table import table


def statistic(mean: float, **more: Any) -> dict[str, Any]:
    return {"mean": mean, "low": mean - 0.05, "high": mean + 0.05, "sd": 0.1, "people": 4, "subjects": {}, **more}


def classes(mean: float, auroc: float | None, **more: Any) -> dict[str, Any]:
    return {
        "balanced_accuracy": statistic(mean, **more),
        "accuracy": statistic(mean + 0.01),
        "macro_f1": statistic(mean - 0.01),
        "auroc": None if auroc is None else statistic(auroc),
    }


def values(mean: float, r: float | None, **more: Any) -> dict[str, Any]:
    return {
        "ccc": statistic(mean, **more),
        "pearson": None if r is None else statistic(r),
        "rmse": statistic(2.1),
        "mae": statistic(1.6),
    }


AGAINST = {"difference": statistic(0.04), "p": 0.125, "p_holm": 0.25, "effect": 0.8, "helped": 3, "hurt": 1}
SOURCE_ONLY = {"method": "source-only", "normalisation": "source", "setting": "inductive"}
DANN = {"method": "dann", "normalisation": "source", "setting": "transductive"}
VALENCE = {
    "kind": "classes",
    "classes": ["low", "high"],
    "bounds": None,
    "trials": 16,
    "windows": 160,
    "closed_set_leaves_out": 0,
    "priors": {"all": {"low": 0.4375, "high": 0.5625}, "subjects": {}},
    "chance": {"balanced_accuracy": 0.5, "auroc": 0.5},
    "methods": {
        "source-only/source": {**SOURCE_ONLY, "window": classes(0.6, 0.65), "trial": classes(0.64, 0.7)},
        "dann/source": {
            **DANN,
            "window": classes(0.64, None, vs_source_only=AGAINST),
            "trial": classes(0.7, None),
        },
    },
    "trivial": {"majority": {"window": classes(0.5, 0.5), "trial": classes(0.5, 0.5)}},
}
AROUSAL = {
    "kind": "regression",
    "classes": [],
    "bounds": [1.0, 9.0],
    "trials": 15,
    "windows": 150,
    "closed_set_leaves_out": 0,
    "priors": {"all": {"mean": 5.2, "sd": 2.04, "low": 1.0, "high": 8.9}, "subjects": {}},
    "chance": {"ccc": 0.0, "pearson": 0.0},
    "methods": {
        "source-only/source": {**SOURCE_ONLY, "window": values(0.3, 0.35), "trial": values(0.4, 0.45)},
        "dann/source": {**DANN, "window": values(0.34, 0.4, vs_source_only=AGAINST), "trial": values(0.42, 0.5)},
    },
    "trivial": {"source-mean": {"window": values(0.0, None), "trial": values(0.0, None)}},
}
SUMMARY: dict[str, Any] = {
    "experiment": "example",
    "protocol": {"class_path": "datamodules.protocols.LeaveOneSubjectOut", "init_args": {}},
    "selection": "last",
    "subjects": 4,
    "trials": 16,
    "windows": 160,
    "seeds": [0, 1],
    "trials_left_out": [],
    "targets": {"valence": VALENCE},
}

NOTHING = "\nAfter Holm (p < 0.05), better than source-only of the same normalisation: nothing. Worse: nothing."
HEAD = """\
example · LeaveOneSubjectOut · 4 people, 16 trials, 160 windows · seeds [0, 1] · selection: last
mean over people, [95 % bootstrap interval over people]
people train each other's models: near chance these intervals are too narrow
"""
CLASSES_TABLE = """
valence (low 0.44, high 0.56) · chance: balanced accuracy 0.500, AUROC 0.500
method       normalisation  setting       balanced accuracy     per trial  accuracy  macro-F1  AUROC  Δ source-only            p      p (Holm)  helped/hurt
───────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
source-only  source         inductive     0.600 [0.550, 0.650]  0.640      0.610     0.590     0.650
dann         source         transductive  0.640 [0.590, 0.690]  0.700      0.650     0.630     –      +0.040 [-0.010, +0.090]  0.125  0.250     3/1
majority     –              no signal     0.500 [0.450, 0.550]  0.500      0.510     0.490     0.500"""  # noqa: E501
CLASSES_TABLE += NOTHING
VALUES_TABLE = """
arousal (mean 5.20, sd 2.04, 1.00 to 8.90; scale 1 to 9) · 15 trials, 150 windows · chance: CCC 0.000, r 0.000
method       normalisation  setting       CCC                    per trial  r      RMSE   MAE    Δ source-only            p      p (Holm)  helped/hurt
──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
source-only  source         inductive     0.300 [0.250, 0.350]   0.400      0.350  2.100  1.600
dann         source         transductive  0.340 [0.290, 0.390]   0.420      0.400  2.100  1.600  +0.040 [-0.010, +0.090]  0.125  0.250     3/1
source-mean  –              no signal     0.000 [-0.050, 0.050]  0.000      –      2.100  1.600"""  # noqa: E501
VALUES_TABLE += NOTHING


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        ({"valence": VALENCE}, HEAD + CLASSES_TABLE),
        ({"arousal": AROUSAL}, HEAD + VALUES_TABLE),
        ({"valence": VALENCE, "arousal": AROUSAL}, HEAD + CLASSES_TABLE + "\n" + VALUES_TABLE),
    ],
)
def test_the_table_prints_what_the_summary_holds(targets: dict[str, Any], expected: str) -> None:
    assert table({**SUMMARY, "targets": targets}) == expected


def test_the_table_says_what_the_tests_told_apart() -> None:
    """Surely worse is told as surely better is; source-only is not compared."""
    sure = {**AGAINST, "p_holm": 0.01}
    rows = {
        f"{name}/source": {**DANN, "window": classes(0.6, None, vs_source_only=test), "trial": classes(0.6, None)}
        for name, test in {"a": sure, "b": {**sure, "effect": -0.8}, "c": AGAINST, "d": sure}.items()
    }
    block = {**VALENCE, "methods": {**VALENCE["methods"], **rows}}
    told = "better than source-only of the same normalisation: a/source, d/source. Worse: b/source."
    assert told in table({**SUMMARY, "targets": {"valence": block}})


def test_the_table_says_that_trials_were_left_out() -> None:
    printed = table({**SUMMARY, "trials_left_out": ["s1, trial 3: NaN", "s2, trial 1: NaN"]})
    assert printed == HEAD + CLASSES_TABLE + "\n\n2 trials left out: see summary.json"


def test_what_nobody_has_is_a_dash() -> None:
    """People with one value each have no concordance."""
    row = {**SOURCE_ONLY, "window": {**values(0, None), "ccc": None}, "trial": {**values(0, None), "ccc": None}}
    printed = table({**SUMMARY, "targets": {"arousal": {**AROUSAL, "methods": {"source-only/source": row}}}})
    (line,) = (line for line in printed.splitlines() if "inductive" in line)
    assert line.split() == ["source-only", "source", "inductive", "–", "–", "–", "2.100", "1.600"]


def test_people_whose_class_shares_differ_are_cautioned_about() -> None:
    shares = {"s1": {"low": 0.45, "high": 0.55}, "s2": {"low": 0.85, "high": 0.15}}
    apart = {**VALENCE, "priors": {"all": {"low": 0.7, "high": 0.3}, "subjects": shares}}
    assert "total variation 0.20 on average, 0.25 for s1" in table({**SUMMARY, "targets": {"valence": apart}})
    assert "total variation" not in table(SUMMARY)


def test_the_most_one_sided_person_is_named() -> None:
    shares = {"s1": {"low": 0.5, "high": 0.5}, "s10": {"low": 0.9, "high": 0.1}, "s3": {"low": 0.3, "high": 0.7}}
    priors = {"all": {"low": 0.6, "high": 0.4}, "subjects": shares}
    assert of_all("valence", priors, ["low", "high"]) == (
        "valence: low 0.60, high 0.40; a person's largest class holds 0.50 to 0.90 of their windows, "
        "most one-sided s10 (low 0.90, high 0.10)"
    )
    alike = {**priors, "subjects": {"s1": shares["s1"], "s2": shares["s1"]}}
    expected = "valence: low 0.60, high 0.40; everybody's largest class holds 0.50 of their windows"
    assert of_all("valence", alike, ["low", "high"]) == expected
    assert of_everybody(priors, ["low", "high"])[:2] == ["s1   low 0.50, high 0.50", "s10  low 0.90, high 0.10"]


def test_of_values_their_spread_is_told() -> None:
    people = {
        "s1": {"mean": 4.0, "sd": 2.0, "low": 1.0, "high": 8.0},
        "s2": {"mean": 6.5, "sd": 0.5, "low": 5.0, "high": 9.0},
    }
    priors = {"all": {"mean": 5.25, "sd": 1.9, "low": 1.0, "high": 9.0}, "subjects": people}
    assert of_all("arousal", priors, []) == (
        "arousal: mean 5.25, sd 1.90, 1.00 to 9.00; people's means 4.00 (s1) to 6.50 (s2), their sd 0.50 to 2.00"
    )
    assert of_everybody(priors, []) == ["s1  mean 4.00, sd 2.00, 1.00 to 8.00", "s2  mean 6.50, sd 0.50, 5.00 to 9.00"]


UNCERTAINTY_TABLE = """
uncertainty on windows; T: temperature learned on held-out source; ECE (15 bins) and Brier before → after it
method/normalisation  T           ECE            Brier          AURC   coverage              short by  people below          set size
─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────
source-only/source    2.10        0.200 → 0.100  0.250 → 0.210  0.300  0.850 [0.800, 0.900]  0.050     1 of 4, lowest 0.600  1.400
dann/source           not fitted  0.200          0.250          0.300  –                     –         –                     –
sets promise a coverage of 90 % to people exchangeable with the held-out source; tested people are not"""  # noqa: E501


def test_the_table_tells_how_sure_methods_are_where_something_was_held_out() -> None:
    alone = {"ece": statistic(0.2), "brier": statistic(0.25), "aurc": statistic(0.3)}
    sets = {"coverage": {**statistic(0.85), "subjects": {"s1": 0.6, "s2": 0.95}}, "set_size": statistic(1.4)}
    fitted = {**alone, "ece_scaled": statistic(0.1), "brier_scaled": statistic(0.21), **sets}
    rows = {
        "source-only/source": {"not_fitted": None, "temperature": {"median": 2.1}, "below": 1, "window": fitted},
        "dann/source": {"not_fitted": "nothing held out", "temperature": None, "below": None, "window": alone},
    }
    block = {**VALENCE, "uncertainty": {"bins": 15, "nominal": 0.9, "methods": rows}}
    assert table({**SUMMARY, "targets": {"valence": block}}) == HEAD + CLASSES_TABLE + "\n" + UNCERTAINTY_TABLE
    silent = {**VALENCE, "uncertainty": {"bins": 15, "nominal": 0.9, "methods": {"dann/source": rows["dann/source"]}}}
    assert table({**SUMMARY, "targets": {"valence": silent}}) == HEAD + CLASSES_TABLE
