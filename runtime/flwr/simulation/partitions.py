"""The virtual nodes of a simulation: their ids, and which partition of the data each has."""

import hashlib
from collections.abc import Sequence
from typing import Final

from flwr.app.user_config import UserConfig
from flwr.core.errors import InvalidError
from flwr.core.ids import NodeId

MAX_NODES: Final = 10_000_000
_ID_BYTES: Final = 8
_SALT: Final = b"flwr virtual node "


class VirtualNodes:
    """``count`` nodes with partition ids 0 to ``count - 1``.

    A node's id depends on its partition id alone: a seeded app samples the same nodes every time.

    Raises:
        InvalidError: there can be no such number of nodes.
    """

    def __init__(self, count: int) -> None:
        if not 1 <= count <= MAX_NODES:
            raise InvalidError(
                f"a simulation of {count} nodes is impossible",
                hint=f"give a number between 1 and {MAX_NODES}",
            )
        self._ids = [_node_id(partition) for partition in range(count)]
        self._partitions = {node_id: partition for partition, node_id in enumerate(self._ids)}

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, node_id: object) -> bool:
        return node_id in self._partitions

    @property
    def ids(self) -> Sequence[NodeId]:
        """The nodes, by partition."""
        return self._ids

    def partition_of(self, node_id: NodeId) -> int:
        """Return the partition id of a node."""
        return self._partitions[node_id]


def node_config(partition: int, count: int) -> UserConfig:
    """Return the settings of one of ``count`` virtual nodes."""
    return {"partition-id": partition, "num-partitions": count}


def _node_id(partition: int) -> NodeId:
    digest = hashlib.blake2b(_SALT + str(partition).encode(), digest_size=_ID_BYTES).digest()
    return NodeId(int.from_bytes(digest) | 2)  # never 0 or 1, which are reserved
