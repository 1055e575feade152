"""The runner's end of the pipe: answers the calls of the app's own process until it is gone."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Final

from flwr.core.errors import FlwrError
from flwr.wire.appio_methods import APP_BULK
from flwr.wire.pipe import (
    Frame,
    FrameKind,
    Request,
    decode_request,
    decode_word,
    encode_failure,
    read_frame,
    write_frame,
)

Answer = Callable[[Request], Awaitable[bytes]]
"""Returns the serialized response, or raises a FlwrError that the child will see."""

Stream = Callable[[Request, AsyncGenerator[bytes, None]], AsyncGenerator[bytes, None]]
"""Answers a call of many messages: yields them, and reads those that follow the request."""

_log = logging.getLogger(__name__)
_PIECES_WAITING: Final = 2  # of one call, read and not yet sent on; then the pipe is not read


async def serve_pipe(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    answer: Answer,
    stream: Stream | None = None,
) -> None:
    """Answer calls, each in a task of its own, until the child closes the pipe.

    Open the streams with ``limit`` of a few MiB, so that objects are read in large pieces.  Calls
    still open at the end are cancelled: nobody is left to take their answer.
    """
    calls: dict[int, _Call] = {}
    try:
        while (frame := await read_frame(reader)) is not None:
            if frame.kind is FrameKind.REQUEST:
                call = calls[frame.call_id] = _Call(frame, writer, answer, stream)
                call.task.add_done_callback(partial(_forget, calls, frame.call_id))
            elif frame.kind is FrameKind.WORD:
                await _hear(frame, answer)
            elif (known := calls.get(frame.call_id)) is not None:
                await known.heed(frame)
    finally:
        left = [call.task for call in calls.values()]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


class _Call:
    """One open call of the child."""

    def __init__(
        self, frame: Frame, writer: asyncio.StreamWriter, answer: Answer, stream: Stream | None
    ) -> None:
        self._frame, self._writer, self._answer, self._stream = frame, writer, answer, stream
        self._more: asyncio.Queue[bytes | None] = asyncio.Queue(_PIECES_WAITING)
        self.task = asyncio.create_task(self._run())

    async def heed(self, frame: Frame) -> None:
        """Take what follows the request."""
        if frame.kind is FrameKind.CANCEL:
            self.task.cancel()
        elif frame.kind in {FrameKind.PIECE, FrameKind.END}:
            piece = bytes(frame.payload) if frame.kind is FrameKind.PIECE else None
            putting = asyncio.ensure_future(self._more.put(piece))
            # A call that has ended takes nothing any more.
            await asyncio.wait([putting, self.task], return_when=asyncio.FIRST_COMPLETED)
            putting.cancel()

    async def _run(self) -> None:
        try:
            await write_frame(self._writer, await self._outcome())
        except ConnectionError:
            _log.debug("The app's process left before its answer", extra={"event": "pipe-closed"})

    async def _outcome(self) -> Frame:
        call_id = self._frame.call_id
        try:
            request = decode_request(self._frame.payload)
            self._frame = Frame(FrameKind.REQUEST, call_id)  # may be large, and the call long
            if self._stream is not None and request.method.startswith(APP_BULK):
                await self._carry(self._stream(request, self._read()))
                return Frame(FrameKind.REPLY, call_id)
            return Frame(FrameKind.REPLY, call_id, await self._answer(request))
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
                frame = Frame(FrameKind.PIECE, self._frame.call_id, message)
                await write_frame(self._writer, frame)

    async def _read(self) -> AsyncGenerator[bytes, None]:
        while (piece := await self._more.get()) is not None:
            yield piece


async def _hear(frame: Frame, answer: Answer) -> None:
    try:
        await answer(decode_word(frame.payload))
    except FlwrError as error:
        _log.warning("What the app said makes no sense", extra={"cause": error.message})


def _forget(calls: dict[int, _Call], call_id: int, _: asyncio.Task[None]) -> None:
    calls.pop(call_id, None)
