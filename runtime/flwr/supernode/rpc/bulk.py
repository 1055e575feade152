"""Large objects of ClientApps, in pieces: each may take and bring those of its own run."""

from collections.abc import Sequence
from typing import Any

from flwr.core.ids import NodeId, ObjectId, RunId
from flwr.core.lease import Lease
from flwr.shell.in_thread import in_thread
from flwr.supernode.app_objects import AppObjects
from flwr.wire.appio_methods import APP_BULK
from flwr.wire.bulk import Readable
from flwr.wire.bulk_server import BulkServicer
from flwr.wire.codec.pieces import Absence, Wanted
from flwr.wire.hatch_server import Hatch
from flwr.wire.interceptors.app_token import calling_lease
from flwr.wire.object_format import check_object_in_pieces

_Arriving = Any  # an object of the store, which no servicer looks into


class LeaseDoor:
    """What the app of one lease may take and bring."""

    def __init__(self, objects: AppObjects, lease: Lease) -> None:
        self._objects, self._lease = objects, lease

    def admit(self) -> None:
        """Nothing is checked: the launch token proved all there is."""

    async def open(self, wanted: Wanted) -> Readable | Absence:
        """Open an object of the instruction."""
        open_object, suspected = self._objects.open, wanted.is_suspected
        return await in_thread(open_object, self._lease, wanted.object_id, suspected=suspected)

    def begin(self, object_id: ObjectId, size: int) -> _Arriving | None:
        """Begin an object of the reply; None if it is not wanted here."""
        return self._objects.begin(self._lease, object_id, size)

    def begin_deposit(self, size: int) -> _Arriving:
        """Begin an object of a reply that is still to come."""
        return self._objects.begin_deposit(size)

    def complete(self, arriving: _Arriving) -> None:
        """Check a complete object and finish it."""
        check_object_in_pieces(arriving.read, arriving.size)
        arriving.finish()

    def keep(self, complete: Sequence[_Arriving]) -> list[bool]:
        """Store complete objects."""
        return self._objects.keep(self._lease, complete)

    def settle(self, kept: Sequence[_Arriving]) -> None:
        """Nothing is waited for: what a power cut takes of a reply is done again."""

    async def until_gone(self, kept: Sequence[_Arriving]) -> None:
        """Nothing is waited for."""


def clientapp_bulk(objects: AppObjects, hatch: Hatch | None) -> BulkServicer:
    """Return what serves ClientApps; the interceptor has checked which run the request names."""

    def find_door(_named: NodeId, _run_id: RunId) -> LeaseDoor:
        return LeaseDoor(objects, calling_lease())

    return BulkServicer(APP_BULK, find_door, in_thread, hatch=hatch)
