"""Who this node is: its key, and the id the SuperLink gave it.

The node id may change once in a while (an open federation whose SuperLink lost its database), so
everybody asks the identity instead of keeping a copy.
"""

from dataclasses import dataclass, field

from flwr.core.errors import FailedPreconditionError
from flwr.core.ids import NodeId


@dataclass(slots=True)
class NodeIdentity:
    """The present id of this node; set by ``FleetSession`` alone."""

    registers_itself: bool  # open federation: no key was given, the node registers its own
    is_ephemeral: bool  # the key dies with this process, so the node unregisters when it stops
    _node_id: NodeId | None = field(default=None)

    @property
    def node_id(self) -> NodeId:
        """The id the SuperLink knows us by.

        Raises:
            FailedPreconditionError: the node has not connected yet.
        """
        if self._node_id is None:
            raise FailedPreconditionError("the node has not been activated yet")
        return self._node_id

    @property
    def known(self) -> NodeId | None:
        """The id, None before the first activation."""
        return self._node_id

    def become(self, node_id: NodeId) -> None:
        """Take the id that the SuperLink answered."""
        self._node_id = node_id
