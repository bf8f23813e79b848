"""What a check of the leak audit found."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

_SHOWN = 3


@dataclass(frozen=True)
class Verdict:
    """Of one check.

    Args:
        check: its name.
        verdict: `exempt` where the experiment does not promise what would be checked.
        said: what was looked at, with numbers; or why it is exempt.
        found: leaks: who, what and where.
        remedy: what to do about them.
    """

    check: str
    verdict: Literal["pass", "LEAK", "exempt"]
    said: str
    found: list[str] = field(default_factory=list)
    remedy: str = ""

    def __str__(self) -> str:
        shown = self.found[:_SHOWN] + ([f"… {len(self.found)} in all"] if len(self.found) > _SHOWN else [])
        more = [*shown, f"do: {self.remedy}"] if self.found else []
        return "\n".join([f"{self.check:<12} {self.verdict:<6}  {self.said}", *(f"{'':22}{line}" for line in more)])


def judge(check: str, said: str, found: Sequence[str], remedy: str) -> Verdict:
    """A leak if anything was found that contradicts what is `said`."""
    unique = list(dict.fromkeys(found))
    return Verdict(check, "LEAK", f"not so: {said}", unique, remedy) if unique else Verdict(check, "pass", said)
