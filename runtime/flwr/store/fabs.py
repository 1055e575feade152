"""Statements about FABs, the bundles runs execute."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from sqlalchemy import Connection, delete, exists, select

from flwr.core.errors import InvalidError
from flwr.core.ids import FabHash
from flwr.core.run import FINAL
from flwr.store.dialect import insert
from flwr.store.schema import fab as table
from flwr.store.schema import run

_UNUSED = ~exists().where(run.c.fab_hash == table.c.fab_hash, run.c.status.not_in(sorted(FINAL)))


@dataclass(frozen=True, slots=True)
class Fab:
    """A bundle and the signatures found with it."""

    hash: FabHash
    content: bytes
    verifications: Mapping[str, str] = field(default_factory=dict)


class Fabs:
    """The bundles, as one transaction sees them."""

    def __init__(self, connection: Connection) -> None:
        """Work within the transaction of ``connection``."""
        self._connection = connection

    def put(
        self,
        fab_hash: FabHash,
        content: bytes,
        verifications: Mapping[str, str] | None = None,
    ) -> None:
        """Store a bundle; a known one keeps its content and gets the new verifications.

        Raises:
            InvalidError: ``content`` does not have this hash.
        """
        if sha256(content).hexdigest() != fab_hash:
            raise InvalidError(f"the bundle does not have the hash {fab_hash}")
        new = insert(self._connection, table).values(
            fab_hash=fab_hash,
            content=content,
            verifications=dict(verifications or {}),
        )
        newest = {"verifications": new.excluded.verifications}
        self._connection.execute(
            new.on_conflict_do_update(index_elements=(table.c.fab_hash,), set_=newest),
        )

    def find(self, fab_hash: FabHash) -> Fab | None:
        """Return the bundle with this hash."""
        mine = select(table).where(table.c.fab_hash == fab_hash)
        row = self._connection.execute(mine).first()
        return None if row is None else Fab(FabHash(row.fab_hash), row.content, row.verifications)

    def unused(self) -> list[FabHash]:
        """Return the hashes of the bundles that no unfinished run needs."""
        rows = self._connection.execute(select(table.c.fab_hash).where(_UNUSED))
        return [FabHash(row.fab_hash) for row in rows]

    def delete_unused(self) -> list[FabHash]:
        """Delete the bundles that no unfinished run needs; return their hashes."""
        rows = self._connection.execute(delete(table).where(_UNUSED).returning(table.c.fab_hash))
        return [FabHash(row.fab_hash) for row in rows]
