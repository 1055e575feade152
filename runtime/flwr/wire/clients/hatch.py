"""An app's end of the hatch of its daemon (``wire.hatch``), where they are on one machine.

What comes is mapped, not copied, and was hashed by the daemon.  What is sent goes from where it
lies.  Whatever fails, what is missing goes through the runner.
"""

import logging
import os
import socket
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Final

from flwr.app.in_place import map_file
from flwr.core.errors import FlwrError, InvalidError, UnimplementedError
from flwr.core.ids import NodeId, ObjectId, RunId
from flwr.core.limits import HATCH_PATIENCE, HATCH_PIECE_BYTES, MAX_OBJECT_BYTES
from flwr.wire.appio_methods import OPEN_HATCH
from flwr.wire.clients.cutting import Parts, pieces_in_parts
from flwr.wire.clients.lending import Lending
from flwr.wire.codec.pieces import (
    Absence,
    Invitation,
    Piece,
    Wanted,
    decode_invitation,
    decode_piece,
    decode_taken,
    encode_hatch_request,
    encode_opening,
    encode_pull,
)
from flwr.wire.hatch import HEAD, ID_BYTES, HatchClosedError, HatchFrame, decode_head, encode_head
from flwr.wire.object_format import Content
from flwr.wire.transport import Buffers, Caller

log = logging.getLogger(__name__)

_SENT_AT_ONCE: Final = 4_194_304  # as much of it as the kernel allows


class HatchClient:
    """The short cut of one app.

    Args:
        caller: the pipe.
        node_id: who the app is on the wire.
    """

    def __init__(self, caller: Caller, node_id: NodeId) -> None:
        self._caller, self._node_id = caller, node_id
        self._is_there = True

    def pull(self, run_id: RunId, ids: Sequence[ObjectId]) -> Iterator[tuple[ObjectId, Content]]:
        """Yield objects that come by the hatch; it may be none, and it never fails."""
        request = encode_pull(self._node_id, run_id, [Wanted(one) for one in ids])
        with self._opened(run_id) as hatch:
            if hatch is None:
                return
            hatch.open(HatchFrame.PULL, request.SerializeToString())
            for index, content in hatch.objects():
                if index >= len(ids):
                    raise InvalidError("the daemon handed an object that was not asked for")
                yield ids[index], content

    def push(
        self, run_id: RunId, ids: Sequence[ObjectId], objects: Mapping[ObjectId, Parts]
    ) -> dict[ObjectId, bool]:
        """Send objects; return which were stored (True) and which refused.  It never fails."""
        answered: dict[ObjectId, bool] = {}
        with self._opened(run_id) as hatch:
            if hatch is None:
                return answered
            hatch.open(HatchFrame.PUSH, encode_opening(self._node_id, run_id, ids))
            for parts in pieces_in_parts(ids, objects, HATCH_PIECE_BYTES):
                hatch.send(HatchFrame.PIECE, parts)
            hatch.send(HatchFrame.END)
            for raw in hatch.answers():
                index, stored = decode_taken(raw)
                answered[ids[index]] = stored
        return answered

    @contextmanager
    def _opened(self, run_id: RunId) -> Iterator["Connection | None"]:
        """Yield a connection, None where there is none; it ends where it fails."""
        hatch = self.connect(run_id)
        if hatch is None:
            yield None
            return
        try:
            with closing(hatch):
                yield hatch
        except (FlwrError, OSError) as failure:
            log.debug("The hatch failed: %s", failure)

    def connect(self, run_id: RunId) -> "Connection | None":
        """Return a connection, None where there is none."""
        if not self._is_there:
            return None
        try:
            return Connection(self._invitation(run_id))
        except (UnimplementedError, ConnectionRefusedError):  # an older daemon, or another machine
            self._is_there = False
        except (FlwrError, OSError) as failure:
            log.debug("The hatch is closed: %s", failure)
        return None

    def _invitation(self, run_id: RunId) -> Invitation:
        answers: list[bytes | bytearray] = []
        request = encode_hatch_request(self._node_id, run_id)
        self._caller.stream(OPEN_HATCH, request, take=answers.append)
        if not answers:
            raise InvalidError("the daemon did not answer OpenHatch")
        return decode_invitation(bytes(answers[0]))


