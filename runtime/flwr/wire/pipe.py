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
- WORD (child to runner): ``method NUL body``; no answer is due.

Many calls may be open at once; answers come in any order.  End of stream on either side means that
the other process is gone.  ``PipeCaller`` is the child's end; the runner's is ``PipeServer``
(see ``wire.pipe_server``).
"""

import json
import select
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Final

from flwr.core.errors import ErrorKind, FlwrError, InvalidError, UnavailableError
from flwr.wire.pipe_frames import HEAD, Frame, FrameKind, pack_head, read_head
from flwr.wire.transport import NO_METADATA, Buffers, Take, failure_of

_CALL_IDS: Final = 2**32


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


def decode_word(payload: bytes | bytearray) -> Request:
    """Read the payload of a WORD.

    Raises:
        InvalidError: it is none.
    """
    method, _, body = payload.partition(b"\0")
    try:
        return Request(method.decode(), bytes(body))
    except ValueError as cause:
        raise InvalidError("the app's process said something malformed") from cause


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


_GIVEN_UP: Final = Frame(FrameKind.CANCEL, 0)


class PipeCaller:
    """The child's end of the pipe: a ``Caller`` for any number of threads, and none of its own.

    Of the threads that wait for answers one reads the pipe, for all of them.

    Args:
        sock: one end of a socket pair; closed by ``close``.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._sending = threading.Lock()
        self._changed = threading.Condition()
        self._answers: dict[int, Frame | Exception | None] = {}  # of open calls; None: not yet
        self._takers: dict[int, Take] = {}  # of calls that are streams
        self._is_read = False  # by a thread that waits
        self._is_closed = False
        self._ids = count()

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
        deadline = None if timeout is None else time.monotonic() + timeout
        payload = encode_request(Request(method, request, metadata, timeout))
        with self._opened() as call_id:
            self._send(Frame(FrameKind.REQUEST, call_id, payload))
            if not self._await(call_id, deadline):
                self._send(Frame(FrameKind.CANCEL, call_id))
                raise UnavailableError(f"no answer to {method} within {timeout:g} s")
            return self._outcome(call_id)

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
        with self._opened(take) as call_id:
            try:
                payload = encode_request(Request(method, request))
                self._send(Frame(FrameKind.REQUEST, call_id, payload))
                if more:  # is sent while a thread reads: the runner may have to say something too
                    reader = threading.Thread(target=self._read_along, args=(call_id,), daemon=True)
                    reader.start()
                for parts in more:
                    if self._answers[call_id] is not None:
                        break
                    self._send_parts(FrameKind.PIECE, call_id, parts)
                else:
                    self._send(Frame(FrameKind.END, call_id))
                self._await(call_id, None)
                self._outcome(call_id)
            except BaseException:
                with suppress(PipeClosedError):
                    self._send(Frame(FrameKind.CANCEL, call_id))
                raise

    def tell(self, method: str, word: bytes) -> None:
        """Say something that needs no answer.

        Raises:
            PipeClosedError: the runner is gone.
        """
        self._send_parts(FrameKind.WORD, 0, (method.encode(), b"\0", word))

    def close(self) -> None:
        """Close the pipe; open calls fail."""
        with suppress(OSError):  # the other end was faster
            self._sock.shutdown(socket.SHUT_RDWR)
        with self._changed:
            self._is_closed = True
            self._changed.wait_for(lambda: not self._is_read)
            self._changed.notify_all()
        self._sock.close()

    @contextmanager
    def _opened(self, take: Take | None = None) -> Iterator[int]:
        """Yield the id of a new call."""
        call_id = next(self._ids) % _CALL_IDS
        with self._changed:
            if self._is_closed:
                raise PipeClosedError
            self._answers[call_id] = None
            if take is not None:
                self._takers[call_id] = take
        try:
            yield call_id
        finally:
            with self._changed:
                del self._answers[call_id]
                self._takers.pop(call_id, None)
                self._changed.notify_all()

    def _send(self, frame: Frame) -> None:
        self._send_parts(frame.kind, frame.call_id, (frame.payload,))

    def _send_parts(self, kind: FrameKind, call_id: int, parts: Buffers) -> None:
        head = pack_head(kind, call_id, sum(map(len, parts)))
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

    def _outcome(self, call_id: int) -> bytes:
        answer = self._answers[call_id]
        if isinstance(answer, Exception):
            raise answer
        assert answer is not None
        if answer.kind is FrameKind.REPLY:
            return bytes(answer.payload)
        raise decode_failure(answer.payload)

    def _await(self, call_id: int, deadline: float | None) -> bool:
        """Wait for the answer to one call; False when it has not come by ``deadline``."""
        with self._changed:
            while self._answers.get(call_id, _GIVEN_UP) is None:
                if self._is_closed:
                    raise PipeClosedError
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return False
                if self._is_read:
                    self._changed.wait(left)
                else:
                    self._read_one(left)
            return True

    def _read_along(self, call_id: int) -> None:
        """Read while another thread sends the pieces of a call."""
        with suppress(PipeClosedError):
            self._await(call_id, None)

    def _read_one(self, patience: float | None) -> None:
        """Read a frame for whoever waits for it; the lock is held, but while this waits.

        What interrupts a frame half-way, such as a signal handler that raises, closes the pipe.
        """
        self._is_read, frame, is_between = True, None, True
        self._changed.release()
        try:
            if _is_readable(self._sock, patience):
                is_between = False
                frame = self._next_frame()
                is_between = True
                self._take(frame)
        except (EOFError, OSError, InvalidError):
            pass  # whatever is left open cannot be answered any more
        finally:
            self._changed.acquire()
            self._is_read, self._is_closed = False, self._is_closed or not is_between
            if frame is not None and frame.kind is not FrameKind.PIECE:
                self._settle(frame.call_id, frame)
            self._changed.notify_all()

    def _settle(self, call_id: int, answer: Frame | Exception) -> None:
        if self._answers.get(call_id, _GIVEN_UP) is None:  # else given up meanwhile, or answered
            self._answers[call_id] = answer

    def _take(self, frame: Frame) -> None:
        """Give a piece to who wants it; nobody else reads meanwhile, but others may send."""
        take = self._takers.get(frame.call_id)
        if frame.kind is not FrameKind.PIECE or take is None:
            return
        if self._answers.get(frame.call_id, _GIVEN_UP) is not None:
            return  # it has failed before
        try:
            take(frame.payload)
        except Exception as failure:  # noqa: BLE001 - raised again by who made the call
            self._settle(frame.call_id, failure)

    def _next_frame(self) -> Frame:
        kind, call_id, size = read_head(self._receive(HEAD.size))
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


def _is_readable(sock: socket.socket, patience: float | None) -> bool:
    poll = select.poll()  # unlike select, at home with large descriptors
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(None if patience is None else patience * 1000))
