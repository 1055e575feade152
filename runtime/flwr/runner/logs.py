"""What the app prints, on its way to the run's log: read, batched, sent in order, nothing lost.

Text is handed on as raw fragments; only a flood is cut, with a note in its place.  Nothing is
interpreted here: escape sequences are the reader's concern.
"""

import asyncio
import codecs
import logging
import math
import os
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Final, Protocol

from flwr.core.errors import ErrorKind, FlwrError
from flwr.core.limits import LOG_FLUSH, MAX_LOG_CHUNK_BYTES, MAX_RUN_LOG_BYTES

log = logging.getLogger(__name__)

Send = Callable[[str], Awaitable[None]]

_EXPECTED: Final = frozenset(
    {ErrorKind.UNIMPLEMENTED, ErrorKind.UNAUTHENTICATED, ErrorKind.NOT_RUNNING}
)  # an upstream daemon takes no such output; after the end of the run nobody does
_READ_BYTES: Final = 65_536
_BUFFER_BYTES: Final = 4 * MAX_LOG_CHUNK_BYTES  # beyond this the app waits in its own print()
_LINE_CHARS: Final = 8_192  # of a line that is kept until it ends
CUT_NOTE: Final = "\n[flwr: output limit of the run reached, further output is dropped]\n"


class LogShipper:
    """Sends text in the order it was written, a batch every ``LOG_FLUSH``."""

    def __init__(self, send: Send, *, limit_bytes: int = MAX_RUN_LOG_BYTES) -> None:
        self._send = send
        self._left_bytes = limit_bytes
        self._buffer: list[str] = []
        self._buffered_bytes = 0
        self._room_bytes: float = _BUFFER_BYTES
        self._sending = asyncio.Lock()
        self._news, self._room, self._closed = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._room.set()

    def write(self, text: str) -> bool:
        """Queue ``text``; False: wait ``until_room``, so that a flood slows its source."""
        text = self._within_limit(text)
        if text and not self._closed.is_set():
            self._buffer.append(text)
            self._buffered_bytes += len(text.encode())
            self._news.set()
            if self._buffered_bytes >= self._room_bytes:
                self._room.clear()
        return self._room.is_set()

    async def until_room(self) -> None:
        """Wait while the buffer is full."""
        await self._room.wait()

    async def run(self) -> None:
        """Send until closed and empty."""
        while await self._something_waits():
            await self._until_batched()
            await self._send_all()

    def make_room(self) -> None:
        """Take everything from now on without waiting: its source has ended, so it is little."""
        self._room_bytes = math.inf
        self._room.set()

    async def flush(self) -> None:
        """Send what is queued now, without waiting for a larger batch; return when it is sent."""
        if self._buffer or self._sending.locked():
            await self._send_all()

    async def take(self) -> Sequence[str]:
        """Return what is queued now, for whoever sends it; what is too much for that is sent."""
        if not self._buffer and not self._sending.locked():
            return ()
        async with self._sending:  # what is on its way arrives first
            text = self._take_all()
            if len(text) <= MAX_LOG_CHUNK_BYTES // 4:  # so many bytes has a character at most
                return (text,) if text else ()
            await self._send_text(text)
            return ()

    def unsent(self) -> str:
        """Take back what was queued and not sent."""
        return self._take_all()

    def close(self) -> None:
        """Take no more; ``run`` returns once everything queued has been sent."""
        for event in (self._closed, self._news, self._room):
            event.set()

    def _within_limit(self, text: str) -> str:
        if self._left_bytes <= 0:
            return ""
        data = text.encode()
        kept, self._left_bytes = data[: self._left_bytes], self._left_bytes - len(data)
        return text if self._left_bytes > 0 else kept.decode(errors="ignore") + CUT_NOTE

    async def _something_waits(self) -> bool:
        await self._news.wait()
        return bool(self._buffer) or not self._closed.is_set()

    async def _until_batched(self) -> None:
        """Let the batch grow for a while; what will not grow any more is sent at once."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LOG_FLUSH.total_seconds()):
                await self._closed.wait()

    async def _send_all(self) -> None:
        async with self._sending:  # batches must not overtake each other
            await self._send_text(self._take_all())

    def _take_all(self) -> str:
        text, self._buffer, self._buffered_bytes = "".join(self._buffer), [], 0
        self._room.set()
        if not self._closed.is_set():
            self._news.clear()
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


class Reader(Protocol):
    """Reads something of an app's process until its end."""

    ended: asyncio.Future[None]

    def close(self) -> None:
        """Read no further."""
        ...


