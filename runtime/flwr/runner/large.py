"""Large messages of an app, whichever way its daemon moves their objects."""

from collections.abc import Mapping, Sequence
from functools import cached_property, partial

from flwr.app import Message
from flwr.app.depot import Copy
from flwr.app.parts import Place
from flwr.core.errors import UnimplementedError
from flwr.core.ids import ObjectId, RunId
from flwr.core.message import Delivery
from flwr.runner.app_caller import AppCaller
from flwr.runner.transfer import Transfers
from flwr.wire.chunks import Source
from flwr.wire.clients.app_bulk import AppBulk
from flwr.wire.clients.appio import ClientAppIoClient, ObjectRefusedError, ServerAppIoClient
from flwr.wire.clients.deposits import Deposits
from flwr.wire.clients.hatch import HatchClient
from flwr.wire.objects import inflate


class LargeMessages:
    """Moves objects in pieces; object by object where the daemon knows only the contract's calls.

    Args:
        caller: the pipe.
        appio: the typed calls over it.
    """

    def __init__(self, caller: AppCaller, appio: ServerAppIoClient | ClientAppIoClient) -> None:
        self._caller, self._appio = caller, appio
        self._has_streams = True
        self._deposits: Deposits | None = None

    def deposit(self, run_id: RunId, parts: Sequence[Place]) -> Copy | None:
        """Copy the data of an array into the daemon; None: it cannot be, or is not worth it."""
        if self._deposits is None:
            self._deposits = Deposits(self._hatch.connect, self._appio.node_id, run_id)
        return self._deposits.deposit(parts)

    def close(self) -> None:
        """Let the daemon drop what was deposited for nothing."""
        if self._deposits is not None:
            self._deposits.close()

    def push(
        self, run_id: RunId, wanted: Sequence[ObjectId], objects: Mapping[ObjectId, Source]
    ) -> None:
        """Send the wanted objects that are ours.

        Raises:
            ObjectRefusedError: nobody wants one of them any longer.
        """
        ours = self._left([object_id for object_id in wanted if object_id in objects])
        if ours and self._has_streams:
            try:
                self._bulk(run_id).push(ours, objects)
            except UnimplementedError:
                self._has_streams = False
            else:
                return
        self._transfers.push(
            ours,
            {key: source.make for key, source in objects.items()},
            lambda key, data: self._appio.put_object(run_id, key, data),
        )

    def receive(self, run_id: RunId, delivery: Delivery) -> Message:
        """Return a message, when all of it is here.

        Raises:
            NotFoundError: one of its objects is gone.
            ObjectNeverCameError: one of them did not come in time.
        """
        if self._has_streams:
            arrivals = self._bulk(run_id).pull(list(delivery.tree.walk()))
            try:
                return inflate(delivery.envelope, delivery.tree, arrivals.get, is_verified=True)
            except UnimplementedError:
                self._has_streams = False
        fetch = partial(self._appio.get_object, run_id)
        get = self._transfers.ahead(delivery.tree.walk(), fetch)
        return inflate(delivery.envelope, delivery.tree, get)

    def _left(self, wanted: Sequence[ObjectId]) -> Sequence[ObjectId]:
        """Have the daemon keep what was deposited; return what is still to be sent."""
        if self._deposits is None:
            return wanted
        answered = self._deposits.keep(wanted)
        if refused := [object_id for object_id, stored in answered.items() if not stored]:
            raise ObjectRefusedError(refused[0])
        return [object_id for object_id in wanted if object_id not in answered]

    @cached_property
    def _transfers(self) -> Transfers:
        """Threads, which only large messages need."""
        return Transfers()

    def _bulk(self, run_id: RunId) -> AppBulk:
        return AppBulk(self._caller, self._appio.node_id, run_id, self._hatch)

    @cached_property
    def _hatch(self) -> HatchClient:
        return HatchClient(self._caller, self._appio.node_id)
