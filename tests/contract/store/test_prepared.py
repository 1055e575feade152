import pytest
from sqlalchemy import bindparam, delete, insert, select
from sqlalchemy.exc import IntegrityError

from flwr.store.prepared import Prepared
from flwr.store.schema import meta
from flwr.store.store import Store, Tx
from tests.fakes.statements import counted

ADD = Prepared(insert(meta), is_insert_of=["key", "value"])
FIND = Prepared(select(meta).where(meta.c.key.in_(bindparam("keys", expanding=True))))
_GONE = delete(meta).where(meta.c.key == bindparam("gone"))
TAKE, FORGET = Prepared(_GONE.returning(meta.c.value)), Prepared(_GONE)


def add(tx: Tx, **values: str) -> None:
    rows = [{"key": key, "value": value} for key, value in values.items()]
    ADD.change_each(tx.meta._connection, rows)


def test_lists_of_any_length_are_found_and_rows_have_names(store: Store) -> None:
    with store.transaction() as tx:
        add(tx, a="1", b="2", c="100 %")
        connection = tx.meta._connection
        for keys in (["a"], ["a", "b"], ["b", "c", "a"], ["a"]):
            found = {row.key: row.value for row in FIND.rows(connection, {"keys": keys})}
            assert found == {
                k: v for k, v in zip("abc", ("1", "2", "100 %"), strict=True) if k in keys
            }
        taken = TAKE.first(connection, {"gone": "b"})
        assert taken is not None
        assert taken.value == "2"
        assert TAKE.first(connection, {"gone": "b"}) is None
        assert FORGET.change(connection, {"gone": "a"}) == 1


def test_its_errors_are_those_of_any_other_statement(store: Store) -> None:
    def add_twice() -> None:
        with store.transaction() as tx:
            add(tx, a="1")
            add(tx, b="2", a="3")

    with pytest.raises(IntegrityError):
        add_twice()
    with store.reading() as tx:
        assert FIND.rows(tx.meta._connection, {"keys": ["a", "b"]}) == []


def test_it_is_counted_like_any_other_statement(store: Store) -> None:
    with counted(store) as asked, store.transaction() as tx:
        add(tx, a="1", b="2")
        FIND.first(tx.meta._connection, {"keys": ["a"]})
    assert len([s for s in asked.statements if "meta" in s]) == 2
