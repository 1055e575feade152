"""Every test here runs on SQLite and on PostgreSQL.

The server is that of FLWR_TEST_POSTGRES_URL, else one started here from the system's programs; with
neither, the tests on PostgreSQL are skipped.
"""

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from flwr.store.store import Store, open_store
from tests.harness.postgres import PostgresServer, why_no_postgres
from tests.harness.program import eventually

OpenStore = Callable[[], Store]
_POSTGRES = "FLWR_TEST_POSTGRES_URL"


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A database of a PostgreSQL server, which tests share."""
    if given := os.environ.get(_POSTGRES):
        yield given
        return
    if why := why_no_postgres():
        pytest.skip(f"{why}, or {_POSTGRES}")
    with PostgresServer() as server:
        yield server.url


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty place for a store: a path or a URL."""
    if request.param == "sqlite":
        yield str(tmp_path / "store.db")
        return
    yield request.getfixturevalue("postgres_place")


@pytest.fixture
def postgres_place(postgres_url: str) -> Iterator[str]:
    """A schema of its own in a PostgreSQL database."""
    url = make_url(postgres_url)
    schema = f"test_{secrets.token_hex(6)}"
    engine = create_engine(url.set(drivername="postgresql+psycopg"))
    with engine.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {schema}"))
    mine = url.update_query_dict({"options": f"-csearch_path={schema}"})
    yield mine.render_as_string(hide_password=False)
    with engine.begin() as connection:
        connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
    engine.dispose()


@pytest.fixture
def payload_dir(tmp_path: Path) -> Path:
    return tmp_path / "payloads"


@pytest.fixture
def opened(place: str, payload_dir: Path) -> Iterator[OpenStore]:
    """Opens the same place again and again; closes what was opened."""
    stores: list[Store] = []

    def open_again() -> Store:
        stores.append(store := open_store(place, payload_dir=payload_dir))
        eventually(lambda: store.hears_all, timeout=30)  # else it tells us so in the middle
        return store

    yield open_again
    for store in stores:
        store.close()


@pytest.fixture
def store(opened: OpenStore) -> Store:
    return opened()
