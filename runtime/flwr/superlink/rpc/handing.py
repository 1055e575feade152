"""What a node that asks for work is handed, whichever way it asks."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from flwr.core.ids import MessageId, NodeId, RunId
from flwr.core.limits import SMALL_MESSAGE_BYTES
from flwr.core.message import Delivery
from flwr.shell.in_thread import AtOnce, in_thread
from flwr.shell.returning import Returning
from flwr.superlink import topics
from flwr.superlink.messages import MessageExchange
from flwr.superlink.runs import Runs

Found = tuple[Delivery | None, Sequence[RunId]]
"""An instruction, or which runs have ended."""


@dataclass(frozen=True, slots=True)
class Asking:
    """What a node says when it asks for work."""

    node_id: NodeId
    active: Sequence[RunId] = ()  # runs it holds something of
    received: Sequence[MessageId] = ()  # instructions that it has by now
    whole_bytes: int = SMALL_MESSAGE_BYTES  # of an instruction whose objects come along

    @property
    def bells(self) -> list[str]:
        """What rings when there may be something for it."""
        return [topics.node(self.node_id), *map(topics.ended, self.active)]


class Handing:
    """Looks for what a node can be handed; nothing that was taken for it is lost."""

    def __init__(self, messages: MessageExchange, runs: Runs, at_once: AtOnce) -> None:
        self._messages, self._runs, self._at_once = messages, runs, at_once
        self._returning = Returning()

    async def look(self, asking: Asking, in_hand: Collection[MessageId]) -> Found | None:
        """Take one instruction for a node, or see which of its runs have ended.

        Args:
            asking: the node.
            in_hand: what it has, or is on its way; only for these nobody need look.

        Raises:
            NodeIdError: the node is not registered (any more).
        """
        if self._messages.knows_none(asking.node_id, in_hand) and (
            self._runs.knows_live(asking.active)
        ):
            return None
        if self._at_once.is_quick:
            return self._look(asking)
        return await self._returning.take(in_thread(self._look, asking), self._put_back)

    async def put_back(self, delivery: Delivery) -> None:
        """Let an instruction wait again that did not reach its node."""
        await in_thread(self._messages.put_back, delivery)

    def _look(self, asking: Asking) -> Found | None:
        delivery = self._messages.deliver(
            asking.node_id, received=asking.received, whole_bytes=asking.whole_bytes
        )
        active = asking.active
        ended = self._runs.ended_among(active) if active and delivery is None else ()
        return (delivery, ended) if delivery or ended else None

    async def _put_back(self, found: Found | None) -> None:
        if found is not None and found[0] is not None:
            await self.put_back(found[0])
