"""Large arrays of an app, copied into its daemon before they are part of a message (ADR-0026).

One connection to the hatch for as long as the app lives: when it ends, the daemon drops what was
not kept.  Whatever fails, copies are made in memory, and messages go the other ways.
"""

import logging
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock

from flwr.app.depot import Copy
from flwr.app.parts import Place, let_go
from flwr.core.errors import FlwrError, InvalidError
from flwr.core.ids import NodeId, ObjectId, RunId
from flwr.core.limits import DEPOSIT_BYTES, INLINE_OBJECT_BYTES, LENT_PIECE_BYTES
from flwr.wire.chunks import Source, chunks_of, id_of_source
from flwr.wire.clients.cutting import pieces_in_parts
from flwr.wire.clients.hatch import Connection
from flwr.wire.codec.pieces import decode_taken, encode_opening
from flwr.wire.hatch import HatchFrame
from flwr.wire.object_format import Content, head_of

log = logging.getLogger(__name__)

Connect = Callable[[RunId], Connection | None]


class Deposits:
    """What this app has deposited.

    Args:
        connect: to the hatch.
        node_id: who the app is on the wire.
        run_id: of the app.
    """

    def __init__(self, connect: Connect, node_id: NodeId, run_id: RunId) -> None:
        self._connect, self._node_id, self._run_id = connect, node_id, run_id
        self._connection: Connection | None = None
        self._is_there = True
        self._ids = set[ObjectId]()  # of what is there
        self._dead: list[ObjectId] = []  # of these, nobody here can read them any more
        self._watched: list[weakref.ref[object]] = []
        self._turn = Lock()

    def deposit(self, parts: Sequence[Place]) -> Copy | None:
        """Copy the data of an array into the daemon; None: it cannot be, or is not worth it."""
        if sum(map(len, parts)) < DEPOSIT_BYTES:
            return None
        chunks = list(chunks_of(parts))
        large = [one for one in chunks if one.size > INLINE_OBJECT_BYTES]
        with self._turn:
            handed = self._hand_in(large)
        if len(handed) < len(large):
            return None
        rest = iter(handed)
        kept = [next(rest) if one.size > INLINE_OBJECT_BYTES else _copied(one) for one in chunks]
        return Copy(tuple(_body(content) for _, content in kept), [one for one, _ in kept])

    def keep(self, ids: Sequence[ObjectId]) -> dict[ObjectId, bool]:
        """Have deposits kept that a message consists of; return which were stored, and refused."""
        with self._turn:
            mine = [object_id for object_id in ids if object_id in self._ids]
            answered: dict[ObjectId, bool] = {}
            with self._connected() as connection:
                if connection is None or not mine:
                    return answered
                self._ids.difference_update(mine)
                opening = encode_opening(self._node_id, self._run_id, mine)
                connection.send(HatchFrame.KEEP, (opening,))
                for raw in connection.answers():
                    index, is_stored = decode_taken(raw)
                    answered[mine[index]] = is_stored
            return answered

    def close(self) -> None:
        """Leave; what was not kept is dropped, and can be read here for as long as it is held."""
        with self._turn:
            self._end()

    def _hand_in(self, chunks: Sequence[Source]) -> list[tuple[ObjectId, Content]]:
        handed: list[tuple[ObjectId, Content]] = []
        with self._connected(begin=True) as connection:
            if connection is None:
                return handed
            names = [ObjectId(str(number)) for number in range(len(chunks))]
            objects = dict(zip(names, chunks, strict=True))
            opening = encode_opening(self._node_id, self._run_id, names)
            self._drop_dead(connection)
            connection.open_deposit(opening)
            for piece in pieces_in_parts(names, objects, LENT_PIECE_BYTES):
                connection.lend(HatchFrame.PIECE, piece)
            connection.lend(HatchFrame.END)
            handed += connection.deposited()
            if len(handed) < len(chunks):
                raise InvalidError("the daemon did not take a deposit")
            for object_id, content in handed:
                self._note(object_id, content)
        return handed

    def _note(self, object_id: ObjectId, content: Content) -> None:
        self._ids.add(object_id)
        if isinstance(content, memoryview):  # of a mapping, which dies with the last view of it
            dead = self._dead
            self._watched.append(weakref.ref(content.obj, lambda _: dead.append(object_id)))

    def _drop_dead(self, connection: Connection) -> None:
        """Say which deposits were for nothing: an app may make arrays that it never sends."""
        dead = set[ObjectId]()
        while self._dead:
            dead.add(self._dead.pop())
        self._watched = [one for one in self._watched if one() is not None]
        if dropped := list(dead & self._ids):
            self._ids.difference_update(dropped)
            opening = encode_opening(self._node_id, self._run_id, dropped)
            connection.send(HatchFrame.DROP, (opening,))

    @contextmanager
    def _connected(self, *, begin: bool = False) -> Iterator[Connection | None]:
        """Yield the connection; it ends where it fails, for good."""
        if begin and self._is_there and self._connection is None:
            self._connection = self._connect(self._run_id)
            self._is_there = self._connection is not None
        try:
            yield self._connection
        except (FlwrError, OSError) as failure:
            log.debug("Deposits are over: %s", failure)
            self._end()

    def _end(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection, self._is_there = None, False
        self._ids.clear()


def _body(content: Content) -> memoryview:
    """Return what follows the head; reading that has mapped megabytes around it."""
    body = memoryview(content)[head_of(content).body_at :]
    let_go(body)
    return body


def _copied(chunk: Source) -> tuple[ObjectId, Content]:
    return id_of_source(chunk), chunk.make()
