"""Large objects of nodes and ServerApps, in pieces: who may take and bring what."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

from flwr.auth.app_tokens import WrongRunError
from flwr.core.errors import FailedPreconditionError
from flwr.core.ids import SUPERLINK_NODE, NodeId, ObjectId, RunId
from flwr.core.limits import LONG_POLL
from flwr.core.settling import REPLIES
from flwr.shell.in_thread import call_soon, in_thread
from flwr.shell.wakeups import Wakeups
from flwr.superlink import topics
from flwr.superlink.objects import Objects
from flwr.wire.appio_methods import APP_BULK
from flwr.wire.bulk import NODE_BULK, Readable
from flwr.wire.bulk_server import BulkServicer
from flwr.wire.codec.pieces import Absence, Wanted
from flwr.wire.hatch_server import Hatch
from flwr.wire.interceptors.app_token import calling_lease
from flwr.wire.interceptors.node import calling_node

_Arriving = Any  # an object of the store, which no servicer looks into


class ObjectDoor:
    """What one node, or the ServerApp of one run (``node_id`` None), may take and bring."""

    def __init__(
        self, objects: Objects, wakeups: Wakeups, run_id: RunId, node_id: NodeId | None
    ) -> None:
        self._objects, self._wakeups = objects, wakeups
        self._run_id, self._node_id = run_id, node_id

    def admit(self) -> None:
        """Check that the run is running."""
        self._objects.require_running(self._run_id)

    async def open(self, wanted: Wanted) -> Readable | Absence:
        """Open an object; held while it is on its way."""
        last: Readable | Absence = Absence.AWAITED

        async def attempt() -> bool | None:
            nonlocal last
            last = await in_thread(self._open, wanted)
            return None if last is Absence.AWAITED else True

        bells = (topics.content(wanted.object_id), topics.ended(self._run_id))
        await self._wakeups.until(bells, attempt, timeout=LONG_POLL)
        return last

    def begin(self, object_id: ObjectId, size: int) -> _Arriving | None:
        """Begin an object; None if it is not wanted here."""
        return self._objects.begin(self._run_id, object_id, size, node_id=self._node_id)

    def begin_deposit(self, size: int) -> _Arriving:
        """Begin an object of a message that is still to come."""
        return self._objects.begin_deposit(size)

    def complete(self, arriving: _Arriving) -> None:
        """Check a complete object and finish it."""
        self._objects.complete(arriving)

    def keep(self, complete: Sequence[_Arriving]) -> list[bool]:
        """Store complete objects."""
        return self._objects.keep(self._run_id, complete, node_id=self._node_id)

    def settle(self, kept: Sequence[_Arriving]) -> None:
        """Make what was kept durable, unless it was collected meanwhile."""
        self._objects.settle(kept)

    async def until_gone(self, kept: Sequence[_Arriving]) -> None:
        """Wait until all of it was collected."""
        gone = asyncio.Event()
        with self._objects.watching(kept, partial(call_soon, asyncio.get_running_loop(), gone.set)):
            await gone.wait()

    def _open(self, wanted: Wanted) -> Readable | Absence:
        return self._objects.open(
            self._run_id,
            wanted.object_id,
            node_id=self._node_id,
            suspected=wanted.is_suspected,
        )


def node_bulk(objects: Objects, wakeups: Wakeups) -> BulkServicer:
    """Return what serves nodes; the interceptor has checked whom the request names."""

    def find_door(_named: NodeId, run_id: RunId) -> ObjectDoor:
        return ObjectDoor(objects, wakeups, run_id, calling_node())

    return BulkServicer(NODE_BULK, find_door, in_thread, settling=REPLIES)


def serverapp_bulk(objects: Objects, wakeups: Wakeups, hatch: Hatch | None) -> BulkServicer:
    """Return what serves ServerApps."""

    def find_door(named: NodeId, run_id: RunId) -> ObjectDoor:
        if named != SUPERLINK_NODE:
            raise FailedPreconditionError(f"node_id must be {SUPERLINK_NODE}, it is {named}")
        if run_id != calling_lease().run_id:
            raise WrongRunError
        return ObjectDoor(objects, wakeups, run_id, None)

    return BulkServicer(APP_BULK, find_door, in_thread, hatch=hatch)