class Connection:
    """One visit at the hatch."""

    def __init__(self, invitation: Invitation) -> None:
        self._ticket: bytes = invitation.ticket
        self._lending: Lending | None = None  # made for a deposit
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._sock.settimeout(HATCH_PATIENCE.total_seconds())
        try:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SENT_AT_ONCE)
            self._sock.connect(invitation.address)
        except OSError:
            self._sock.close()
            raise

    def close(self) -> None:
        """Leave."""
        self._sock.close()
        if self._lending is not None:
            self._lending.close()

    def open(self, kind: HatchFrame, request: bytes) -> None:
        """Say what it is about; the ticket opens the hatch once, with the first frame."""
        ticket, self._ticket = self._ticket, b""
        self.send(kind, (ticket, request))

    def open_deposit(self, request: bytes) -> None:
        """Say what is deposited; it follows by ``lend``."""
        if self._lending is not None:
            self.send(HatchFrame.DEPOSIT, (request,))
            return
        self._lending = Lending()
        ticket, self._ticket = self._ticket, b""
        self.send(HatchFrame.DEPOSIT, (ticket, request), descriptors=(self._lending.source,))
        self._lending.hand_over()

    def lend(self, kind: HatchFrame, parts: Buffers = ()) -> None:
        """Have a frame read from where it lies: it stays as it is until it is answered."""
        assert self._lending is not None
        self._lending.write((encode_head(kind, sum(map(len, parts))), *parts))

    def send(
        self, kind: HatchFrame, parts: Buffers = (), *, descriptors: Sequence[int] = ()
    ) -> None:
        """Send a frame."""
        head = encode_head(kind, sum(map(len, parts)))
        left = [memoryview(part) for part in (head, *parts)]
        while left:
            if descriptors:
                sent, descriptors = socket.send_fds(self._sock, left, list(descriptors)), ()
            else:
                sent = self._sock.sendmsg(left)
            while left and sent >= len(left[0]):
                sent -= len(left.pop(0))
            if sent:
                left[0] = left[0][sent:]

    def objects(self) -> Generator[tuple[int, Content], None, None]:
        """Yield what comes, with its place in the request; what is absent is left out."""
        coming = bytearray()
        for piece, descriptor in self._pieces():
            if descriptor is not None:
                yield piece.index, mapped(descriptor, piece.size, piece.offset)
                continue
            if piece.absence is not Absence.NONE:
                continue
            if piece.offset != len(coming):
                raise InvalidError("a piece of an object is not the next one")
            coming += piece.data
            if len(coming) >= piece.size:
                yield piece.index, coming
                coming = bytearray()

    def answers(self) -> Iterator[bytes]:
        """Yield what is said of objects that were sent."""
        while True:
            kind, payload, _ = self._read()
            if kind is not HatchFrame.PIECE:
                return
            yield bytes(payload)

    def deposited(self) -> Iterator[tuple[ObjectId, Content]]:
        """Yield what became of a deposit: the id of each object, and its file."""
        for payload, descriptor in self._payloads():
            if descriptor is None:
                raise InvalidError("the daemon handed no file for a deposit")
            piece = decode_piece(payload[ID_BYTES:])
            content = mapped(descriptor, piece.size, piece.offset)
            yield ObjectId(payload[:ID_BYTES].hex()), content

    def _pieces(self) -> Iterator[tuple[Piece, int | None]]:
        for payload, descriptor in self._payloads():
            yield decode_piece(payload), descriptor

    def _payloads(self) -> Iterator[tuple[bytearray, int | None]]:
        """Yield what comes until the end, each with a descriptor that is open for the moment."""
        while True:
            kind, payload, descriptors = self._read()
            try:
                if kind not in {HatchFrame.PIECE, HatchFrame.FILE}:
                    return
                if kind is HatchFrame.FILE and not descriptors:
                    raise InvalidError("the daemon handed no file")
                yield payload, descriptors[0] if descriptors else None
            finally:
                for descriptor in descriptors:
                    os.close(descriptor)

    def _read(self) -> tuple[HatchFrame, bytearray, list[int]]:
        head, descriptors, _, _ = socket.recv_fds(self._sock, HEAD.size, 1)
        try:
            rest = self._receive(HEAD.size - len(head)) if head else b""
            kind, length = decode_head(head + rest) if head else (HatchFrame.END, 0)
            return kind, self._receive(length), descriptors
        except BaseException:
            for descriptor in descriptors:
                os.close(descriptor)
            raise

    def _receive(self, size: int) -> bytearray:
        buffer = bytearray(size)
        view = memoryview(buffer)
        while view:
            received = self._sock.recv_into(view)
            if not received:
                raise HatchClosedError
            view = view[received:]
        return buffer


def mapped(descriptor: int, size: int, lead: int) -> Content:
    """Return a file's content, which is read when it is looked at."""
    whole = lead + size
    if not 0 < size <= MAX_OBJECT_BYTES or os.fstat(descriptor).st_size != whole:
        raise InvalidError("the daemon handed a file of another size")
    return memoryview(map_file(descriptor, whole))[lead:]
