"""One queue of all executors of a machine that name the same directory; one of them keeps it.

Who finds nobody at the directory's socket takes its lock and keeps the queue, until its end.  When
that one is gone, all the others find their connections closed: they ask again, those whose apps run
say what these have, and one of them keeps the queue from then on.
"""

import asyncio
import fcntl
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Self

from flwr.core.clock import Clock
from flwr.core.errors import FailedPreconditionError, InvalidError, UnavailableError
from flwr.runner.in_executor import Permit
from flwr.shell.resource_settings import Room
from flwr.superexec.admission import Queue, log_wait, permit
from flwr.superexec.ledger import Ledger, Share
from flwr.superexec.shared_frames import Asked, Told

log = logging.getLogger(__name__)

_SUCCESSION: Final = timedelta(milliseconds=500)  # for those whose apps run to say so
_ELECTION: Final = timedelta(milliseconds=20)  # until whoever has the lock listens

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class SharedAdmission:
    """Counts the apps of all executors that name one directory.

    Args:
        directory: made where it is not there; only this user can join.
        room: what each of our apps needs, and the machine, should it be us who keeps the queue.
        clock: time.
    """

    def __init__(self, directory: Path, room: Room, clock: Clock) -> None:
        self._room, self._clock = room, clock
        self._socket = directory / "queue"
        self._keeper = _Keeper(directory, self._socket, Ledger(room.machine, room.gpus))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._keeper.close()

    @property
    def shortage(self) -> str:
        """Nothing that we know of: who keeps the queue knows."""
        return ""

    @asynccontextmanager
    async def admitted(self) -> AsyncIterator[Permit]:
        """Return a block that begins when an app may, and ends with it.

        Raises:
            FailedPreconditionError: there will never be so much.
        """
        since = self._clock.monotonic()
        stream, share, has_waited = await self._await_share(since)
        streams = [stream]
        holding = asyncio.create_task(self._hold(streams, Asked(self._room.needs, since, share)))
        try:
            yield permit(self._room, share, has_waited=has_waited)
        finally:
            holding.cancel()
            await asyncio.gather(holding, return_exceptions=True)
            await _close(streams.pop()[1])

    async def _await_share(self, since: float) -> tuple[Stream, Share, bool]:
        has_waited = False
        while True:
            reader, writer = await self._ask(Asked(self._room.needs, since))
            try:
                told = await _next_told(reader)
                if told is not None and told.waits_for is not None:
                    if not has_waited:
                        log_wait(told.waits_for)
                    has_waited = True
                    told = await _next_told(reader)
            except BaseException:
                await _close(writer)
                raise
            if told is not None:
                return (reader, writer), Share(self._room.needs, told.gpus or ()), has_waited
            await _close(writer)  # who kept the queue is gone

    async def _hold(self, streams: list[Stream], asked: Asked) -> None:
        """Have a share counted until cancelled, whoever keeps the queue: by the last stream."""
        while True:
            with suppress(ConnectionError):
                await streams[-1][0].read()
            streams.append(await self._ask(asked))
            await _close(streams.pop(0)[1])

    async def _ask(self, asked: Asked) -> Stream:
        """Join the queue; keep it where nobody else does."""
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(self._socket)
            except OSError:
                if not await self._keeper.begin():
                    await asyncio.sleep(_ELECTION.total_seconds())
                continue
            writer.write(asked.line())
            return reader, writer


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def _next_told(reader: asyncio.StreamReader) -> Told | None:
    """Return what the queue says next; None: nobody keeps it any more.

    Raises:
        FailedPreconditionError: there will never be so much.
    """
    try:
        line = await reader.readline()
    except ConnectionError:
        return None
    told = Told.read(line) if line else None
    if told is not None and told.never is not None:
        raise FailedPreconditionError(told.never)
    return told


class _Keeper:
    """Keeps the queue, if it is up to us."""

    def __init__(self, directory: Path, socket: Path, ledger: Ledger) -> None:
        self._directory, self._socket = directory, socket
        self._queue = Queue(ledger)
        self._lock: int | None = None
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._is_closed = False

    async def begin(self) -> bool:
        """Keep the queue from now on; False when it is somebody else's.

        Raises:
            FailedPreconditionError: the directory cannot be used.
            UnavailableError: our executor ends.
        """
        if self._is_closed:
            raise UnavailableError("this executor ends")
        if self._lock is not None:
            return self._server is not None
        try:
            self._lock = self._acquire()
            if self._lock is not None:
                await self._listen(self._lock)
        except OSError as cause:
            self._release()
            raise FailedPreconditionError(
                f"executors cannot count together at {self._directory}: {cause}",
                hint="give --admission-dir a directory that is ours",
            ) from cause
        return self._server is not None

    def _acquire(self) -> int | None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return None
        except BaseException:
            os.close(lock)
            raise
        return lock

    async def _listen(self, lock: int) -> None:
        if os.fstat(lock).st_size:  # somebody kept it before; apps may run that it has let begin
            self._queue.pause()
            loop = asyncio.get_running_loop()
            loop.call_later(_SUCCESSION.total_seconds(), self._queue.resume)
        os.pwrite(lock, b"kept\n", 0)
        self._server = await asyncio.start_unix_server(self._serve, self._socket)
        log.info(
            "Keeping the queue of this machine's executors",
            extra={"event": "queue-kept", "directory": str(self._directory)},
        )

    async def close(self) -> None:
        """Leave the queue to others."""
        self._is_closed = True
        if self._server is not None:
            self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        self._release()

    def _release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._attend(Asked.read(await reader.readline()), reader, writer)
        except (InvalidError, ConnectionError) as error:
            log.debug("An executor is gone", extra={"cause": str(error)})
        except asyncio.CancelledError:  # we close
            return
        finally:
            self._connections.discard(task)
            await _close(writer)

    async def _attend(
        self, asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        ledger = self._queue.ledger
        if not ledger.can_ever_have(asked.needs):
            writer.write(Told(never=f"this machine never has {asked.needs}").line())
            return
        if asked.share is not None:
            ticket = self._queue.rejoin(asked.share)
        else:
            ticket = self._queue.join(asked.needs, asked.since)
        gone = asyncio.create_task(reader.read())
        try:
            if not ticket.share.done():
                writer.write(Told(waits_for=ledger.shortage(asked.needs)).line())
            ends: set[asyncio.Future[Any]] = {ticket.share, gone}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if ticket.share.done():
                writer.write(Told(gpus=ticket.share.result().gpus).line())
            await gone
        finally:
            gone.cancel()
            self._queue.leave(ticket)
