"""Calls over a socket pair: between the app's own process and its runner; no gRPC on this side.

Each frame is ``u32 length | u8 kind | u32 call id | payload``, numbers big-endian, the length
counting what follows it.  Payloads by kind:

- REQUEST (child to runner): ``method NUL json NUL body``; method is the full gRPC path, json an
  object with ``metadata`` (texts by key) and ``timeout_s`` (number or null: how long the child
  waits at most), body the serialized request.
- REPLY (runner to child): the serialized response.
- FAILURE (runner to child): a JSON object with ``kind`` (of ``ErrorKind``), ``message``, ``hint``.
- CANCEL (child to runner): empty; nobody waits for that call any longer, no answer is due.
- PIECE (both ways): one more message of a call that is a stream; its REPLY ends it.
- END (child to runner): empty; no PIECE follows.

Many calls may be open at once; answers come in any order.  End of stream on either side means that
the other process is gone.  ``PipeCaller`` is the child's end; the runner's is built from
``read_frame`` and ``write_frame`` (see ``wire.pipe_server``).
"""

import json
import socket
import struct
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import count
from typing import TYPE_CHECKING, Final

from flwr.core.errors import ErrorKind, FlwrError, InvalidError, UnavailableError
from flwr.core.limits import MAX_RPC_BYTES
from flwr.wire.transport import NO_METADATA, Buffers, Take, failure_of

if TYPE_CHECKING:  # the child pays for asyncio only if the app uses it
    from asyncio import StreamReader, StreamWriter

_HEAD: Final = struct.Struct(">IBI")
_COUNTED: Final = 5  # bytes of the head that its length counts
_LONGEST: Final = MAX_RPC_BYTES + 65_536  # a request of the largest size with its method and json
_CALL_IDS: Final = 2**32


class FrameKind(IntEnum):
    """What a frame is."""

    REQUEST = 1
    REPLY = 2
    FAILURE = 3
    CANCEL = 4
    PIECE = 5
    END = 6


@dataclass(frozen=True, slots=True)
class Frame:
    """One message on the pipe."""

    kind: FrameKind
    call_id: int
    payload: bytes | bytearray = b""


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


def decode_request(payload: bytes | bytearray) -> Request:
    """Read the payload of a REQUEST.

    Raises:
        InvalidError: it is none.
    """
    try:
        method, options, body = payload.split(b"\0", 2)
        said = json.loads(options)
        return Request(method.decode(), bytes(body), said["metadata"], said["timeout_s"])
    except (ValueError, LookupError, TypeError) as cause:
        raise InvalidError("the app's process sent a malformed request") from cause


def encode_failure(error: FlwrError) -> bytes:
    """Return the payload of a FAILURE."""
    return json.dumps(
        {"kind": error.kind, "message": error.message, "hint": error.hint},
    ).encode()


def decode_failure(payload: bytes | bytearray) -> FlwrError:
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
        kind, call_id, size = _read_head(await reader.readexactly(_HEAD.size))
        return Frame(kind, call_id, await reader.readexactly(size))
    except (EOFError, ConnectionError):
        return None


async def write_frame(writer: "StreamWriter", frame: Frame) -> None:
    """Send a frame; tasks may do so at the same time.

    Raises:
        ConnectionError: the other end is gone.
    """
    writer.write(_head(frame.kind, frame.call_id, len(frame.payload)))
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
        self._takers: dict[int, Take] = {}  # of calls that are streams
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

    def stream(
        self,
        method: str,
        request: bytes,
        *,
        more: Iterable[Buffers] = (),
        take: Take,
    ) -> None:
        """Make a call of many messages; see ``wire.transport.Caller``.

        Raises:
            PipeClosedError: the runner is gone.
            FlwrError: what the runner reports, or ``take`` raised.
        """
        call_id, answer = self._begin(take)
        try:
            payload = encode_request(Request(method, request))
            self._send(Frame(FrameKind.REQUEST, call_id, payload))
            for parts in more:
                if answer.done():
                    break
                self._send_parts(FrameKind.PIECE, call_id, parts)
            else:
                self._send(Frame(FrameKind.END, call_id))
            answer.result()
        except BaseException:
            with suppress(PipeClosedError):
                self._send(Frame(FrameKind.CANCEL, call_id))
            raise
        finally:
            with self._state:
                self._open.pop(call_id, None)
                self._takers.pop(call_id, None)

    def close(self) -> None:
        """Close the pipe; open calls fail."""
        with suppress(OSError):  # the other end was faster
            self._sock.shutdown(socket.SHUT_RDWR)
        self._reader.join()
        self._sock.close()

    def _begin(self, take: Take | None = None) -> tuple[int, Future[bytes]]:
        answer: Future[bytes] = Future()
        with self._state:
            if self._is_closed:
                raise PipeClosedError
            call_id = next(self._ids) % _CALL_IDS
            self._open[call_id] = answer
            if take is not None:
                self._takers[call_id] = take
        return call_id, answer

    def _send(self, frame: Frame) -> None:
        self._send_parts(frame.kind, frame.call_id, (frame.payload,))

    def _send_parts(self, kind: FrameKind, call_id: int, parts: Buffers) -> None:
        head = _head(kind, call_id, sum(map(len, parts)))
        try:
            with self._sending:
                left = [memoryview(part) for part in (head, *parts)]
                while left:
                    sent = self._sock.sendmsg(left)
                    while left and sent >= len(left[0]):
                        sent -= len(left.pop(0))
                    if sent:
                        left[0] = left[0][sent:]
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
            if not answer.done():
                answer.set_exception(PipeClosedError())

    def _next_frame(self) -> Frame:
        kind, call_id, size = _read_head(self._receive(_HEAD.size))
        return Frame(kind, call_id, self._receive(size))

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
        if frame.kind is FrameKind.PIECE:
            self._take(frame)
            return
        with self._state:
            answer = self._open.pop(frame.call_id, None)
        if answer is None or answer.done():
            return  # given up meanwhile
        if frame.kind is FrameKind.REPLY:
            answer.set_result(bytes(frame.payload))
        else:
            answer.set_exception(decode_failure(frame.payload))

    def _take(self, frame: Frame) -> None:
        with self._state:
            take, answer = self._takers.get(frame.call_id), self._open.get(frame.call_id)
        if take is None or answer is None or answer.done():
            return  # given up meanwhile
        try:
            take(frame.payload)
        except Exception as failure:  # noqa: BLE001 - raised again by who made the call
            answer.set_exception(failure)


def _head(kind: FrameKind, call_id: int, payload_bytes: int) -> bytes:
    return _HEAD.pack(_COUNTED + payload_bytes, kind, call_id)


def _read_head(packed: bytes | bytearray) -> tuple[FrameKind, int, int]:
    """Return kind, call id, and the length of the payload."""
    length, kind, call_id = _HEAD.unpack(packed)
    if not _COUNTED <= length <= _LONGEST:
        raise InvalidError(f"a frame of {length} bytes on the pipe")
    if kind not in set(FrameKind):
        raise InvalidError(f"a frame of kind {kind} on the pipe")
    return FrameKind(kind), call_id, length - _COUNTED
