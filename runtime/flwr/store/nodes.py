"""Statements about SuperNodes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, func, select, update

from flwr.core.errors import AlreadyExistsError, ConflictError
from flwr.core.ids import AccountId, NodeId
from flwr.core.node import Node, NodeNotFoundError, NodeStatus
from flwr.core.topics import node_gone
from flwr.store.dialect import MAX_IDS, insert_new
from flwr.store.prepared import Prepared
from flwr.store.schema import node as table

NodeList = list[Node]
NodeIdList = list[NodeId]
_COLUMNS = tuple(field.name for field in fields(Node))  # the table has the fields of the value

# Statements of the busy paths are built once: building one costs more than running it.
_FIND_BY_KEY: Final = select(table).where(table.c.public_key == bindparam("asked"))
_SAVE: Final = (
    update(table)
    .where(table.c.node_id == bindparam("of", type_=table.c.node_id.type))
    .where(table.c.status == bindparam("was"))
)
_PROLONG: Final = (
    update(table)
    .where(table.c.node_id == bindparam("of", type_=table.c.node_id.type))
    .where(table.c.status == NodeStatus.ONLINE.value)
    .values(
        online_until=bindparam("until", type_=table.c.online_until.type),
        heartbeat_interval_s=bindparam("interval_s"),
    )
)
_THESE = table.c.node_id.in_(bindparam("ids", expanding=True, type_=table.c.node_id.type))
_STATUSES: Final = Prepared(select(table.c.node_id, table.c.status).where(_THESE))
_FIND = Prepared(
    select(table).where(table.c.node_id == bindparam("asked", type_=table.c.node_id.type))
)

_ONLINE = Prepared(
    select(table.c.node_id)
    .where(
        table.c.status == NodeStatus.ONLINE.value,
        table.c.online_until > bindparam("now", type_=table.c.online_until.type),
    )
    .order_by(table.c.registered_at, table.c.node_id)
)


class Nodes:
    """The nodes, as one transaction sees them."""

    def __init__(self, connection: Connection, notify: Callable[[str], None]) -> None:
        """Work within the transaction of ``connection``, which notifies topics."""
        self._connection, self._notify = connection, notify

    def add(self, node: Node) -> None:
        """Store a new node.

        Raises:
            AlreadyExistsError: its id or its public key is taken, even by an unregistered node.
        """
        if not insert_new(self._connection, table, _encode(node)):
            raise AlreadyExistsError("a node with this public key or id exists")

    def find(self, node_id: NodeId) -> Node | None:
        """Return the node, None if there is none such."""
        row = _FIND.first(self._connection, {"asked": node_id})
        return None if row is None else _decode(row)

    def require(self, node_id: NodeId) -> Node:
        """Return the node.

        Raises:
            NodeNotFoundError: there is none such.
        """
        node = self.find(node_id)
        if node is None:
            raise NodeNotFoundError(node_id)
        return node

    def find_by_key(self, public_key: bytes) -> Node | None:
        """Return the node with this public key (PEM), unregistered ones included."""
        row = self._connection.execute(_FIND_BY_KEY, {"asked": public_key}).first()
        return None if row is None else _decode(row)

    def save(self, node: Node, was: NodeStatus) -> None:
        """Write the node, provided its status still is ``was``.

        Whoever remembers a node that is unregistered by this hears of it.

        Raises:
            ConflictError: the status is no longer ``was``, or the node is gone.
        """
        still = {"of": node.node_id, "was": was.value}
        done = self._connection.execute(_SAVE, {**_encode(node), **still})
        if done.rowcount != 1:
            raise ConflictError(f"node {node.node_id} is no longer {was}")
        if node.status is NodeStatus.UNREGISTERED:
            self._notify(node_gone(node.public_key))

    def statuses(self, node_ids: Sequence[NodeId]) -> dict[NodeId, NodeStatus]:
        """Return where those of the nodes stand that exist."""
        found: dict[NodeId, NodeStatus] = {}
        for start in range(0, len(node_ids), MAX_IDS):
            rows = _STATUSES.rows(self._connection, {"ids": node_ids[start : start + MAX_IDS]})
            found.update((NodeId(row.node_id), NodeStatus(row.status)) for row in rows)
        return found

    def status(self, node_id: NodeId) -> NodeStatus | None:
        """Return where a node stands, None if there is none such."""
        return self.statuses([node_id]).get(node_id)

    def prolong(self, terms: Mapping[NodeId, tuple[datetime, float]]) -> int:
        """Note until when silence of nodes that are online is forgiven, and their interval.

        Returns:
            How many of them are online; of the others nothing is noted.
        """
        rows = [
            {"of": node_id, "until": until, "interval_s": interval_s}
            for node_id, (until, interval_s) in terms.items()
        ]
        return self._connection.execute(_PROLONG, rows).rowcount if rows else 0

    def online(self, now: datetime) -> NodeIdList:
        """Return the ids of nodes that are online and not yet missed, oldest first."""
        return [NodeId(row.node_id) for row in _ONLINE.rows(self._connection, {"now": now})]

    def lapsed(self, now: datetime) -> NodeList:
        """Return nodes still marked online whose patience has run out, longest silent first."""
        silent = (table.c.status == NodeStatus.ONLINE.value, table.c.online_until <= now)
        rows = self._connection.execute(
            select(table).where(*silent).order_by(table.c.online_until),
        )
        return [_decode(row) for row in rows]

    def next_lapse(self) -> datetime | None:
        """Return when the first online node will be missed; None without online nodes."""
        earliest = select(func.min(table.c.online_until, type_=table.c.online_until.type))
        alive = earliest.where(table.c.status == NodeStatus.ONLINE.value)
        return self._connection.execute(alive).scalar_one_or_none()

    def list(self, *, owner_id: AccountId | None = None) -> NodeList:
        """Return nodes in the order they registered, unregistered ones included."""
        everyone = select(table).order_by(table.c.registered_at, table.c.node_id)
        if owner_id is not None:
            everyone = everyone.where(table.c.owner_id == owner_id)
        return [_decode(row) for row in self._connection.execute(everyone)]


def _encode(node: Node) -> dict[str, Any]:
    row = {name: getattr(node, name) for name in _COLUMNS}
    return {**row, "status": node.status.value}


def _decode(row: Row[Any]) -> Node:
    values = {name: getattr(row, name) for name in _COLUMNS}
    return Node(**{**values, "status": NodeStatus(row.status)})
