"""Exit codes, and the one place where an error becomes one."""

import logging
import os
import signal
import sys
from collections.abc import Callable
from enum import IntEnum
from types import FrameType
from typing import Final, NoReturn

from flwr.core.errors import ErrorKind, FlwrError

logger = logging.getLogger(__name__)


class ExitCode(IntEnum):
    """What a process tells whoever started it."""

    DONE = 0  # finished, or drained after SIGTERM
    BUG = 1  # our mistake; the log has a traceback
    USAGE = 2  # flags, configuration or input files
    UNREACHABLE = 3  # a dependency (peer, port, disk, database) is not to be had
    NOT_FOUND = 4
    DENIED = 5
    WRONG_STATE = 6


_BY_KIND: Final = {
    ErrorKind.INVALID: ExitCode.USAGE,
    ErrorKind.NOT_FOUND: ExitCode.NOT_FOUND,
    ErrorKind.ALREADY_EXISTS: ExitCode.WRONG_STATE,
    ErrorKind.FAILED_PRECONDITION: ExitCode.WRONG_STATE,
    ErrorKind.NOT_RUNNING: ExitCode.WRONG_STATE,
    ErrorKind.UNAUTHENTICATED: ExitCode.DENIED,
    ErrorKind.DENIED: ExitCode.DENIED,
    ErrorKind.TOO_LARGE: ExitCode.USAGE,
    ErrorKind.UNAVAILABLE: ExitCode.UNREACHABLE,
    ErrorKind.UNIMPLEMENTED: ExitCode.WRONG_STATE,
    ErrorKind.INTERNAL: ExitCode.BUG,
}


def exit_code_of(error: FlwrError) -> ExitCode:
    """Return the exit code of an expected failure."""
    return _BY_KIND[error.kind]


def run_program(program: str, body: Callable[[], int]) -> int:
    """Run a daemon's body; print an expected failure as cause and remedy, never a traceback."""
    heed_sigterm()
    try:
        return body()
    except FlwrError as error:
        return report_failure(program, error)
    except BaseExceptionGroup as group:
        expected = first_expected(group)
        if expected is None:
            raise
        return report_failure(program, expected)
    except KeyboardInterrupt:
        return ExitCode.DONE


def heed_sigterm() -> None:
    """End at SIGTERM also as process 1 of a container, whose signals have no default action."""
    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, _end_at_once)


def _end_at_once(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def first_expected(group: BaseExceptionGroup[BaseException]) -> FlwrError | None:
    """Return the first expected failure inside a task group's exceptions."""
    for error in group.exceptions:
        if isinstance(error, FlwrError):
            return error
        if isinstance(error, BaseExceptionGroup) and (found := first_expected(error)):
            return found
    return None


def report_failure(program: str, error: FlwrError) -> int:
    """Print ``error`` on stderr for a person, log it, and return its exit code."""
    code = exit_code_of(error)
    logger.error("Exiting", extra={"event": "exit", "exit_code": int(code), "cause": error.message})
    sys.stderr.write(f"{program}: error: {error.message}\n")
    if error.hint:
        sys.stderr.write(f"  what to do: {error.hint}\n")
    return int(code)
