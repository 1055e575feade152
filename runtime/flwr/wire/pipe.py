"""Calls over a socket pair: between the app's own process and its runner; no gRPC on this side.

Each frame is ``u32 length | u8 kind | u32 call id | payload``, numbers big-endian, the length
counting what follows it.  Payloads by kind:

- REQUEST (child to runner): ``method NUL json NUL body``; method is the full gRPC path, json an
  object with ``metadata`` (texts by key) and ``timeout_s`` (number or null: how long the child
  waits at most), body the serialized request.
- REPLY (runner to child): the serialized response.
- FAILURE (runner to child): a JSON object with ``kind`` (of ``ErrorKind``), ``message``, ``hint``.
- CANCEL (child to runner): empty; nobody waits for that call any longer, no answer is due.

Many calls may be open at once; answers come in any order.  End of stream on either side means that
the other process is gone.  ``PipeCaller`` is the child's end; the runner's is built from
``read_frame`` and ``write_frame`` (see ``wire.pipe_server``).
"""

import json
import socket
import struct
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import count
from typing import TYPE_CHECKING, Final

from flwr.core.errors import ErrorKind, FlwrError, InvalidError, UnavailableError
from flwr.core.limits import MAX_RPC_BYTES
from flwr.wire.transport import NO_METADATA, failure_of

if TYPE_CHECKING:  # the child pays for asyncio only if the app uses it
    from asyncio import StreamReader, StreamWriter

_LENGTH: Final = struct.Struct(">I")
_HEAD: Final = struct.Struct(">BI")
_LONGEST: Final = MAX_RPC_BYTES + 65_536  # a request of the largest size with its method and json
_CALL_IDS: Final = 2**32


class FrameKind(IntEnum):
    """What a frame is."""

    REQUEST = 1
    REPLY = 2
    FAILURE = 3
    CANCEL = 4


@dataclass(frozen=True, slots=True)
class Frame:
    """One message on the pipe."""

    kind: FrameKind
    call_id: int
    payload: bytes = b""


@dataclass(frozen=True, slots=True)
class Request:
    """A call as the child made it."""

    method: str
    body: bytes
    metadata: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float | None = None


class PipeClosedError(UnavailableError):
    """The process at the other end of the pipe is gone."""

    def __init__(self) -> None:
        """Name the process."""
        super().__init__("the runner of this app is gone")


def encode_request(request: Request) -> bytes:
    """Return the payload of a REQUEST."""
    options = {"metadata": dict(request.metadata), "timeout_s": request.timeout_s}
    return b"\0".join((request.method.encode(), json.dumps(options).encode(), request.body))


def decode_request(payload: bytes) -> Request:
    """Read the payload of a REQUEST.

    Raises:
        InvalidError: it is none.
    """
    try:
        method, options, body = payload.split(b"\0", 2)
        said = json.loads(options)
        return Request(method.decode(), body, said["metadata"], said["timeout_s"])
    except (ValueError, LookupError, TypeError) as cause:
        raise InvalidError("the app's process sent a malformed request") from cause


def encode_failure(error: FlwrError) -> bytes:
    """Return the payload of a FAILURE."""
    return json.dumps(
        {"kind": error.kind, "message": error.message, "hint": error.hint},
    ).encode()


def decode_failure(payload: bytes) -> FlwrError:
    """Return the error that a FAILURE carries, or the one that it is unreadable."""
    try:
        said = json.loads(payload)
        return failure_of(ErrorKind(said["kind"]), said["message"], hint=said["hint"])
    except (ValueError, LookupError, TypeError):
        return InvalidError("the runner sent a malformed failure")


async def read_frame(reader: "StreamReader") -> Frame | None:
    """Return the next frame; None when the other end closed the pipe.

    Raises:
        InvalidError: what came is no frame.
    """
    try:
        length = _require_length(await reader.readexactly(_LENGTH.size))
        return _parse(await reader.readexactly(length))
    except (EOFError, ConnectionError):
        return None


