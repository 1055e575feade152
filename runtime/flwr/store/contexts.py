"""Statements about the contexts of apps: what one app keeps per run and node; opaque bytes here."""

from typing import Final

from sqlalchemy import Connection, bindparam, delete, select

from flwr.core.ids import NodeId, RunId
from flwr.store.dialect import replace_row
from flwr.store.prepared import Prepared
from flwr.store.schema import app_context as table

_FIND: Final = Prepared(
    select(table.c.content).where(
        table.c.run_id == bindparam("of_run", type_=table.c.run_id.type),
        table.c.node_id == bindparam("of_node", type_=table.c.node_id.type),
    )
)


class Contexts:
    """The contexts, as one transaction sees them."""

    def __init__(self, connection: Connection) -> None:
        """Work within the transaction of ``connection``."""
        self._connection = connection

    def save(self, run_id: RunId, node_id: NodeId, content: bytes) -> None:
        """Store the context of one run on one node, replacing an earlier one."""
        row = {"run_id": run_id, "node_id": node_id, "content": content}
        replace_row(self._connection, table, row)

    def find(self, run_id: RunId, node_id: NodeId) -> bytes | None:
        """Return the context of one run on one node."""
        row = _FIND.first(self._connection, {"of_run": run_id, "of_node": node_id})
        return None if row is None else row.content

    def delete_run(self, run_id: RunId) -> None:
        """Delete every context of a run."""
        self._connection.execute(delete(table).where(table.c.run_id == run_id))
