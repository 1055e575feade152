"""Nodes that wait on a line: the transaction that stores an instruction hands it to them.

Nobody then looks for it: no bell, no second transaction.  Whether a node takes something is asked
while a transaction is open, in any thread; it is handed over in the loop, once it is durable.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

from flwr.core.ids import NodeId
from flwr.core.message import Delivery

PutBack = Callable[[Delivery], Awaitable[None]]
"""Lets an instruction wait again that did not reach its node."""


class Taker(Protocol):
    """A way to one node."""

    @property
    def room(self) -> int:
        """How many instructions it takes now."""

    def take(self, delivery: Delivery) -> bool:
        """Send an instruction; False when it does not take it after all."""


class Takers:
    """Who takes instructions at once; a node has one taker, the last."""

    def __init__(self) -> None:
        self._takers: dict[NodeId, Taker] = {}

    def add(self, node_id: NodeId, taker: Taker) -> None:
        """Ask ``taker`` from now on."""
        self._takers[node_id] = taker

    def remove(self, node_id: NodeId, taker: Taker) -> None:
        """Ask it no more."""
        if self._takers.get(node_id) is taker:
            del self._takers[node_id]

    def room(self, node_id: NodeId) -> int:
        """Return how many instructions a node takes at once; 0 for one that asks for them."""
        taker = self._takers.get(node_id)
        return 0 if taker is None else taker.room

    def grant(self, new: Iterable[Delivery], is_idle: Callable[[NodeId], bool]) -> list[Delivery]:
        """Return which instructions their nodes take at once: small ones that came whole.

        A node takes all of its own or none: nothing overtakes what waits.

        Args:
            new: instructions.
            is_idle: tells whether nothing waits for a node yet.
        """
        of_nodes: defaultdict[NodeId, list[Delivery]] = defaultdict(list)
        for one in new:
            of_nodes[one.envelope.dst_node_id].append(one)
        return [
            one
            for node_id, theirs in of_nodes.items()
            if len(theirs) <= self.room(node_id)
            and is_idle(node_id)
            and all(one.may_go_whole for one in theirs)
            for one in theirs
        ]

    async def hand(self, granted: Iterable[Delivery], put_back: PutBack) -> None:
        """Hand over what was granted; what is not taken any more waits again."""
        left = []
        for delivery in granted:
            taker = self._takers.get(delivery.envelope.dst_node_id)
            if taker is None or not taker.take(delivery):
                left.append(delivery)
        for delivery in left:
            await put_back(delivery)
