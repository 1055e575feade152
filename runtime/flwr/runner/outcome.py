"""How an app's process ended: what it says itself, and what is concluded when it cannot.

The child sends at most one report over the pipe before it exits; a child that sent none has
crashed, whatever its exit code.
"""

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Final

from flwr.core.errors import InvalidError

REPORT_METHOD: Final = "runner/Report"
"""Name under which the child's report travels over the pipe; the runner answers it itself."""

_MAX_DETAILS: Final = 4_000  # characters of an exception's text that are kept as a run's details


class Outcome(StrEnum):
    """What became of the app."""

    COMPLETED = "completed"  # it returned, and its outputs were accepted
    FAILED = "failed"
    STOPPED = "stopped"  # its run ended before it did, or somebody sent SIGTERM


class ChildExit(IntEnum):
    """Exit codes of the app's process; informative, the report decides."""

    DONE = 0
    APP_FAILED = 1
    STOPPED = 3
    RUNNER_LOST = 4


@dataclass(frozen=True, slots=True)
class Report:
    """The end of an app in one line; ``details`` is the cause, for a person."""

    outcome: Outcome
    details: str = ""
    finish: bytes = field(default=b"", repr=False)
    """A FinishRequest: what a ClientApp leaves to its runner to give back."""

    def encode(self) -> bytes:
        """Return ``outcome NUL details NUL finish``."""
        details = self.details.replace("\0", " ").encode(errors="backslashreplace")
        return b"\0".join((self.outcome.encode(), details, self.finish))


class RunEndedError(BaseException):
    """The run ended while the app was at work.

    No ``Exception``: an app's own ``except Exception`` must not keep it alive.
    """


def decode_report(data: bytes) -> Report:
    """Read what the child sent.

    Raises:
        InvalidError: it is no report.
    """
    try:
        outcome, details, finish = data.split(b"\0", 2)
        return Report(Outcome(outcome.decode()), details.decode(), finish)
    except ValueError as cause:
        raise InvalidError("the app's process sent a malformed report") from cause


def describe_exception(error: BaseException) -> str:
    """Return "ValueError: text", bounded."""
    text = str(error)
    name = type(error).__name__
    return (f"{name}: {text}" if text else name)[:_MAX_DETAILS]


def conclude(report: Report | None, program: str, cause_of_exit: str) -> Report:
    """Return the child's own report, or the failure that its silence means.

    Args:
        report: what the child said, None if it never did.
        program: "ServerApp" or "ClientApp".
        cause_of_exit: such as "was killed by SIGKILL".
    """
    if report is not None:
        return report
    return Report(Outcome.FAILED, f"{program} {cause_of_exit}")