async def write_frame(writer: "StreamWriter", frame: Frame) -> None:
    """Send a frame; tasks may do so at the same time.

    Raises:
        ConnectionError: the other end is gone.
    """
    writer.write(_head(frame))
    writer.write(frame.payload)
    await writer.drain()


class PipeCaller:
    """The child's end of the pipe: a ``Caller`` for any number of threads.

    Args:
        sock: one end of a socket pair; closed by ``close``.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._sending = threading.Lock()
        self._open: dict[int, Future[bytes]] = {}
        self._state = threading.Lock()
        self._is_closed = False
        self._ids = count()
        self._reader = threading.Thread(target=self._read, name="pipe-reader", daemon=True)
        self._reader.start()

    def call(
        self,
        method: str,
        request: bytes,
        *,
        timeout: float | None = None,
        metadata: Mapping[str, str] = NO_METADATA,
    ) -> bytes:
        """Return the serialized response; see ``wire.transport.Caller``.

        Raises:
            PipeClosedError: the runner is gone.
            UnavailableError: no answer came within ``timeout``.
            FlwrError: what the runner reports.
        """
        call_id, answer = self._begin()
        payload = encode_request(Request(method, request, metadata, timeout))
        try:
            self._send(Frame(FrameKind.REQUEST, call_id, payload))
            return answer.result(timeout)
        except TimeoutError as cause:
            self._send(Frame(FrameKind.CANCEL, call_id))
            raise UnavailableError(f"no answer to {method} within {timeout:g} s") from cause
        finally:
            with self._state:
                self._open.pop(call_id, None)

    def close(self) -> None:
        """Close the pipe; open calls fail."""
        with suppress(OSError):  # the other end was faster
            self._sock.shutdown(socket.SHUT_RDWR)
        self._reader.join()
        self._sock.close()

    def _begin(self) -> tuple[int, Future[bytes]]:
        answer: Future[bytes] = Future()
        with self._state:
            if self._is_closed:
                raise PipeClosedError
            call_id = next(self._ids) % _CALL_IDS
            self._open[call_id] = answer
        return call_id, answer

    def _send(self, frame: Frame) -> None:
        try:
            with self._sending:
                self._sock.sendall(_head(frame))
                self._sock.sendall(frame.payload)
        except OSError as cause:
            raise PipeClosedError from cause

    def _read(self) -> None:
        try:
            while True:
                self._settle(self._next_frame())
        except (EOFError, OSError, FlwrError):
            pass  # whatever is left open cannot be answered any more
        with self._state:
            self._is_closed = True
            left = list(self._open.values())
        for answer in left:
            answer.set_exception(PipeClosedError())

    def _next_frame(self) -> Frame:
        length = _require_length(self._receive(_LENGTH.size))
        return _parse(self._receive(length))

    def _receive(self, size: int) -> bytearray:
        buffer = bytearray(size)
        view = memoryview(buffer)
        while view:
            received = self._sock.recv_into(view)
            if not received:
                raise EOFError
            view = view[received:]
        return buffer

    def _settle(self, frame: Frame) -> None:
        with self._state:
            answer = self._open.pop(frame.call_id, None)
        if answer is None:
            return  # given up meanwhile
        if frame.kind is FrameKind.REPLY:
            answer.set_result(frame.payload)
        else:
            answer.set_exception(decode_failure(frame.payload))


def _head(frame: Frame) -> bytes:
    length = _LENGTH.pack(_HEAD.size + len(frame.payload))
    return length + _HEAD.pack(frame.kind, frame.call_id)


def _require_length(packed: bytes | bytearray) -> int:
    (length,) = _LENGTH.unpack(packed)
    if not _HEAD.size <= length <= _LONGEST:
        raise InvalidError(f"a frame of {length} bytes on the pipe")
    return int(length)


def _parse(content: bytes | bytearray) -> Frame:
    kind, call_id = _HEAD.unpack_from(content)
    if kind not in set(FrameKind):
        raise InvalidError(f"a frame of kind {kind} on the pipe")
    return Frame(FrameKind(kind), call_id, bytes(memoryview(content)[_HEAD.size :]))
