"""What a typed client needs of its transport: blocking calls that take and return bytes.

The child process of a runner speaks through a pipe (``wire.pipe``) and never loads gRPC.  Failures
cross any transport as an ``ErrorKind`` with texts, and come out as errors of ``core.errors``.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, Protocol

from flwr.core.errors import (
    AlreadyExistsError,
    DeniedError,
    ErrorKind,
    FailedPreconditionError,
    FlwrError,
    InvalidError,
    NotFoundError,
    TooLargeError,
    UnauthenticatedError,
    UnavailableError,
    UnimplementedError,
)

Buffers = Sequence[bytes | bytearray | memoryview]
Take = Callable[[bytes | bytearray], None]

NO_METADATA: Final[Mapping[str, str]] = MappingProxyType({})


class Caller(Protocol):
    """Calls a method of the peer; safe to use from several threads."""

    def call(
        self,
        method: str,
        request: bytes,
        *,
        timeout: float | None = None,
        metadata: Mapping[str, str] = NO_METADATA,
    ) -> bytes:
        """Return the serialized response.

        Args:
            method: full path, such as ``/flwr.proto.ServerAppIo/GetNodes``.
            request: the serialized request.
            timeout: seconds; None waits for ever.
            metadata: text keys and values sent along.

        Raises:
            FlwrError: whatever the peer or the transport reports.
        """
        ...

    def stream(
        self,
        method: str,
        request: bytes,
        *,
        more: Iterable[Buffers] = (),
        take: Take,
    ) -> None:
        """Make a call of many messages, and return at its end.

        Args:
            method: full path.
            request: the first message.
            more: those that follow, each in parts that are sent one after the other.
            take: given each message of the response, in another thread.

        Raises:
            FlwrError: whatever the peer or the transport reports, or ``take`` raised.
        """
        ...


class PeerNotRunningError(FlwrError):
    """The peer says that the run is not running: drop the work for it."""

    kind = ErrorKind.NOT_RUNNING


_CLASSES: Final[Mapping[ErrorKind, type[FlwrError]]] = {
    error.kind: error
    for error in (
        AlreadyExistsError,
        DeniedError,
        FailedPreconditionError,
        FlwrError,
        InvalidError,
        NotFoundError,
        PeerNotRunningError,
        TooLargeError,
        UnauthenticatedError,
        UnavailableError,
        UnimplementedError,
    )
}


def failure_of(kind: ErrorKind, message: str, *, hint: str = "") -> FlwrError:
    """Return the error a peer reported, as the general class of its kind."""
    return _CLASSES[kind](message, hint=hint)


# Requests whose body carries the token too, always as field 1 (wire contract §4 and §5.4).
_TOKEN_IN_BODY: Final = frozenset(
    f"/flwr.proto.{service}/{name}"
    for service, names in {
        "ServerAppIo": ("PullAppInputs", "PushAppOutputs", "SendAppHeartbeat"),
        "ClientAppIo": (
            "PullAppInputs",
            "PushAppOutputs",
            "SendAppHeartbeat",
            "PullMessage",
            "PushMessage",
        ),
    }.items()
    for name in names
)
_FIELD_1_BYTES: Final = b"\x0a"


def with_token(method: str, request: bytes, token: str) -> bytes:
    """Return ``request`` with its token field set, where the method has one.

    The app's own process never sees its token; the runner adds it on the way.  Appending works
    because a later occurrence of a protobuf field replaces an earlier one.
    """
    if method not in _TOKEN_IN_BODY:
        return request
    text = token.encode("ascii")
    return b"".join((request, _FIELD_1_BYTES, _varint(len(text)), text))


def _varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes((low | 0x80,)) + _varint(rest) if rest else bytes((low,))
