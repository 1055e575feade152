"""Statements about small facts of a daemon, by name: the node's own id, its state."""

from sqlalchemy import Connection, select

from flwr.store.dialect import insert
from flwr.store.schema import meta as table


class Meta:
    """The facts, as one transaction sees them."""

    def __init__(self, connection: Connection) -> None:
        """Work within the transaction of ``connection``."""
        self._connection = connection

    def get(self, key: str) -> str | None:
        """Return the value, None if it was never set."""
        mine = select(table.c.value).where(table.c.key == key)
        return self._connection.execute(mine).scalar_one_or_none()

    def set(self, key: str, value: str) -> None:
        """Store a value, replacing an earlier one."""
        new = insert(self._connection, table).values(key=key, value=value)
        self._connection.execute(
            new.on_conflict_do_update(index_elements=(table.c.key,), set_={"value": value}),
        )
