"""The virtual nodes of a simulation: their ids, and which partition of the data each has.

Nothing here is kept per node: an id is computed from its partition, and the partition from the id.
"""

from functools import lru_cache
from typing import Final

import numpy as np

from flwr.app.user_config import UserConfig
from flwr.core.errors import InvalidError
from flwr.core.ids import NodeId

MAX_NODES: Final = 10_000_000
_REMEMBERED: Final = 16_384  # ids whose partition is known: a round asks twice for each
_MASK: Final = 2**64 - 1
_SALT: Final = 0x9E3779B97F4A7C15
# Mixing bits as splitmix64 does it (Steele et al., OOPSLA 2014): each step can be undone.
_SHIFTS: Final = (30, 27, 31)
_FACTORS: Final = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
_INVERSE_SALT: Final = pow(_SALT, -1, 2**64)
_INVERSES: Final = tuple(pow(factor, -1, 2**64) for factor in _FACTORS)


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
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __contains__(self, node_id: object) -> bool:
        return isinstance(node_id, int) and _partition(node_id) < self._count

    @property
    def ids(self) -> list[NodeId]:
        """The nodes, by partition; made anew each time."""
        mixed = np.arange(1, self._count + 1, dtype=np.uint64) * np.uint64(_SALT)
        mixed ^= mixed >> np.uint64(_SHIFTS[0])
        for factor, shift in zip(_FACTORS, _SHIFTS[1:], strict=True):
            mixed *= np.uint64(factor)
            mixed ^= mixed >> np.uint64(shift)
        ids: list[NodeId] = mixed.tolist()
        return ids

    def partition_of(self, node_id: NodeId) -> int:
        """Return the partition id of a node."""
        return _partition(node_id)


def node_config(partition: int, count: int) -> UserConfig:
    """Return the settings of one of ``count`` virtual nodes."""
    return {"partition-id": partition, "num-partitions": count}


@lru_cache(_REMEMBERED)
def _partition(node_id: int) -> int:
    """Undo what makes an id; of any other number, make one that is no partition."""
    if not 1 < node_id <= _MASK:
        return MAX_NODES
    mixed = _unshifted(node_id, _SHIFTS[2])
    for inverse, shift in zip(reversed(_INVERSES), reversed(_SHIFTS[:2]), strict=True):
        mixed = _unshifted(mixed * inverse & _MASK, shift)
    return (mixed * _INVERSE_SALT & _MASK) - 1 & _MASK


def _unshifted(mixed: int, shift: int) -> int:
    """Return the number that, XORed with itself shifted right, gives ``mixed``."""
    number = mixed
    for _ in range(64 // shift):
        number = mixed ^ number >> shift
    return number
