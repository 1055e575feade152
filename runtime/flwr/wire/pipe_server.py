"""The runner's end of the pipe: answers the calls of the app's own process until it is gone."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial

from flwr.core.errors import FlwrError
from flwr.wire.pipe import (
    Frame,
    FrameKind,
    Request,
    decode_request,
    encode_failure,
    read_frame,
    write_frame,
)

Answer = Callable[[Request], Awaitable[bytes]]
"""Returns the serialized response, or raises a FlwrError that the child will see."""

_log = logging.getLogger(__name__)


async def serve_pipe(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    answer: Answer,
) -> None:
    """Answer calls, each in a task of its own, until the child closes the pipe.

    Open the streams with ``limit`` of a few MiB, so that objects are read in large pieces.  Calls
    still open at the end are cancelled: nobody is left to take their answer.
    """
    calls: dict[int, asyncio.Task[None]] = {}
    try:
        while (frame := await read_frame(reader)) is not None:
            if frame.kind is FrameKind.REQUEST:
                task = asyncio.create_task(_answer_one(frame, writer, answer))
                calls[frame.call_id] = task
                task.add_done_callback(partial(_forget, calls, frame.call_id))
            elif frame.kind is FrameKind.CANCEL and frame.call_id in calls:
                calls[frame.call_id].cancel()
    finally:
        left = list(calls.values())
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


def _forget(calls: dict[int, asyncio.Task[None]], call_id: int, _: asyncio.Task[None]) -> None:
    calls.pop(call_id, None)


async def _answer_one(frame: Frame, writer: asyncio.StreamWriter, answer: Answer) -> None:
    try:
        await write_frame(writer, await _outcome(frame, answer))
    except ConnectionError:
        _log.debug("The app's process left before its answer", extra={"event": "pipe-closed"})


async def _outcome(frame: Frame, answer: Answer) -> Frame:
    try:
        return Frame(FrameKind.REPLY, frame.call_id, await answer(decode_request(frame.payload)))
    except FlwrError as error:
        return Frame(FrameKind.FAILURE, frame.call_id, encode_failure(error))
    except Exception:  # noqa: BLE001  (a bug of ours must not leave the app waiting)
        _log.exception("A call of the app failed in its runner", extra={"event": "bug"})
        bug = FlwrError("the runner failed to answer; its log says why")
        return Frame(FrameKind.FAILURE, frame.call_id, encode_failure(bug))
