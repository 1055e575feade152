"""A SuperNode as the SuperLink knows it: states, moves, and how long silence is forgiven."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from flwr.core.errors import ErrorKind, FlwrError, InvalidError, NotFoundError
from flwr.core.ids import AccountId, NodeId
from flwr.core.limits import NODE_HEARTBEAT_MAX, NODE_HEARTBEAT_MIN, NODE_PATIENCE


class NodeStatus(StrEnum):
    """Where a node stands; unregistered is final."""

    REGISTERED = "registered"  # its key is known, it never connected
    ONLINE = "online"
    OFFLINE = "offline"
    UNREGISTERED = "unregistered"  # final; the key stays taken


NEXT: Final[Mapping[NodeStatus, frozenset[NodeStatus]]] = {
    NodeStatus.REGISTERED: frozenset({NodeStatus.ONLINE, NodeStatus.UNREGISTERED}),
    # Online to online: a node that crashed and came back before it was missed (wire.md §19 no. 15).
    NodeStatus.ONLINE: frozenset(
        {NodeStatus.ONLINE, NodeStatus.OFFLINE, NodeStatus.UNREGISTERED},
    ),
    NodeStatus.OFFLINE: frozenset({NodeStatus.ONLINE, NodeStatus.UNREGISTERED}),
    NodeStatus.UNREGISTERED: frozenset(),
}

REACHABLE: Final = frozenset({NodeStatus.ONLINE, NodeStatus.OFFLINE})
"""Where instructions may be addressed to a node."""

NO_ACCOUNT_ID: Final = AccountId("<id:none>")
NO_ACCOUNT_NAME: Final = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One SuperNode."""

    node_id: NodeId
    public_key: bytes  # PEM, SubjectPublicKeyInfo
    owner_id: AccountId = NO_ACCOUNT_ID
    owner_name: str = NO_ACCOUNT_NAME
    status: NodeStatus = NodeStatus.REGISTERED
    registered_at: datetime
    activated_at: datetime | None = None
    deactivated_at: datetime | None = None
    unregistered_at: datetime | None = None
    online_until: datetime | None = None  # silence until here is forgiven
    heartbeat_interval_s: float = 0.0


class NodeTransitionError(FlwrError):
    """The node cannot move from its present status to the wanted one."""

    kind = ErrorKind.FAILED_PRECONDITION

    def __init__(self, node: Node, wanted: NodeStatus) -> None:
        """Keep the node and the wanted status."""
        super().__init__(f"node {node.node_id} is {node.status}, it cannot become {wanted}")
        self.node, self.wanted = node, wanted


class NodeNotFoundError(NotFoundError):
    """No node has this id, or it belongs to somebody else."""

    def __init__(self, node_id: NodeId) -> None:
        """Use the text the CLI compares exactly (wire contract §14.2)."""
        super().__init__("Node ID not found for account")
        self.node_id = node_id


def require_interval(interval_s: float) -> timedelta:
    """Return the heartbeat interval as a duration.

    Raises:
        InvalidError: it is outside the contract's 10 to 1800 seconds.
    """
    low, high = NODE_HEARTBEAT_MIN.total_seconds(), NODE_HEARTBEAT_MAX.total_seconds()
    if not low <= interval_s <= high:
        raise InvalidError(f"heartbeat interval {interval_s} s is outside {low:g} to {high:g} s")
    return timedelta(seconds=interval_s)


def missed_at(heard_at: datetime, interval_s: float) -> datetime:
    """Return until when the silence of a node is forgiven that announced this interval.

    Raises:
        InvalidError: the interval is out of range.
    """
    return heard_at + NODE_PATIENCE * require_interval(interval_s)


def heard(node: Node, *, at: datetime, interval_s: float) -> Node:
    """Return ``node`` online until ``at`` plus the patience; it activated or sent a heartbeat."""
    until = missed_at(at, interval_s)
    moved = _move(node, NodeStatus.ONLINE)
    activated = node.activated_at if node.status is NodeStatus.ONLINE else at
    return replace(
        moved,
        online_until=until,
        heartbeat_interval_s=interval_s,
        activated_at=activated,
    )


def went_offline(node: Node, *, at: datetime) -> Node:
    """Return ``node`` offline since ``at``: it said so, or ``online_until`` passed."""
    return replace(_move(node, NodeStatus.OFFLINE), deactivated_at=at, online_until=None)


def unregister(node: Node, *, at: datetime) -> Node:
    """Return ``node`` unregistered for good."""
    return replace(_move(node, NodeStatus.UNREGISTERED), unregistered_at=at, online_until=None)


def _move(node: Node, to: NodeStatus) -> Node:
    if to not in NEXT[node.status]:
        raise NodeTransitionError(node, to)
    return replace(node, status=to)
