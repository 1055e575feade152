"""What a node's state knows of its place in the federation: the id it was given, if any yet."""

from typing import Final

from flwr.core.clock import Clock
from flwr.core.ids import NodeId
from flwr.store.store import Store
from flwr.supernode.losses import begin_again
from flwr.supernode.runs import RunBook

_NODE_ID: Final = "node_id"


class Membership:
    """The id under which this state's work was taken in; it outlives the process with the state."""

    def __init__(self, store: Store, runs: RunBook, clock: Clock) -> None:
        self._store, self._runs, self._clock = store, runs, clock

    def remembers(self) -> bool:
        """Tell whether this state was in use before: then whatever was confirmed is in it.

        A key may come back with an empty state (a replaced disk).  What it confirmed in its last
        life must be sent to it again.
        """
        with self._store.reading() as tx:
            return tx.meta.get(_NODE_ID) is not None

    def adopt(self, node_id: NodeId) -> None:
        """Take the id the SuperLink answered; work addressed to another can never be answered.

        Work of ours that a power cut took a part of is begun again.
        """
        with self._store.reading() as tx:
            before = tx.meta.get(_NODE_ID)
        if before not in {None, str(node_id)}:
            self._runs.end_all(why="the SuperLink knows this node by another id now")
        with self._store.transaction() as tx:
            tx.meta.set(_NODE_ID, str(node_id))
            begin_again(tx, node_id, now=self._clock.now())
