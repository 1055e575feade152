"""What is said on a tube: a Unix socket between a SuperNode and an executor of its machine.

The executor gets an invitation by a call, and connects.  Frames are
``u32 length | u8 kind | u32 call id | payload``: big-endian, the length is the payload's.

- OPEN (executor, first): the ticket; answered by an empty ANSWER.
- TAKE, FINISH, RENEW, REPORT (executor): a TakeRequest, FinishRequest, Renewal, ReportExitRequest.
  A TAKE is held until there is a launch, or for as long as such calls are held.
- CANCEL (executor): nobody waits for that call any longer; it is answered all the same.
- ANSWER (SuperNode): the response to the call of that id.
- FAILURE (SuperNode): as on a pipe (``wire.pipe``).

A tube is a short cut: whatever goes wrong on it, the calls of the same names do the same.
"""

import asyncio
import logging
import struct
from abc import ABC, abstractmethod
from enum import IntEnum
from typing import Final

from flwr.core.errors import InvalidError, UnavailableError
from flwr.core.limits import TUBE_STALL

_log = logging.getLogger(__name__)

HEAD: Final = struct.Struct(">IBI")
USUAL_BYTES: Final = 65_536  # most frames are smaller
CALL_IDS: Final = 2**32
_STALL_S: Final = TUBE_STALL.total_seconds()


class TubeFrame(IntEnum):
    """What a frame is."""

    OPEN = 1
    TAKE = 2
    FINISH = 3
    RENEW = 4
    REPORT = 5
    CANCEL = 6
    ANSWER = 7
    FAILURE = 8


_KINDS: Final = {kind.value: kind for kind in TubeFrame}


class TubeLostError(UnavailableError):
    """The other end has gone, or does not answer any more."""

    def __init__(self) -> None:
        """Say so."""
        super().__init__("the tube was lost")


class TubeEnd(asyncio.BufferedProtocol, ABC):
    """One end: frames in and out.  Who stalls in the middle of one is left.

    Args:
        longest: payload that is read.
    """

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._buffer = memoryview(bytearray(USUAL_BYTES))
        self._filled = 0
        self._received = 0  # bytes in all, to see a stall by
        self._transport: asyncio.Transport | None = None
        self._is_paused = False
        self._watch: asyncio.TimerHandle | None = None

    @property
    def is_open(self) -> bool:
        """True while frames can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, kind: TubeFrame, call_id: int, payload: bytes = b"") -> None:
        """Send a frame, if there is still somebody to send it to."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(HEAD.pack(len(payload), kind, call_id) + payload)

    def abort(self) -> None:
        """Leave at once."""
        if self._transport is not None:
            self._transport.abort()

    @abstractmethod
    def take_frame(self, kind: TubeFrame, call_id: int, payload: bytes) -> None:
        """Act on a frame.

        Raises:
            InvalidError: it has no business here; the tube ends.
        """

    @abstractmethod
    def lose(self) -> None:
        """Note that the tube is no more."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        del exc  # why does not matter
        if self._watch is not None:
            self._watch.cancel()
        self.lose()

    def pause_writing(self) -> None:
        """Note that the other end does not read as fast as we send."""
        self._is_paused = True
        self._see_progress()

    def resume_writing(self) -> None:
        """Note that it does again."""
        self._is_paused = False

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where to put what comes."""
        del sizehint
        return self._buffer[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        """Act on every frame that is whole."""
        self._received += nbytes
        end = self._filled + nbytes
        try:
            begin = self._take_frames(end)
        except InvalidError as error:
            _log.warning(
                "A tube is left: it says what makes no sense",
                extra={"event": "tube-malformed", "cause": error.message},
            )
            self.abort()
            return
        self._filled = end - begin
        if not self._filled:
            if len(self._buffer) > USUAL_BYTES:
                self._buffer = memoryview(bytearray(USUAL_BYTES))
            return
        self._keep(begin, end)
        self._see_progress()

    def _take_frames(self, end: int) -> int:
        """Act on the frames before ``end``; return where the first begins that is not whole."""
        begin = 0
        while end - begin >= HEAD.size and self.is_open:
            length, number, call_id = HEAD.unpack_from(self._buffer, begin)
            kind = _KINDS.get(number)
            if kind is None or length > self._longest:
                raise InvalidError(f"a frame of kind {number} with {length} bytes")
            payload_at = begin + HEAD.size
            if end - payload_at < length:
                break
            begin = payload_at + length
            self.take_frame(kind, call_id, bytes(self._buffer[payload_at:begin]))
        return begin

    def _keep(self, begin: int, end: int) -> None:
        """Put the part of a frame where there is room for all of it."""
        rest = self._buffer[begin:end]
        needed = USUAL_BYTES
        if len(rest) >= HEAD.size:
            needed = max(needed, HEAD.size + HEAD.unpack_from(rest)[0])
        if needed > len(self._buffer):
            self._buffer = memoryview(bytearray(needed))
        elif not begin:
            return
        self._buffer[: len(rest)] = rest

    def _see_progress(self, seen: tuple[int, int] | None = None) -> None:
        """Look now and then whether what is half-way goes on."""
        if self._watch is not None and seen is None:
            return
        self._watch = None
        transport = self._transport
        if transport is None or not (self._filled or self._is_paused):
            return
        now = (self._received, transport.get_write_buffer_size())
        if now == seen:
            _log.warning("A tube has stalled", extra={"event": "tube-stalled"})
            self.abort()
            return
        loop = asyncio.get_running_loop()
        self._watch = loop.call_later(_STALL_S, self._see_progress, now)
