"""An audit of the tiny experiment, with what a test changes of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from experiments.audit.verdict import Verdict
    from experiments.plan import Plan
    from tests.experiments.conftest import Place

ALONE = "--methods={}"  # source-only


def planned(place: Place, *overrides: str) -> Plan:
    from experiments.check import check
    from experiments.load import load
    from experiments.plan import make

    _, *own = place.arguments("--trainer.max_epochs=1", *overrides)
    return make(check(load(place.config, own)))


def audited(place: Place, *overrides: str) -> dict[str, Verdict]:
    """Check → verdict."""
    from experiments.audit import audit

    return {verdict.check: verdict for verdict in audit(planned(place, *overrides))}


def leaks(verdicts: Mapping[str, Verdict]) -> set[str]:
    return {name for name, verdict in verdicts.items() if verdict.verdict == "LEAK"}
