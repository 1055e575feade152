"""The tool's one kind of expected failure: a cause and what to type next."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What a command tells its caller; 2 and above mean the same as in every program here."""

    DONE = 0
    FINDINGS = 1  # `check` only: something is broken or expires soon
    USAGE = 2
    UNREACHABLE = 3  # the disk, or a library that is not installed
    NOT_FOUND = 4
    WRONG_STATE = 6


class PkiError(Exception):
    """Something a person has to decide or mend."""

    def __init__(self, cause: str, hint: str, *, code: ExitCode = ExitCode.USAGE) -> None:
        """Keep the cause, the remedy and the exit code."""
        super().__init__(cause)
        self.cause, self.hint, self.code = cause, hint, code
