"""What only a database server can do to a store: refuse, restart, be opened by many at once."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psycopg
import pytest

from flwr.core.errors import ErrorKind, FlwrError, InvalidError
from flwr.store.errors import DatabaseRefusedError, StoreUnavailableError
from flwr.store.store import open_store
from tests.harness.postgres import PostgresServer, why_no_postgres

pytestmark = pytest.mark.postgres
OPENERS: Final = 6
OPEN: Final = """
import sys
from pathlib import Path
from flwr.store.store import open_store
sys.stdin.readline()
store = open_store(sys.argv[1], payload_dir=Path(sys.argv[2]))
with store.transaction() as tx:
    tx.meta.set(sys.argv[2], "opened")
store.close()
"""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    if why := why_no_postgres():
        pytest.skip(why)
    with PostgresServer() as running:
        yield running


def plain(url: str) -> str:
    return url.replace("+psycopg", "")


def test_the_schema_is_made_once_when_many_programs_open_an_empty_database(
    server: PostgresServer, tmp_path: Path
) -> None:
    with psycopg.connect(plain(server.url), autocommit=True) as admin:
        admin.execute("CREATE DATABASE crowded")
    url = server.url_of(database="crowded")
    openers = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN, url, str(tmp_path / str(number))],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(OPENERS)
    ]
    for opener in openers:  # all are at the same line when the first is let go
        assert opener.stdin is not None
        opener.stdin.write("\n")
        opener.stdin.flush()
    for opener in openers:
        _, errors = opener.communicate(timeout=120)
        assert opener.returncode == 0, errors
    with psycopg.connect(plain(url)) as connection:
        versions = connection.execute("SELECT count(*) FROM alembic_version").fetchone()
        marks = connection.execute("SELECT count(*) FROM meta").fetchone()
        partial = connection.execute(
            "SELECT count(*) FROM pg_indexes WHERE schemaname = 'public' "
            "AND indexdef LIKE '%WHERE%'"
        ).fetchone()
    assert (versions, marks, partial) == ((1,), (OPENERS,), (3,))  # claim, unanswered, expired


@pytest.mark.row("F10")
@pytest.mark.parametrize(
    ("wrong", "says", "remedy"),
    [
        ({"password": "wr0ng"}, "authentication failed", "user and password"),
        ({"user": "nobody"}, "authentication failed", "user and password"),
        ({"database": "nowhere"}, "does not exist", "create the database"),
    ],
)
def test_a_refusal_is_typed_with_its_remedy_and_without_the_password(
    server: PostgresServer, tmp_path: Path, wrong: dict[str, str], says: str, remedy: str
) -> None:
    with pytest.raises(DatabaseRefusedError) as caught:
        open_store(server.url_of(**wrong), payload_dir=tmp_path)
    error = caught.value
    assert error.kind is ErrorKind.UNAVAILABLE
    assert says in error.message
    assert remedy in error.hint
    for secret in (server.password, "wr0ng"):
        assert secret not in error.message + error.hint


@pytest.mark.parametrize(
    ("place", "remedy"),
    [("127.0.0.1:1", "database server runs"), ("no.such.host.invalid:5432", "its name is known")],
)
def test_a_server_that_is_not_there_is_typed(tmp_path: Path, place: str, remedy: str) -> None:
    with pytest.raises(StoreUnavailableError) as caught:
        open_store(f"postgresql://flwr:secret@{place}/flwr", payload_dir=tmp_path)
    assert remedy in caught.value.hint
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://flwr:s3cret@more@db/flwr",
        "postgresql://flwr:s3cret@db:port/flwr",
        "postgresql://flwr:s3/cret@db/flwr",
        "mysql://flwr:s3cret@db/flwr?password=s3cret",
    ],
)
def test_a_url_that_cannot_be_read_is_never_shown(tmp_path: Path, url: str) -> None:
    with pytest.raises(FlwrError) as caught:
        open_store(url, payload_dir=tmp_path)
    assert isinstance(caught.value, (InvalidError, StoreUnavailableError))
    assert "cret" not in caught.value.message
    assert caught.value.hint


@pytest.mark.row("F10")
def test_a_store_outlives_its_server(tmp_path: Path) -> None:
    if why := why_no_postgres():
        pytest.skip(why)
    with PostgresServer() as server:
        store = open_store(server.url, payload_dir=tmp_path)
        with store.transaction() as tx:
            tx.meta.set("before", "1")
        server.stop()
        for _ in range(2):
            with pytest.raises(StoreUnavailableError), store.transaction() as tx:
                tx.meta.set("lost", "1")
        with pytest.raises(StoreUnavailableError), store.reading() as tx:
            tx.meta.get("before")
        server.start()
        with store.reading() as tx:
            assert (tx.meta.get("before"), tx.meta.get("lost")) == ("1", None)
        store.close()


@pytest.mark.row("F10")
def test_a_session_that_is_ended_in_a_transaction_loses_it_and_nothing_else(
    server: PostgresServer, tmp_path: Path
) -> None:
    store = open_store(server.url, payload_dir=tmp_path)

    def write() -> None:
        with store.transaction() as tx:
            tx.meta.set("half", "1")
            with psycopg.connect(plain(server.url)) as admin:
                admin.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE pid <> pg_backend_pid() AND application_name = 'flwr'"
                )
            tx.meta.set("other half", "1")

    with pytest.raises(StoreUnavailableError):
        write()
    with store.transaction() as tx:
        assert tx.meta.get("half") is None
    store.close()
