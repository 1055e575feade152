"""Kinds of failure <-> gRPC status codes, as numbers: the table, without gRPC itself.

The status code is for every peer; our own peers also read the kind and the hint from trailers
(``wire.errors``), so that an error comes out of a call as it went in.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

from flwr.core.errors import ErrorKind, FlwrError
from flwr.wire.transport import failure_of

MAX_DETAIL_CHARS: Final = 1500  # details and hint share the 8 KiB that peers accept as trailers


class StatusCode(IntEnum):
    """gRPC's status codes by number."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


_CODE_OF: Final[Mapping[ErrorKind, StatusCode]] = {
    ErrorKind.INVALID: StatusCode.INVALID_ARGUMENT,
    ErrorKind.NOT_FOUND: StatusCode.NOT_FOUND,
    ErrorKind.ALREADY_EXISTS: StatusCode.ALREADY_EXISTS,
    ErrorKind.FAILED_PRECONDITION: StatusCode.FAILED_PRECONDITION,
    ErrorKind.NOT_RUNNING: StatusCode.PERMISSION_DENIED,  # what every client expects (§6)
    ErrorKind.UNAUTHENTICATED: StatusCode.UNAUTHENTICATED,
    ErrorKind.DENIED: StatusCode.PERMISSION_DENIED,
    ErrorKind.TOO_LARGE: StatusCode.RESOURCE_EXHAUSTED,
    ErrorKind.UNAVAILABLE: StatusCode.UNAVAILABLE,
    ErrorKind.UNIMPLEMENTED: StatusCode.UNIMPLEMENTED,
    ErrorKind.INTERNAL: StatusCode.INTERNAL,
}

_KIND_OF: Final[Mapping[StatusCode, ErrorKind]] = {
    StatusCode.CANCELLED: ErrorKind.UNAVAILABLE,  # by the peer, which is stopping
    StatusCode.UNKNOWN: ErrorKind.INTERNAL,
    StatusCode.INVALID_ARGUMENT: ErrorKind.INVALID,
    StatusCode.DEADLINE_EXCEEDED: ErrorKind.UNAVAILABLE,
    StatusCode.NOT_FOUND: ErrorKind.NOT_FOUND,
    StatusCode.ALREADY_EXISTS: ErrorKind.ALREADY_EXISTS,
    StatusCode.PERMISSION_DENIED: ErrorKind.NOT_RUNNING,  # except on Control, see kind_of
    StatusCode.RESOURCE_EXHAUSTED: ErrorKind.TOO_LARGE,
    StatusCode.FAILED_PRECONDITION: ErrorKind.FAILED_PRECONDITION,
    StatusCode.ABORTED: ErrorKind.FAILED_PRECONDITION,
    StatusCode.OUT_OF_RANGE: ErrorKind.INVALID,
    StatusCode.UNIMPLEMENTED: ErrorKind.UNIMPLEMENTED,
    StatusCode.INTERNAL: ErrorKind.INTERNAL,
    StatusCode.UNAVAILABLE: ErrorKind.UNAVAILABLE,
    StatusCode.DATA_LOSS: ErrorKind.INTERNAL,
    StatusCode.UNAUTHENTICATED: ErrorKind.UNAUTHENTICATED,
}

_CONTROL: Final = "/flwr.proto.Control/"


def code_of(kind: ErrorKind, method: str) -> StatusCode:
    """Return the status code that tells ``kind`` to a caller of ``method`` (full path).

    Outside Control the code for "too large" would make upstream's apps take an empty answer for
    the truth (wire contract §6), so they get "invalid" instead.
    """
    if kind is ErrorKind.TOO_LARGE and not method.startswith(_CONTROL):
        return StatusCode.INVALID_ARGUMENT
    return _CODE_OF[kind]


def kind_of(code: int, method: str) -> ErrorKind:
    """Return what a status code without further trailers means on ``method`` (full path)."""
    if code == StatusCode.PERMISSION_DENIED and method.startswith(_CONTROL):
        return ErrorKind.DENIED
    return _KIND_OF.get(StatusCode(code), ErrorKind.INTERNAL)


def error_of(code: int, details: str, *, method: str, kind: str = "", hint: str = "") -> FlwrError:
    """Rebuild the error a peer reported, as the general class of its kind.

    Args:
        code: gRPC's status number.
        details: the status' text, for a person.
        method: full path of the call.
        kind: the trailer of one of our own peers, empty from any other.
        hint: the trailer with the remedy, empty from any other.
    """
    try:
        known = ErrorKind(kind) if kind else kind_of(code, method)
    except ValueError:  # a newer peer knows more kinds
        known = kind_of(code, method)
    return failure_of(known, details or StatusCode(code).name.lower(), hint=hint)


def clip(text: str) -> str:
    """Return ``text`` short enough for a trailer."""
    return text if len(text) <= MAX_DETAIL_CHARS else f"{text[: MAX_DETAIL_CHARS - 3]}..."
