"""Brings the schema of an open database to this version's, or refuses.

Alembic is loaded only for a database of an older version: an empty one gets the schema as it is,
which is what all migrations together make, and most starts find it current.
"""

from typing import Final

from sqlalchemy import Column, Connection, Engine, MetaData, String, Table, inspect, text

from flwr.store.dialect import serialize
from flwr.store.durability import Durability
from flwr.store.errors import StoreCorruptError, StoreNewerSchemaError
from flwr.store.schema import REVISION, metadata

VERSION_TABLE: Final = "alembic_version"
_VERSION: Final = Table(  # as Alembic makes it
    VERSION_TABLE, MetaData(), Column("version_num", String(32), primary_key=True)
)


def migrate(engine: Engine, where: str) -> None:
    """Apply what is missing, in one transaction; several processes may do so at once.

    Raises:
        StoreNewerSchemaError: a newer version wrote the database.
        StoreCorruptError: it holds tables, but not ours.
    """
    with engine.connect() as connection, connection.begin():
        serialize(connection, Durability.TOLD)
        found = find_revision(connection, where)
        if found is None:
            _create(connection)
        elif found != REVISION:
            _upgrade(connection, where, found)


def find_revision(connection: Connection, where: str) -> str | None:
    """Return the revision of the schema, None if the database is empty.

    Raises:
        StoreCorruptError: it holds tables, but not ours.
    """
    tables = inspect(connection).get_table_names()
    if VERSION_TABLE not in tables:
        if tables:
            raise StoreCorruptError(where, "it holds tables of another program")
        return None
    rows = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).all()  # noqa: S608  a constant
    if len(rows) != 1:
        raise StoreCorruptError(where, "it does not say which schema it has")
    return str(rows[0].version_num)


def _create(connection: Connection) -> None:
    metadata.create_all(connection, checkfirst=False)
    _VERSION.create(connection)
    connection.execute(_VERSION.insert().values(version_num=REVISION))


def _upgrade(connection: Connection, where: str, found: str) -> None:
    from alembic import command  # noqa: PLC0415  150 ms and 12 MB that a current schema saves
    from alembic.config import Config  # noqa: PLC0415  as above
    from alembic.script import ScriptDirectory  # noqa: PLC0415  as above

    config = Config()
    config.set_main_option("script_location", "flwr.store:migrations")
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found not in known:
        raise StoreNewerSchemaError(where, found, REVISION)
    command.upgrade(config, "head")
