"""Connections that stay open: used again, unless something went wrong with one."""

from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

from flwr.store.kept import MOST, KeptConnections

_OURS: Final = {"isolation_level": None, "check_same_thread": False}


@pytest.fixture
def lender(tmp_path: Path) -> KeptConnections:
    engine = create_engine(f"sqlite:///{tmp_path / 'some.db'}", connect_args=_OURS)
    return KeptConnections(engine, "BEGIN")


def test_a_connection_is_lent_again_and_a_failed_one_is_not(lender: KeptConnections) -> None:
    first = lender.begin()
    first.execute(text("SELECT 1"))
    lender.commit(first)
    second = lender.begin()
    assert second is first
    other = lender.begin()
    assert other is not first, "it is lent"
    lender.commit(other)
    lender.rollback(second)
    assert second.closed
    fresh = lender.begin()
    assert fresh is not second
    lender.commit(fresh)
    lender.close()
    assert fresh.closed


def test_a_connection_whose_commit_failed_is_not_lent_again(lender: KeptConnections) -> None:
    connection = lender.begin()
    driver: Any = connection.connection.driver_connection
    driver.rollback()
    with pytest.raises(DBAPIError, match="no transaction is active"):
        lender.commit(connection)
    assert connection.closed


def test_no_more_are_kept_than_are_of_use(lender: KeptConnections) -> None:
    connections = [lender.begin() for _ in range(MOST + 2)]
    for one in connections:
        lender.commit(one)
    assert sum(connection.closed for connection in connections) == 2
    lender.close()
    assert all(connection.closed for connection in connections)