class OutputReader:
    """Hands on what comes out of a pipe, as text.

    Args:
        descriptor: its end; closed by ``close``.
        write: takes a piece; False: ``until_room`` is to be waited for before the next one.
        until_room: returns when there is room.
    """

    def __init__(
        self,
        descriptor: int,
        write: Callable[[str], bool],
        until_room: Callable[[], Awaitable[object]],
    ) -> None:
        self._descriptor, self._write, self._until_room = descriptor, write, until_room
        self._loop = asyncio.get_running_loop()
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._waiting: asyncio.Task[None] | None = None
        self.ended: asyncio.Future[None] = self._loop.create_future()
        """Done when nobody can write any more, or nobody here reads."""
        os.set_blocking(descriptor, False)
        self._loop.add_reader(descriptor, self._read)

    def read_now(self) -> None:
        """Take what is there already."""
        if self._waiting is None and not self.ended.done():
            self._read()

    def close(self) -> None:
        """Read no further."""
        if self._waiting is not None:
            self._waiting.cancel()
        if not self.ended.done():
            self._loop.remove_reader(self._descriptor)
            self._end()

    def _read(self) -> None:
        try:
            data = os.read(self._descriptor, _READ_BYTES)
        except BlockingIOError:
            return
        text = self._decoder.decode(data, final=not data)
        has_room = self._write(text) if text else True
        if not data:
            self._loop.remove_reader(self._descriptor)
            self._end()
        elif not has_room:
            self._loop.remove_reader(self._descriptor)
            self._waiting = asyncio.create_task(self._go_on())

    async def _go_on(self) -> None:
        await self._until_room()
        self._waiting = None
        self._loop.add_reader(self._descriptor, self._read)

    def _end(self) -> None:
        os.close(self._descriptor)
        self.ended.set_result(None)


class AppOutput:
    """All that an app prints, from its pipes to the daemon.

    Args:
        send: tells the daemon.
        echoes: print it here too.
    """

    def __init__(self, send: Send, *, echoes: bool) -> None:
        self._shipper, self._echoes = LogShipper(send), echoes
        self._begun = ""  # of a line that is not printed here before its end
        self._shipping: asyncio.Task[None] | None = None  # most messages print nothing
        self.readers: list[OutputReader] = []

    def read(self, descriptor: int) -> None:
        """Take over what comes out of a pipe."""
        self.readers.append(OutputReader(descriptor, self._write, self._shipper.until_room))

    def read_now(self) -> None:
        """Take what has been printed up to now."""
        for reader in self.readers:
            reader.read_now()

    def ship(self, text: str) -> bool:
        """Tell the daemon; False: that takes a while."""
        if self._shipping is None:
            self._shipping = asyncio.create_task(self._shipper.run())
        return self._shipper.write(text)

    async def take(self) -> Sequence[str]:
        """Return what is left to send."""
        return await self._shipper.take()

    async def flush(self) -> None:
        """Send what is left."""
        await self._shipper.flush()

    def make_room(self) -> None:
        """Take what comes without waiting: the app has ended."""
        self._shipper.make_room()

    def give_up(self) -> str:
        """Return what the daemon was not told: there is nobody to tell."""
        text = self._shipper.unsent()
        echo(text)
        return text

    async def sent(self, patience: timedelta | None) -> None:
        """Wait until the daemon has it all, or no longer than ``patience``."""
        self._shipper.close()
        if self._shipping is None:
            return
        if patience is None:
            await self._shipping
        else:
            await asyncio.wait([self._shipping], timeout=patience.total_seconds())

    async def close(self) -> None:
        """Read and send no more."""
        for reader in self.readers:
            reader.close()
        if self._begun:
            self._echo("\n")
        if self._shipping is not None and not self._shipping.done():
            self._shipping.cancel()
            await asyncio.wait([self._shipping])

    def _write(self, text: str) -> bool:
        if self._echoes:
            self._echo(text)
        return self.ship(text)

    def _echo(self, text: str) -> None:
        """Print whole lines: lines of our own log, and of other apps, go the same way."""
        whole, end, self._begun = (self._begun + text).rpartition("\n")
        if len(self._begun) > _LINE_CHARS:
            whole, end, self._begun = whole + end + self._begun, "", ""
        if whole or end:
            echo(whole + end)


def echo(text: str) -> None:
    """Print what an app has printed."""
    with suppress(OSError):  # whoever read it has gone; the app must not notice
        sys.stderr.write(text)
        sys.stderr.flush()


async def drained(readers: Iterable[Reader], patience: timedelta) -> None:
    """Wait for readers whose process has ended; a stray grandchild may keep a pipe open."""
    readers = list(readers)
    if waiting := [reader.ended for reader in readers if not reader.ended.done()]:
        await asyncio.wait(waiting, timeout=patience.total_seconds())
    for reader in readers:
        reader.close()


def chunks(text: str, size_bytes: int) -> Iterable[str]:
    """Split ``text`` into pieces of at most ``size_bytes`` of UTF-8."""
    longest = size_bytes // 4 if not text.isascii() else size_bytes
    return (text[i : i + longest] for i in range(0, len(text), longest))
