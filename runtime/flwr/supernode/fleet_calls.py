"""What a node asks of its SuperLink: the calls, as everybody here makes them."""

from collections.abc import AsyncGenerator, Sequence
from datetime import timedelta
from typing import Protocol

from flwr.core.ids import FabHash, MessageId, NodeId, ObjectId, RunId
from flwr.core.message import Delivery
from flwr.core.run import Run
from flwr.wire.clients.fleet import FetchedFab, Pulled, PulledObject
from flwr.wire.codec.pieces import Piece, Wanted


class FleetCalls(Protocol):
    """The Fleet API as this node uses it; each call is tried once.

    Errors are those of ``core.errors``: UnavailableError when trying again may help.
    """

    async def register(self) -> NodeId:
        """Register our own key."""
        ...

    async def activate(self, interval: timedelta, *, remembers: bool) -> NodeId:
        """Come online; the answer is our id, used by every later call.

        Args:
            interval: between the heartbeats that will follow.
            remembers: whatever this node confirmed in an earlier life is still here.
        """
        ...

    async def heartbeat(self, interval: timedelta) -> bool:
        """Stay online; False when the server does not know us."""
        ...

    async def deactivate(self) -> None:
        """Go offline."""
        ...

    async def unregister(self) -> None:
        """Give the registration back."""
        ...

    async def pull_messages(
        self, active_runs: Sequence[RunId] = (), received: Sequence[MessageId] = ()
    ) -> Pulled:
        """Wait for instructions as long as the server holds the call.

        Args:
            active_runs: runs this node holds something of.
            received: what came whole and is stored; said once it survives a power cut, unless it is
                answered before.
        """
        ...

    async def push_reply(self, reply: Delivery, runtime_s: float) -> Sequence[ObjectId]:
        """Announce a reply, with its contents if small; the answer names the objects wanted."""
        ...

    async def push_object(self, run_id: RunId, object_id: ObjectId, content: bytes) -> bool:
        """Send an object; False when it is not wanted."""
        ...

    async def pull_object(self, run_id: RunId, object_id: ObjectId) -> PulledObject:
        """Fetch an object."""
        ...

    def pull_pieces(self, run_id: RunId, wanted: Sequence[Wanted]) -> AsyncGenerator[Piece, None]:
        """Fetch objects in pieces; UnimplementedError from a server that has no streams."""
        ...

    def push_pieces(
        self, run_id: RunId, ids: Sequence[ObjectId], pieces: AsyncGenerator[bytes, None]
    ) -> AsyncGenerator[tuple[ObjectId, bool], None]:
        """Send objects in pieces; UnimplementedError from a server that has no streams."""
        ...

    async def confirm(self, run_id: RunId, message_id: MessageId) -> None:
        """Say that an instruction is durable here."""
        ...

    async def get_run(self, run_id: RunId) -> Run:
        """Fetch a run that is running."""
        ...

    async def get_fab(self, run_id: RunId, fab_hash: FabHash) -> FetchedFab:
        """Fetch the bundle of a run."""
        ...

    async def push_logs(self, run_id: RunId, logs: Sequence[str]) -> None:
        """Share the output of a ClientApp."""
        ...
