"""Operations on objects: content in, content out, each bound to the run and node it belongs to.

An id outside the caller's own messages looks exactly like one that does not exist.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing, suppress
from dataclasses import dataclass

from flwr.core.errors import InvalidError
from flwr.core.ids import NodeId, ObjectId, RunId
from flwr.core.limits import MAX_OBJECT_BYTES
from flwr.store.durability import Durability
from flwr.store.errors import ObjectDamagedError
from flwr.store.incoming import IncomingObject
from flwr.store.objects import ObjectState
from flwr.store.outgoing import OpenObject
from flwr.store.store import Store, Tx
from flwr.superlink import topics
from flwr.superlink.running import require_running_for_node
from flwr.superlink.traffic import Traffic
from flwr.superlink.uploads import Uploads
from flwr.wire.codec.pieces import Absence
from flwr.wire.object_format import check_object, check_object_in_pieces

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pulled:
    """Answer to a pull: content, or whether it may still come."""

    state: ObjectState
    content: bytes = b""

    @classmethod
    def awaited(cls) -> "Pulled":
        """Return the answer for content that is still on its way."""
        return cls(ObjectState.AWAITED)

    @property
    def is_known(self) -> bool:
        """True when the object belongs to a message of the caller."""
        return self.state is not ObjectState.UNKNOWN

    @property
    def is_awaited(self) -> bool:
        """True while the content may still come."""
        return self.state is ObjectState.AWAITED

    @property
    def is_present(self) -> bool:
        """True when the content is here."""
        return self.state is ObjectState.PRESENT


class Objects:
    """Store and hand out the parts of messages."""

    def __init__(self, store: Store, traffic: Traffic, uploads: Uploads) -> None:
        self._store = store
        self._traffic, self._uploads = traffic, uploads

    def put(
        self, run_id: RunId, object_id: ObjectId, content: bytes, *, node_id: NodeId | None = None
    ) -> bool:
        """Store announced content; False when it was not announced or has another hash.

        Args:
            run_id: the run it belongs to.
            object_id: its SHA-256.
            content: the object's bytes.
            node_id: the node that sends it, None for the ServerApp.

        Raises:
            RunNotRunningError: the run is not running.
            MalformedObjectError: the bytes are no object.
            InvalidError: it is too large.
        """
        if len(content) > MAX_OBJECT_BYTES:
            raise InvalidError(f"the object has {len(content)} bytes of {MAX_OBJECT_BYTES} allowed")
        check_object(content)
        with self._store.reading() as tx:
            require_running_for_node(tx, run_id)
            state = _state_for(tx, run_id, object_id, node_id)
        if state is ObjectState.UNKNOWN:
            return False
        try:
            bells = (topics.content(object_id),)
            stored = self._store.put_object(object_id, content, topics=bells)
        except InvalidError:
            return False
        # Also when it was here already: somebody else may have brought it just now.
        self._ring_askers(run_id, [object_id], node_id)
        if node_id is not None:
            self._traffic.received(run_id, len(content))
        return stored

    def get(self, run_id: RunId, object_id: ObjectId, *, node_id: NodeId | None = None) -> Pulled:
        """Return an object's content, or whether it is unknown or still awaited.

        Raises:
            RunNotRunningError: the run is not running.
        """
        with self._store.reading() as tx:
            require_running_for_node(tx, run_id)
            state = _state_for(tx, run_id, object_id, node_id)
        content = self._read(object_id) if state is ObjectState.PRESENT else None
        if content is None:
            return Pulled(state if state is ObjectState.UNKNOWN else ObjectState.AWAITED)
        if node_id is not None:
            self._traffic.sent(run_id, len(content))
        return Pulled(ObjectState.PRESENT, content)

    def require_running(self, run_id: RunId) -> None:
        """Check that objects of this run are moved.

        Raises:
            RunNotRunningError: it is not running.
        """
        with self._store.reading() as tx:
            require_running_for_node(tx, run_id)

    def open(
        self,
        run_id: RunId,
        object_id: ObjectId,
        *,
        node_id: NodeId | None = None,
        suspected: bool = False,
    ) -> OpenObject | Absence:
        """Open an object for reading, or return why that cannot be.

        Args:
            run_id: the run it belongs to.
            object_id: its SHA-256.
            node_id: the node that asks, None for the ServerApp.
            suspected: the caller got bytes of another hash.

        Raises:
            RunNotRunningError: the run is not running.
        """
        with self._store.reading() as tx:
            require_running_for_node(tx, run_id)
            if not _is_theirs(tx, run_id, object_id, node_id):
                return Absence.UNKNOWN
            try:
                opened = tx.objects.open(object_id, suspected=suspected)
                is_damaged = False
            except ObjectDamagedError:
                opened, is_damaged = None, True
        if is_damaged:
            opened = self._open_or_forget(object_id, suspected=suspected)
        if opened is None:
            return Absence.AWAITED
        if node_id is not None:
            self._traffic.sent(run_id, opened.size)
        return opened

    def begin(
        self, run_id: RunId, object_id: ObjectId, size: int, *, node_id: NodeId | None = None
    ) -> IncomingObject | None:
        """Begin to take in an object that arrives in pieces; None if it was not announced.

        Raises:
            RunNotRunningError: the run is not running.
            TooLargeError: one object may not have so many bytes.
        """
        with self._store.reading() as tx:
            require_running_for_node(tx, run_id)
            if not _is_theirs(tx, run_id, object_id, node_id):
                return None
        return self._store.begin_object(object_id, size, durable=False)

    def begin_deposit(self, size: int) -> IncomingObject:
        """Begin an object that a ServerApp brings before it is announced, and without its id."""
        return self._store.begin_object(None, size, durable=False)

    def complete(self, arriving: IncomingObject) -> None:
        """Check an object that is here in full, and finish it; ``settle`` makes it durable.

        Raises:
            MalformedObjectError: the bytes are no object.
            InvalidError: they have another id.
        """
        check_object_in_pieces(arriving.read, arriving.size)
        arriving.finish()

    def keep(
        self,
        run_id: RunId,
        complete: Sequence[IncomingObject],
        *,
        node_id: NodeId | None = None,
    ) -> list[bool]:
        """Store complete objects; False for one that nobody wants any longer."""
        arrived = [one.arrived for one in complete if one.arrived is not None]
        with self._store.keeping(arrived, Durability.LATER) as tx:
            tx.topics.update(topics.content(one.object_id) for one in arrived)
            stored = [tx.objects.take(one) for one in arrived]
        self._ring_askers(run_id, [one.object_id for one in arrived], node_id)
        if node_id is not None:
            self._traffic.received(run_id, sum(one.size for one in arrived))
        return stored

    def settle(self, kept: Sequence[IncomingObject]) -> None:
        """Make objects durable that were kept, unless they have gone again."""
        self._store.settle_objects(_files_of(kept))

    def watching(
        self, kept: Sequence[IncomingObject], tell: Callable[[], None]
    ) -> AbstractContextManager[None]:
        """Call ``tell``, from any thread, when the last large one of these has gone."""
        return self._store.watching(_files_of(kept), tell)

    def _ring_askers(
        self, run_id: RunId, arrived: Sequence[ObjectId], node_id: NodeId | None
    ) -> None:
        """Wake who waits for answers that objects completed, or may have."""
        completed = [self._uploads.arrived(run_id, object_id) for object_id in arrived]
        bells = {topics.answer(asked) for answers in completed for asked in answers or ()}
        if node_id is not None and None in completed:
            bells.add(topics.run(run_id))  # its reply may have been accepted before a restart
        if bells:
            self._store.announce({*bells, *map(topics.content, arrived)})

    def _read(self, object_id: ObjectId) -> bytes | None:
        """Return the content; what is damaged is dropped and awaited again."""
        opened: OpenObject | None = None
        with suppress(ObjectDamagedError), self._store.reading() as tx:
            opened = tx.objects.open(object_id)
        opened = opened or self._open_or_forget(object_id)
        if opened is None:
            return None
        with closing(opened):
            return opened.read(0, opened.size)

    def _open_or_forget(self, object_id: ObjectId, *, suspected: bool = False) -> OpenObject | None:
        """Look again while nobody writes: its owner may have released or renewed it meanwhile."""
        with self._store.transaction() as tx:
            try:
                return tx.objects.open(object_id, suspected=suspected)
            except ObjectDamagedError:
                logger.exception("Object damaged", extra={"event": "object-damaged"})
                tx.objects.forget(object_id)
                return None


def _files_of(kept: Sequence[IncomingObject]) -> list[str]:
    arrived = [one.arrived for one in kept if one.arrived is not None]
    return [one.file for one in arrived if one.file is not None]


def _state_for(tx: Tx, run_id: RunId, object_id: ObjectId, node_id: NodeId | None) -> ObjectState:
    is_theirs = _is_theirs(tx, run_id, object_id, node_id)
    return tx.objects.state(object_id) if is_theirs else ObjectState.UNKNOWN


def _is_theirs(tx: Tx, run_id: RunId, object_id: ObjectId, node_id: NodeId | None) -> bool:
    if node_id is None:
        return tx.objects.belongs(object_id, run_id=run_id)
    return tx.objects.belongs_to_node(object_id, run_id=run_id, node_id=node_id)
