"""What the app prints, on its way to the run's log: read, batched, sent in order, nothing lost.

Text is handed on as raw fragments; only a flood is cut, with a note in its place.  Nothing is
interpreted here: escape sequences are the reader's concern.
"""

import asyncio
import codecs
import logging
import math
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Final

from flwr.core.errors import ErrorKind, FlwrError
from flwr.core.limits import LOG_FLUSH, MAX_LOG_CHUNK_BYTES, MAX_RUN_LOG_BYTES

log = logging.getLogger(__name__)

Send = Callable[[str], Awaitable[None]]

_EXPECTED: Final = frozenset(
    {ErrorKind.UNIMPLEMENTED, ErrorKind.UNAUTHENTICATED, ErrorKind.NOT_RUNNING}
)  # an upstream daemon takes no such output; after the end of the run nobody does
_READ_BYTES: Final = 65_536
_BUFFER_BYTES: Final = 4 * MAX_LOG_CHUNK_BYTES  # beyond this the app waits in its own print()
CUT_NOTE: Final = "\n[flwr: output limit of the run reached, further output is dropped]\n"


class LogShipper:
    """Sends text in the order it was written, a batch every ``LOG_FLUSH``."""

    def __init__(self, send: Send, *, limit_bytes: int = MAX_RUN_LOG_BYTES) -> None:
        self._send = send
        self._left_bytes = limit_bytes
        self._buffer: list[str] = []
        self._buffered_bytes = 0
        self._room_bytes: float = _BUFFER_BYTES
        self._changed = asyncio.Condition()
        self._sending = asyncio.Lock()
        self._closed = False

    async def write(self, text: str) -> None:
        """Queue ``text``; waits while the buffer is full, so that a flood slows its source."""
        text = self._within_limit(text)
        if not text or self._closed:
            return
        async with self._changed:
            await self._changed.wait_for(
                lambda: self._closed or self._buffered_bytes < self._room_bytes
            )
            self._buffer.append(text)
            self._buffered_bytes += len(text.encode())
            self._changed.notify_all()

    async def run(self) -> None:
        """Send until closed and empty."""
        while await self._something_waits():
            await self._until_batched()
            await self._send_all()

    async def make_room(self) -> None:
        """Take everything from now on without waiting: its source has ended, so it is little."""
        async with self._changed:
            self._room_bytes = math.inf
            self._changed.notify_all()

    async def flush(self) -> None:
        """Send what is queued now, without waiting for the batch to grow."""
        if self._buffer:
            await self._send_all()

    async def take(self) -> Sequence[str]:
        """Return what is queued now, for whoever sends it; what is too much for that is sent."""
        if not self._buffer and not self._sending.locked():
            return ()
        async with self._sending:  # what is on its way arrives first
            text = await self._take_all()
            if len(text) <= MAX_LOG_CHUNK_BYTES // 4:  # so many bytes has a character at most
                return (text,) if text else ()
            await self._send_text(text)
            return ()

    def unsent(self) -> str:
        """Take back what was queued and not sent."""
        text, self._buffer = "".join(self._buffer), []
        return text

    async def close(self) -> None:
        """Take no more; ``run`` returns once everything queued has been sent."""
        async with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _within_limit(self, text: str) -> str:
        if self._left_bytes <= 0:
            return ""
        data = text.encode()
        kept, self._left_bytes = data[: self._left_bytes], self._left_bytes - len(data)
        return text if self._left_bytes > 0 else kept.decode(errors="ignore") + CUT_NOTE

    async def _something_waits(self) -> bool:
        async with self._changed:
            await self._changed.wait_for(lambda: bool(self._buffer) or self._closed)
        return bool(self._buffer)

    async def _until_batched(self) -> None:
        """Let the batch grow for a while; what will not grow any more is sent at once."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LOG_FLUSH.total_seconds()), self._changed:
                await self._changed.wait_for(lambda: self._closed)

    async def _send_all(self) -> None:
        async with self._sending:  # batches must not overtake each other
            await self._send_text(await self._take_all())

    async def _take_all(self) -> str:
        async with self._changed:
            text, self._buffer, self._buffered_bytes = "".join(self._buffer), [], 0
            self._changed.notify_all()
        return text

    async def _send_text(self, text: str) -> None:
        for chunk in chunks(text, MAX_LOG_CHUNK_BYTES):
            try:
                await self._send(chunk)
            except FlwrError as error:
                if error.kind not in _EXPECTED:
                    log.warning("Output could not be delivered", extra={"cause": str(error)})
                self._left_bytes = 0
                return


async def pump(stream: asyncio.StreamReader, writers: Iterable[Send]) -> None:
    """Read ``stream`` to its end and give every piece of text to every writer."""
    targets = tuple(writers)
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    while data := await stream.read(_READ_BYTES):
        await _give(decoder.decode(data), targets)
    await _give(decoder.decode(b"", final=True), targets)


async def drained(pumps: Iterable["asyncio.Task[None]"], patience: timedelta) -> None:
    """Wait for pumps whose process has ended; a stray grandchild may keep a pipe open."""
    waiting = set(pumps)
    if not waiting:
        return
    _, late = await asyncio.wait(waiting, timeout=patience.total_seconds())
    for task in late:
        task.cancel()
    await asyncio.gather(*late, return_exceptions=True)


def chunks(text: str, size_bytes: int) -> Iterable[str]:
    """Split ``text`` into pieces of at most ``size_bytes`` of UTF-8."""
    longest = size_bytes // 4 if not text.isascii() else size_bytes
    return (text[i : i + longest] for i in range(0, len(text), longest))


async def _give(text: str, targets: tuple[Send, ...]) -> None:
    if text:
        for target in targets:
            await target(text)
