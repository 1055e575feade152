"""Objects of an app: it takes those of its instruction and brings those of its reply."""

from collections.abc import Sequence
from dataclasses import dataclass

from flwr.core.ids import ObjectId
from flwr.core.lease import Lease
from flwr.core.limits import INLINE_OBJECT_BYTES
from flwr.store.durability import Durability
from flwr.store.incoming import IncomingObject
from flwr.store.outgoing import OpenObject
from flwr.store.store import Store
from flwr.supernode.replies import find_instruction
from flwr.wire.codec.pieces import Absence
from flwr.wire.object_format import check_object


@dataclass(frozen=True, slots=True)
class FetchedObject:
    """An answer to a pull: unknown, known without content, or the content."""

    is_known: bool
    content: bytes | None


class AppObjects:
    """Operations on the objects of the run of a lease, one by one or in pieces."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, lease: Lease, object_id: ObjectId) -> FetchedObject:
        """Return an object of the lease's run."""
        with self._store.reading() as tx:
            is_known = tx.objects.belongs(object_id, run_id=lease.run_id)
            return FetchedObject(is_known, tx.objects.get(object_id) if is_known else None)

    def put(self, lease: Lease, object_id: ObjectId, content: bytes) -> bool:
        """Keep a wanted object; False when nobody wants it.

        Raises:
            InvalidError: it is malformed or its hash differs.
        """
        check_object(content)
        if len(content) > INLINE_OBJECT_BYTES:
            return self._put_large(lease, object_id, content)
        with self._store.transaction() as tx:
            if not tx.objects.belongs(object_id, run_id=lease.run_id):
                return find_instruction(tx, lease) is None  # gone: nobody is told to try again
            return tx.objects.put(object_id, content)

    def _put_large(self, lease: Lease, object_id: ObjectId, content: bytes) -> bool:
        """Write the file before the transaction, so that nobody waits for it."""
        with self._store.reading() as tx:
            if not tx.objects.belongs(object_id, run_id=lease.run_id):
                return find_instruction(tx, lease) is None
        return self._store.put_object(object_id, content)

    def open(self, lease: Lease, object_id: ObjectId, *, suspected: bool) -> OpenObject | Absence:
        """Open an object of the lease's run, or return why that cannot be.

        Raises:
            ObjectDamagedError: our copy of it is lost.
        """
        with self._store.reading() as tx:
            if not tx.objects.belongs(object_id, run_id=lease.run_id):
                return Absence.UNKNOWN
            return tx.objects.open(object_id, suspected=suspected) or Absence.AWAITED

    def begin(self, lease: Lease, object_id: ObjectId, size: int) -> IncomingObject | None:
        """Begin an object of the reply that comes in pieces; None when nobody wants it.

        Raises:
            TooLargeError: one object may not have so many bytes.
        """
        with self._store.reading() as tx:
            is_wanted = tx.objects.belongs(object_id, run_id=lease.run_id)
            if not is_wanted and find_instruction(tx, lease) is not None:
                return None
        return self._store.begin_object(object_id, size, durable=False)

    def begin_deposit(self, size: int) -> IncomingObject:
        """Begin an object that an app brings before it is announced, and without its id."""
        return self._store.begin_object(None, size, durable=False)

    def keep(self, lease: Lease, complete: Sequence[IncomingObject]) -> list[bool]:
        """Keep objects that came in pieces; False for one that nobody wants."""
        arrived = [one.arrived for one in complete if one.arrived is not None]
        with self._store.keeping(arrived, Durability.LATER) as tx:
            is_gone = find_instruction(tx, lease) is None  # nobody is told to try again
            return [tx.objects.take(one) or is_gone for one in arrived]
