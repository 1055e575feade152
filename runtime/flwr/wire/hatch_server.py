"""A daemon's hatch: hands its files to apps of this machine, and takes theirs (ADR-0018).

Its socket has a name that no file system knows, so it is seen from within the same network
namespace only: by the programs of one machine, or of one container.  Who has a ticket comes in by
the door that the ticket was written for, once.
"""

import asyncio
import logging
import os
import select
import socket
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextlib import closing
from typing import Any, Final

from flwr.core.errors import FlwrError, InvalidError, UnauthenticatedError
from flwr.core.ids import ObjectId
from flwr.core.limits import (
    HATCH_PATIENCE,
    HATCH_PIECE_BYTES,
    HATCH_STALL,
    MAX_HATCH_GUESTS,
    MAX_HATCH_TICKETS,
    MAX_TREE_OBJECTS,
)
from flwr.wire.bulk import Cutter, Door, named
from flwr.wire.codec.pieces import (
    Absence,
    Invitation,
    Wanted,
    decode_opening,
    decode_pull,
    encode_absence,
    encode_piece_head,
    encode_taken,
)
from flwr.wire.hatch import (
    HEAD,
    HatchClosedError,
    HatchFrame,
    decode_head,
    encode_head,
)
from flwr.wire.hatch_deposits import Deposits
from flwr.wire.pipe import encode_failure
from flwr.wire.receiver import Assembly, InThread
from flwr.wire.tickets import TICKET_BYTES, Tickets, socket_name

_log = logging.getLogger(__name__)

_FEW_BYTES: Final = 4_096  # to be sent: descriptors on their way are limited for a user
_OPENING_BYTES: Final = 1_048_576  # some 15,000 objects; who asks for more goes the other way
_PIECE_AND_HEAD: Final = HATCH_PIECE_BYTES + 64
_PATIENCE_S: Final = HATCH_PATIENCE.total_seconds()
_STALL_MS: Final = round(HATCH_STALL.total_seconds() * 1000)
_NEXT_MS: Final = 5  # until the next piece begins, if more comes: its sender waits to write
_READING_AT_ONCE: Final = 4
_NO_PIPE: Final = -1


