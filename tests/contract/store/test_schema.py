"""The schema in ``schema.py`` is exactly what the migrations make."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, text

from flwr.store.errors import DowngradeRefusedError
from flwr.store.migration import VERSION_TABLE, migrate
from flwr.store.schema import REVISION, metadata

_TEXTS_OF_0001 = (
    *("fab_id", "fab_version", "fab_hash", "override_config", "federation", "account_id"),
    *("account_name", "run_type", "status", "details"),
)
_NUMBERS_OF_0001 = ("run_id", "pending_at", "bytes_sent", "bytes_recv", "clientapp_runtime_s")


def alembic() -> Config:
    config = Config()
    config.set_main_option("script_location", "flwr.store:migrations")
    return config


def version(connection: Connection) -> Sequence[object]:
    return connection.execute(text(f"SELECT * FROM {VERSION_TABLE}")).all()  # noqa: S608  constant


@pytest.fixture
def engine(place: str) -> Iterator[Engine]:
    engine = create_engine(place if "://" in place else f"sqlite:///{place}")
    yield engine
    engine.dispose()


def shape(connection: Connection) -> set[str]:
    rows = connection.execute(text("SELECT tbl_name, sql FROM sqlite_master"))
    ours = (row.sql for row in rows if row.sql is not None and row.tbl_name != VERSION_TABLE)
    return {"".join(sql.split()).replace('"', "") for sql in ours}


def upgrade(engine: Engine) -> None:
    """Make the schema by its migrations, as databases of older versions get it."""
    config = alembic()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


@pytest.mark.parametrize("make", [upgrade, lambda engine: migrate(engine, "here")])
def test_migrations_make_the_schema(engine: Engine, make: Callable[[Engine], None]) -> None:
    make(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        differences = [
            change
            for change in compare_metadata(context, metadata)
            if VERSION_TABLE not in repr(change)
        ]
        assert differences == []


def test_migrations_make_the_very_statements_of_the_schema(tmp_path: Path) -> None:
    by_migrations = create_engine(f"sqlite:///{tmp_path / 'migrated.db'}")
    by_schema = create_engine("sqlite://")
    upgrade(by_migrations)
    migrate(by_schema, "here")
    with by_migrations.connect() as left, by_schema.connect() as right:
        assert shape(left) == shape(right)
        assert version(left) == version(right) == [(REVISION,)]
    by_migrations.dispose()
    by_schema.dispose()


def test_a_store_of_this_version_is_made_and_opened_without_the_library_for_older_ones(
    tmp_path: Path,
) -> None:
    code = f"""
import sys
sys.modules["alembic"] = None
from flwr.core.clock import SystemClock
from flwr.store.store import open_store
for _ in range(2):
    open_store({str(tmp_path / "store.db")!r}).close()
assert "sqlalchemy.dialects.postgresql" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_there_is_one_line_of_migrations_and_its_head_is_known() -> None:
    scripts = ScriptDirectory.from_config(alembic())
    assert scripts.get_heads() == [REVISION]
    assert len(scripts.get_bases()) == 1


@pytest.mark.row("F42")
def test_a_downgrade_is_refused(engine: Engine) -> None:
    migrate(engine, "here")
    config = alembic()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        with pytest.raises(DowngradeRefusedError):
            command.downgrade(config, "base")


@pytest.mark.row("F42")
def test_runs_of_an_older_schema_are_kept(engine: Engine) -> None:
    config = alembic()
    row = dict.fromkeys(_TEXTS_OF_0001, "x") | dict.fromkeys(_NUMBERS_OF_0001, 7)
    names = ", ".join(row)
    values = ", ".join(f":{name}" for name in row)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(text(f"INSERT INTO run ({names}) VALUES ({values})"), row)  # noqa: S608  constants

    migrate(engine, "here")

    with engine.connect() as connection:
        (kept,) = connection.execute(text("SELECT * FROM run"))
        assert kept._mapping["fab_id"] == "x"
        assert kept._mapping["origin"] is None


def test_migrating_again_changes_nothing(engine: Engine) -> None:
    migrate(engine, "here")
    migrate(engine, "here")
