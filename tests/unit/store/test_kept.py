"""Connections that stay open: used again, unless something went wrong with one."""

import pytest
from sqlalchemy import create_engine, text

from flwr.store.kept import MOST, KeptConnections


def test_a_connection_is_lent_again_and_a_failed_one_is_not() -> None:
    lend = KeptConnections(create_engine("sqlite://"))
    with lend() as first, first.begin():
        first.execute(text("SELECT 1"))
    with lend() as second:
        assert second is first
        with lend() as other:
            assert other is not first, "it is lent"
    with pytest.raises(LookupError), lend() as failing:
        raise LookupError
    assert failing.closed
    with lend() as fresh:
        assert fresh is not failing
    lend.close()
    assert fresh.closed


def test_no_more_are_kept_than_are_of_use() -> None:
    lend = KeptConnections(create_engine("sqlite://"))
    lent = [lend() for _ in range(MOST + 2)]
    connections = [one.__enter__() for one in lent]
    for one in lent:
        one.__exit__(None, None, None)
    assert sum(connection.closed for connection in connections) == 2
    lend.close()
    assert all(connection.closed for connection in connections)