class Hatch:
    """Made where there is one; closed when ``serve`` ends.

    Args:
        run: runs operations in threads.
    """

    def __init__(self, run: InThread) -> None:
        self._run = run
        self._tickets: Tickets[Door[Any]] = Tickets(MAX_HATCH_TICKETS)
        self._address = socket_name("hatch")
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listening.setblocking(False)
        self._listening.bind(self._address)
        self._listening.listen()
        self._guests: set[asyncio.Task[None]] = set()
        self._threads = ThreadPoolExecutor(_READING_AT_ONCE, thread_name_prefix="hatch")
        self._users = ThreadPoolExecutor(_READING_AT_ONCE, thread_name_prefix="hatch-use")

    def invite(self, door: Door[Any]) -> Invitation:
        """Return what lets somebody in by ``door``, once; the oldest of too many is void."""
        return Invitation(self._address, self._tickets.write(door))

    async def serve(self) -> None:
        """Serve until cancelled."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                guest, _ = await loop.sock_accept(self._listening)
                if len(self._guests) >= MAX_HATCH_GUESTS:
                    guest.close()  # it goes the other way
                    continue
                task = asyncio.create_task(
                    self._receive(_Guest(guest, self._threads, self._users)), name="hatch"
                )
                self._guests.add(task)
                task.add_done_callback(self._guests.discard)
        finally:
            self._listening.close()
            for task in self._guests:
                task.cancel()
            await asyncio.gather(*self._guests, return_exceptions=True)
            self._threads.shutdown(wait=False)
            self._users.shutdown(wait=False)

    async def _receive(self, guest: "_Guest") -> None:
        with closing(guest):
            try:
                await self._serve_one(guest)
            except FlwrError as error:
                await guest.fail(error)
            except OSError:
                _log.debug("An app left the hatch", extra={"event": "hatch-left"})
            except Exception:  # noqa: BLE001  (a bug of ours: the app goes the other way)
                _log.exception("The hatch failed", extra={"event": "bug"})

    async def _serve_one(self, guest: "_Guest") -> None:
        kind, said = await guest.read_opening()
        door = self._tickets.redeem(said[:TICKET_BYTES])
        if door is None:
            raise UnauthenticatedError("there is no such ticket")
        await self._run(door.admit)
        request = said[TICKET_BYTES:]
        if kind is HatchFrame.PULL:
            await self._hand_out(guest, door, decode_pull(request))
        elif kind is HatchFrame.PUSH:
            await self._take_in(guest, door, decode_opening(request))
        elif kind is HatchFrame.DEPOSIT:
            return await Deposits(guest, door, self._run).serve(request)
        else:
            raise InvalidError("the first frame is no call")
        return await guest.send(HatchFrame.END)

    async def _take_in(self, guest: "_Guest", door: Door[Any], ids: Sequence[ObjectId]) -> None:
        """Take objects; nothing is settled, as who brings them loses power when we do."""
        if len(ids) > MAX_TREE_OBJECTS:
            raise InvalidError(f"{len(ids)} objects in one call")
        assembly = Assembly(door)
        try:
            await guest.read_pieces(lambda raw: assembly.take(*named(ids, raw)))
        finally:
            await self._run(assembly.close)
        place = {object_id: index for index, object_id in enumerate(ids)}
        for one in assembly.outcomes():  # not before: who sends does not read
            taken = encode_taken(place[one.object_id], stored=one.is_stored)
            await guest.send(HatchFrame.PIECE, taken)

    async def _hand_out(self, guest: "_Guest", door: Door[Any], objects: Sequence[Wanted]) -> None:
        cutter = Cutter(self._run)
        for index, wanted in enumerate(objects):
            opened = await door.open(wanted)
            if isinstance(opened, Absence):
                await guest.send(HatchFrame.PIECE, encode_absence(index, opened))
                continue
            with closing(opened):
                if opened.descriptor is not None:
                    head = encode_piece_head(index, opened.size, opened.lead, 0)
                    await guest.hand(head, opened.descriptor)
                    continue
                async for piece in cutter.pieces(index, opened):
                    await guest.send(HatchFrame.PIECE, piece)


class _Guest:
    """One connection.

    Args:
        sock: blocks, but is waited for in the event loop.
        threads: wait for what is left of a frame that has begun.
        users: use pieces while the next ones are read.
    """

    def __init__(self, sock: socket.socket, threads: Executor, users: Executor) -> None:
        self._sock, self._loop = sock, asyncio.get_running_loop()
        self._threads, self._users = threads, users
        self._pipe = _NO_PIPE  # by which deposits come
        self._head, self._buffer, self._spare = bytearray(HEAD.size), bytearray(), bytearray()
        sock.setblocking(True)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _FEW_BYTES)

    def close(self) -> None:
        """Let it go."""
        self._sock.close()
        if self._pipe != _NO_PIPE:
            os.close(self._pipe)
        self._pipe = _NO_PIPE

    async def read_opening(self) -> tuple[HatchFrame, bytes]:
        """Return the first frame."""
        await self._begun(self._sock.fileno())
        return await self._loop.run_in_executor(self._threads, self._read_opening)

    async def read_next(self) -> tuple[HatchFrame, bytes] | None:
        """Return the next frame, whenever it comes; None when the guest has left."""
        await self._until(self._sock.fileno(), self._loop.add_reader, self._loop.remove_reader)
        try:
            kind, payload = await self._loop.run_in_executor(
                self._threads, self._read_now, self._sock.fileno(), _OPENING_BYTES
            )
        except (HatchClosedError, ConnectionResetError):
            return None
        return kind, bytes(payload)

    async def read_pieces(self, use: Callable[[memoryview], None]) -> None:
        """Have a thread use each piece, good until it returns, until the end."""
        await self._read_pieces(self._sock.fileno(), use)

    async def read_lent(self, use: Callable[[memoryview], None]) -> None:
        """Do the same with pieces that come by the guest's pipe."""
        if self._pipe == _NO_PIPE:
            raise InvalidError("a deposit without a pipe")
        await self._read_pieces(self._pipe, use)

    async def send(self, kind: HatchFrame, payload: bytes = b"") -> None:
        """Send one frame."""
        await self._send(encode_head(kind, len(payload)) + payload, ())

    async def hand(self, payload: bytes, descriptor: int) -> None:
        """Send a FILE."""
        await self._send(encode_head(HatchFrame.FILE, len(payload)) + payload, (descriptor,))

    async def fail(self, error: FlwrError) -> None:
        """Say why there is no more, to whom still listens."""
        try:
            await self.send(HatchFrame.FAILURE, encode_failure(error))
        except OSError:
            _log.debug("An app left the hatch", extra={"event": "hatch-left"})

    async def _send(self, frame: bytes, descriptors: Sequence[int]) -> None:
        async with asyncio.timeout(_PATIENCE_S):
            while frame:
                try:
                    sent = socket.send_fds(
                        self._sock, [frame], list(descriptors), socket.MSG_DONTWAIT
                    )
                except BlockingIOError:
                    await self._until(
                        self._sock.fileno(), self._loop.add_writer, self._loop.remove_writer
                    )
                else:
                    frame, descriptors = frame[sent:], ()

    async def _begun(self, source: int) -> None:
        async with asyncio.timeout(_PATIENCE_S):
            await self._until(source, self._loop.add_reader, self._loop.remove_reader)

    async def _read_pieces(self, source: int, use: Callable[[memoryview], None]) -> None:
        is_over = False
        while not is_over:
            await self._begun(source)
            is_over = await self._loop.run_in_executor(
                self._threads, self._use_those_here, source, use
            )
        self._buffer = self._spare = bytearray()  # a guest may stay

    def _use_those_here(self, source: int, use: Callable[[memoryview], None]) -> bool:
        """Use pieces while more begin, each while the next is read; True at the end."""
        used: Future[None] | None = None
        try:
            while True:
                piece = self._read_piece(source)
                if used is not None:
                    used.result()
                if piece is None:
                    return True
                used = self._users.submit(use, piece)
                self._buffer, self._spare = self._spare, self._buffer
                if not _is_ready(source, _NEXT_MS):
                    used.result()
                    return False
        except BaseException:
            if used is not None:
                wait([used])  # it looks at what is ours
            raise

    def _read_piece(self, source: int) -> memoryview | None:
        """Read a piece that has begun; None: no more comes."""
        kind, payload = self._read_now(source, _PIECE_AND_HEAD)
        if kind is HatchFrame.END:
            return None
        if kind is not HatchFrame.PIECE:
            raise InvalidError(f"a frame of kind {kind.name} among pieces")
        return payload

    def _read_opening(self) -> tuple[HatchFrame, bytes]:
        """Read the first frame, with the pipe that may come with it."""
        head, descriptors, _, _ = socket.recv_fds(self._sock, HEAD.size, 1)
        if descriptors:
            self._pipe = descriptors[0]
            os.set_inheritable(self._pipe, False)
        if not head:
            raise HatchClosedError
        kind, payload = self._read_now(self._sock.fileno(), _OPENING_BYTES, begun=head)
        return kind, bytes(payload)

    def _read_now(
        self, source: int, most: int, *, begun: bytes = b""
    ) -> tuple[HatchFrame, memoryview]:
        """Read a frame that has begun.

        Args:
            source: a socket or a pipe.
            most: bytes of what it says.
            begun: what of it was read already.
        """
        self._head[: len(begun)] = begun
        _fill(source, memoryview(self._head)[len(begun) :])
        kind, length = decode_head(self._head)
        if length > most:
            raise InvalidError(f"a frame of {length} bytes at the hatch")
        if length > len(self._buffer):
            self._buffer = bytearray(length)
        payload = memoryview(self._buffer)[:length]
        _fill(source, payload)
        return kind, payload

    async def _until(
        self,
        descriptor: int,  # asyncio prints an object, and drops that, where it is new
        watch: Callable[[int, Callable[[], None]], None],
        unwatch: Callable[[int], bool],
    ) -> None:
        ready = self._loop.create_future()

        def tell() -> None:
            if not ready.done():
                ready.set_result(None)

        watch(descriptor, tell)
        try:
            await ready
        finally:
            unwatch(descriptor)


def _is_ready(source: int, within_ms: int) -> bool:
    poll = select.poll()
    poll.register(source, select.POLLIN)
    return bool(poll.poll(within_ms))


def _fill(source: int, view: memoryview) -> None:
    """Read until ``view`` is full, as long as more comes.

    Raises:
        HatchClosedError: no more comes.
    """
    while view:
        count = os.readv(source, [view]) if _is_ready(source, _STALL_MS) else 0
        if not count:
            raise HatchClosedError
        view = view[count:]


def open_hatch(run: InThread) -> Hatch | None:
    """Return a hatch, None where the kernel has no such sockets."""
    return Hatch(run) if sys.platform == "linux" else None
