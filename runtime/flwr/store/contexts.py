"""Statements about the contexts of apps: what one app keeps per run and node; opaque bytes here."""

from sqlalchemy import Connection, delete, select

from flwr.core.ids import NodeId, RunId
from flwr.store.dialect import insert
from flwr.store.schema import app_context as table


class Contexts:
    """The contexts, as one transaction sees them."""

    def __init__(self, connection: Connection) -> None:
        """Work within the transaction of ``connection``."""
        self._connection = connection

    def save(self, run_id: RunId, node_id: NodeId, content: bytes) -> None:
        """Store the context of one run on one node, replacing an earlier one."""
        new = insert(self._connection, table).values(
            run_id=run_id,
            node_id=node_id,
            content=content,
        )
        key = (table.c.run_id, table.c.node_id)
        self._connection.execute(
            new.on_conflict_do_update(index_elements=key, set_={"content": new.excluded.content}),
        )

    def find(self, run_id: RunId, node_id: NodeId) -> bytes | None:
        """Return the context of one run on one node."""
        mine = (table.c.run_id == run_id, table.c.node_id == node_id)
        return self._connection.execute(select(table.c.content).where(*mine)).scalar_one_or_none()

    def delete_run(self, run_id: RunId) -> None:
        """Delete every context of a run."""
        self._connection.execute(delete(table).where(table.c.run_id == run_id))
