"""Writes that are put off: seen by whoever looks, made once, and in nobody's way."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flwr.core.errors import FlwrError
from flwr.store.durability import Durability
from flwr.store.errors import StoreFullError
from flwr.store.store import Store, Tx, open_store
from tests.fakes.power import disk
from tests.fakes.statements import counted


@pytest.fixture
def store() -> Iterator[Store]:
    made = open_store(":memory:")
    yield made
    made.close()


def setting(value: str) -> Callable[[Tx], None]:
    def write(tx: Tx) -> None:
        tx.meta.set("key", (tx.meta.get("key") or "") + value)
        tx.notify(value)

    return write


def put_off(store: Store, key: str, write: Callable[[Tx], None]) -> None:
    with store.transaction(Durability.LATER) as tx:
        tx.put_off[key] = write


def found(store: Store) -> str | None:
    with store.reading() as tx:
        return tx.meta.get("key")


def test_it_costs_no_commit_and_whoever_reads_finds_it_made(store: Store) -> None:
    told: list[str] = []
    store.subscribe(told.extend)
    with counted(store) as asked:
        put_off(store, "one", setting("a"))
    assert (asked.commits, asked.statements, told) == (0, [], [])
    with counted(store) as asked:
        assert found(store) == "a"
        assert found(store) == "a"
    assert (asked.commits, told) == (1, ["a"])


def test_they_are_made_in_order_with_whatever_is_written_next(store: Store) -> None:
    put_off(store, "one", setting("a"))
    with counted(store) as asked, store.transaction() as tx:
        assert tx.meta.get("key") == "a"
        setting("b")(tx)
    assert asked.commits == 1
    put_off(store, "two", setting("c"))
    with counted(store) as asked:
        put_off(store, "three", setting("d"))
    assert asked.commits == 1, "what was put off before is written"
    assert found(store) == "abcd"


def test_who_takes_one_over_makes_it_in_its_own_way(store: Store) -> None:
    one, two = setting("a"), setting("b")
    put_off(store, "one", one)
    with store.transaction(instead_of="one") as tx:
        assert tx.taken_over is one
        assert tx.meta.get("key") is None
        setting("A")(tx)
    put_off(store, "two", two)
    assert found(store) == "Ab"
    with store.transaction(instead_of="two") as tx:
        assert tx.taken_over is None, "it is made"


@pytest.mark.parametrize("instead_of", [None, "one"])
def test_a_transaction_that_is_rolled_back_has_made_none(
    store: Store, instead_of: str | None
) -> None:
    put_off(store, "one", setting("a"))
    with pytest.raises(FlwrError), store.transaction(instead_of=instead_of):
        raise FlwrError("no")
    assert found(store) == "a"


def test_one_that_cannot_be_made_is_in_the_way_once(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_tx: Tx) -> None:
        raise ValueError("a bug")

    put_off(store, "broken", broken)
    with pytest.raises(ValueError, match="a bug"):
        found(store)
    assert found(store) is None
    assert "Dropped a write" in caplog.text


def test_a_full_disk_keeps_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    put_off(store, "one", setting("a"))
    with monkeypatch.context() as patch:

        def full(*_: object) -> None:
            raise StoreFullError("store.db")

        patch.setattr(store._engines.lend_writing, "begin", full)
        with pytest.raises(StoreFullError):
            found(store)
    assert found(store) == "a"


def test_what_is_made_durable_survives_a_power_cut(tmp_path: Path) -> None:
    with disk(tmp_path / "store.db") as files:
        put_off(files.store, "one", setting("a"))
        files.store.settle_objects()
        put_off(files.store, "two", setting("b"))
        assert found(files.cut_power()) == "a"
