"""Which methods a table tells apart from source-only, in one line."""

from collections.abc import Mapping
from typing import Any

LEVEL = 0.05


def sign(p_holm: float, effect: float) -> int:
    """1 where a method is better than source-only and the test holds after Holm, −1 where it is worse, else 0."""
    return 0 if p_holm >= LEVEL or effect == 0 else 1 if effect > 0 else -1


def sign_of(statistic: Mapping[str, Any] | None) -> int | None:
    """That of a summary's score; None where it is of source-only itself, or not defined."""
    test = (statistic or {}).get("vs_source_only")
    return test and sign(test["p_holm"], test["effect"])


def verdict(signs: Mapping[str, int]) -> str:
    """`After Holm (p < 0.05), better than source-only of the same normalisation: nothing. Worse: mcd/subject.`

    Args:
        signs: of all that were compared.
    """
    better, worse = (", ".join(name for name, own in signs.items() if own == told) or "nothing" for told in (1, -1))
    return f"After Holm (p < {LEVEL:g}), better than source-only of the same normalisation: {better}. Worse: {worse}."
