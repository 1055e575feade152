"""The runner's end of the pipe: answers the calls of the app's own process until it is gone."""

import asyncio
import logging
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Final

from flwr.core.errors import FlwrError, InvalidError
from flwr.wire.appio_methods import APP_BULK
from flwr.wire.pipe import Request, decode_request, decode_word, encode_failure
from flwr.wire.pipe_frames import Frame, FrameBuffer, FrameKind, encode_frame

Answer = Callable[[Request], Awaitable[bytes]]
"""Returns the serialized response, or raises a FlwrError that the child will see."""

Hear = Callable[[Request], None]
"""Takes what needs no answer; raises a FlwrError where it makes no sense."""

Stream = Callable[[Request, AsyncGenerator[bytes, None]], AsyncGenerator[bytes, None]]
"""Answers a call of many messages: yields them, and reads those that follow the request."""

_log = logging.getLogger(__name__)
_PIECES_WAITING: Final = 2  # of one call, read and not yet sent on; then the pipe is not read


class PipeServer:
    """Answers calls, each in a task of its own, until the child closes the pipe.

    Calls that are open then are cancelled: nobody is left to take their answer.

    Args:
        sock: our end; closed by ``close``.
        answer: answers a call.
        hear: takes a word.
        stream: answers a call of many messages.
    """

    def __init__(
        self, sock: socket.socket, answer: Answer, hear: Hear, stream: Stream | None = None
    ) -> None:
        self._sock, self._hear = sock, hear
        self.answer, self.stream = answer, stream
        self._loop = asyncio.get_running_loop()
        self._frames = FrameBuffer()
        self._calls: dict[int, _Call] = {}
        self._sending = asyncio.Lock()
        self._is_paused = self._is_over = False
        self.ended: asyncio.Future[None] = self._loop.create_future()
        """Done when the child has closed its end, and no call of it is at work any more."""
        sock.setblocking(False)
        # By number, here and below: asyncio prints the object, and drops that, where it is new.
        self._loop.add_reader(sock.fileno(), self._read)

    def close(self) -> None:
        """Serve no longer."""
        self._end()
        # Not before: a call that is being cancelled may wait for room to write.
        self.ended.add_done_callback(lambda _: self._sock.close())

    async def send(self, frame: Frame) -> None:
        """Send a frame; tasks may do so at the same time.

        Raises:
            ConnectionError: the other end is gone.
        """
        async with self._sending:
            for part in encode_frame(frame):
                await self._loop.sock_sendall(self._sock, part)

    def resume(self) -> None:
        """Read on, when the call that had enough has room again."""
        if self._is_paused and not self._is_over:
            self._is_paused = False
            self._loop.add_reader(self._sock.fileno(), self._read)
            self._heed_all()

    def _read(self) -> None:
        try:
            data = self._sock.recv(self._frames.wanted)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._frames.feed(data)
            self._heed_all()
        else:
            self._end()

    def _heed_all(self) -> None:
        try:
            while not self._is_paused and (frame := self._frames.take()) is not None:
                self._heed(frame)
        except InvalidError as error:
            _log.warning("What the app said makes no sense", extra={"cause": error.message})
            self._end()

    def _heed(self, frame: Frame) -> None:
        if frame.kind is FrameKind.REQUEST:
            call = self._calls[frame.call_id] = _Call(frame, self)
            call.task.add_done_callback(partial(self._forget, frame.call_id))
        elif frame.kind is FrameKind.WORD:
            self._hear_word(frame)
        elif (known := self._calls.get(frame.call_id)) is not None and not known.heed(frame):
            self._is_paused = True
            self._loop.remove_reader(self._sock.fileno())

    def _hear_word(self, frame: Frame) -> None:
        try:
            self._hear(decode_word(frame.payload))
        except FlwrError as error:
            _log.warning("What the app said makes no sense", extra={"cause": error.message})

    def _forget(self, call_id: int, _: asyncio.Task[None]) -> None:
        self._calls.pop(call_id, None)
        self.resume()
        self._tell_end()

    def _end(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._loop.remove_reader(self._sock.fileno())
            for call in self._calls.values():
                call.task.cancel()
            self._tell_end()

    def _tell_end(self) -> None:
        if self._is_over and not self._calls and not self.ended.done():
            self.ended.set_result(None)


class _Call:
    """One open call of the child."""

    def __init__(self, frame: Frame, server: PipeServer) -> None:
        self._frame, self._server = frame, server
        self._more: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.task = asyncio.create_task(self._run())

    def heed(self, frame: Frame) -> bool:
        """Take what follows the request; False: enough for now."""
        if frame.kind is FrameKind.CANCEL:
            self.task.cancel()
        elif frame.kind in {FrameKind.PIECE, FrameKind.END}:
            self._more.put_nowait(bytes(frame.payload) if frame.kind is FrameKind.PIECE else None)
        return self._more.qsize() < _PIECES_WAITING

    async def _run(self) -> None:
        try:
            await self._server.send(await self._outcome())
        except ConnectionError:
            _log.debug("The app's process left before its answer", extra={"event": "pipe-closed"})

    async def _outcome(self) -> Frame:
        call_id, stream = self._frame.call_id, self._server.stream
        try:
            request = decode_request(self._frame.payload)
            self._frame = Frame(FrameKind.REQUEST, call_id)  # may be large, and the call long
            if stream is not None and request.method.startswith(APP_BULK):
                await self._carry(stream(request, self._read()))
                return Frame(FrameKind.REPLY, call_id)
            return Frame(FrameKind.REPLY, call_id, await self._server.answer(request))
        except FlwrError as error:
            return Frame(FrameKind.FAILURE, call_id, encode_failure(error))
        except ConnectionError:
            raise
        except Exception:  # noqa: BLE001  (a bug of ours must not leave the app waiting)
            _log.exception("A call of the app failed in its runner", extra={"event": "bug"})
            bug = FlwrError("the runner failed to answer; its log says why")
            return Frame(FrameKind.FAILURE, call_id, encode_failure(bug))

    async def _carry(self, messages: AsyncGenerator[bytes, None]) -> None:
        async with aclosing(messages):
            async for message in messages:
                await self._server.send(Frame(FrameKind.PIECE, self._frame.call_id, message))

    async def _read(self) -> AsyncGenerator[bytes, None]:
        while (piece := await self._more.get()) is not None:
            self._server.resume()
            yield piece
