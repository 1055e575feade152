"""The base of every error this project raises on purpose.

Concrete errors live beside the rule they report.  An error knows its kind; edges turn the kind into
a gRPC status (``wire.errors``) or a process exit code (``shell.exits``).
"""

from enum import StrEnum


class ErrorKind(StrEnum):
    """Whose fault it is, and what the caller may do about it."""

    INVALID = "invalid"  # the request or file is malformed: change it
    NOT_FOUND = "not-found"  # no such thing, or not yours
    ALREADY_EXISTS = "already-exists"
    FAILED_PRECONDITION = "failed-precondition"  # right request, wrong state
    NOT_RUNNING = "not-running"  # the run is not running: clients drop their work for it
    UNAUTHENTICATED = "unauthenticated"  # no valid proof of identity
    DENIED = "denied"  # identity proven, right missing
    TOO_LARGE = "too-large"  # a limit of core.limits was exceeded
    UNAVAILABLE = "unavailable"  # a dependency cannot be reached now: try again
    UNIMPLEMENTED = "unimplemented"
    INTERNAL = "internal"  # a bug of ours


class FlwrError(Exception):
    """An expected failure: what happened, what was wanted, what to do next."""

    kind: ErrorKind = ErrorKind.INTERNAL

    def __init__(self, message: str, *, hint: str = "") -> None:
        """Keep the sentence and, separately, the remedy shown to a person."""
        super().__init__(message)
        self.message = message
        self.hint = hint


class InvalidError(FlwrError):
    """The request, file or value is malformed."""

    kind = ErrorKind.INVALID


class NotFoundError(FlwrError):
    """No such thing, or it belongs to somebody else."""

    kind = ErrorKind.NOT_FOUND


class AlreadyExistsError(FlwrError):
    """The thing exists already."""

    kind = ErrorKind.ALREADY_EXISTS


class FailedPreconditionError(FlwrError):
    """The request is right but the state forbids it."""

    kind = ErrorKind.FAILED_PRECONDITION


class ConflictError(FlwrError):
    """Another writer changed the row first; re-read and decide again."""

    kind = ErrorKind.FAILED_PRECONDITION


class UnauthenticatedError(FlwrError):
    """The caller did not prove who it is."""

    kind = ErrorKind.UNAUTHENTICATED


class DeniedError(FlwrError):
    """The caller is known and may not do this."""

    kind = ErrorKind.DENIED


class TooLargeError(FlwrError):
    """A size limit was exceeded."""

    kind = ErrorKind.TOO_LARGE


class UnavailableError(FlwrError):
    """A dependency cannot be reached now."""

    kind = ErrorKind.UNAVAILABLE


class UnimplementedError(FlwrError):
    """The peer does not offer this call."""

    kind = ErrorKind.UNIMPLEMENTED
