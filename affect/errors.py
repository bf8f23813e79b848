"""The one error a user is meant to see."""

from pathlib import Path


class UserError(Exception):
    """Something the user can put right: bad input, a bad setting, a full disk.

    Says where it is, what was found, what was expected and what to do; the door prints it without a traceback.

    Args:
        where: the file, or the dotted key of the config.
        found: what is there.
        expected: what should be there.
        remedy: what the user can do about it.
    """

    def __init__(self, where: str | Path, found: str, expected: str, remedy: str) -> None:
        self.where, self.found, self.expected, self.remedy = str(where), found, expected, remedy
        super().__init__(f"{where}\n  found:    {found}\n  expected: {expected}\n  do:       {remedy}")

    def __reduce__(self) -> tuple[type["UserError"], tuple[str, str, str, str]]:
        # An exception is pickled by its message by default; this one crosses process borders whole.
        return type(self), (self.where, self.found, self.expected, self.remedy)


class SetupError(UserError):
    """A UserError about the experiment, not about a recording: leaving trials or people out does not cure it."""
