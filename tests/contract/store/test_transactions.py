from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, get_ident

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from flwr.core.errors import FlwrError
from flwr.store.durability import Durability
from flwr.store.errors import NestedTransactionError
from flwr.store.store import Store, open_store
from tests import given
from tests.fakes.statements import counted


def test_a_failed_transaction_changes_nothing_and_tells_nobody(store: Store) -> None:
    told: list[frozenset[str]] = []
    store.subscribe(told.append)

    def fail() -> None:
        with store.transaction() as tx:
            tx.meta.set("a", "1")
            tx.notify("apps")
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        fail()
    with store.reading() as tx:
        assert tx.meta.get("a") is None
    assert told == []


def test_listeners_hear_the_topics_after_the_commit_in_the_same_thread(store: Store) -> None:
    told: list[tuple[frozenset[str], str | None, int]] = []

    def listen(topics: frozenset[str]) -> None:
        with store.reading() as tx:  # allowed: the transaction is over
            told.append((topics, tx.meta.get("a"), get_ident()))

    store.subscribe(listen)
    with store.transaction() as tx:
        tx.notify("apps")
        tx.meta.set("a", "1")
        tx.notify("run:7")
        tx.notify("apps")
    with store.transaction() as tx:
        tx.meta.set("a", "2")  # no topic: nobody is called
    assert told == [(frozenset({"apps", "run:7"}), "1", get_ident())]


def test_a_listener_that_fails_harms_neither_the_others_nor_the_caller(
    store: Store,
    caplog: pytest.LogCaptureFixture,
) -> None:
    told: list[frozenset[str]] = []

    def fail(topics: frozenset[str]) -> None:
        raise RuntimeError("on purpose")

    store.subscribe(fail)
    store.subscribe(told.append)
    with store.transaction() as tx:
        tx.notify("apps")
    assert told == [frozenset({"apps"})]
    assert [record.event for record in caplog.records] == ["store.listener-failed"]  # type: ignore[attr-defined]


def test_a_transaction_inside_another_is_refused(store: Store) -> None:
    for outer in (store.transaction, store.reading):
        for inner in (store.transaction, store.reading):
            with outer(), pytest.raises(NestedTransactionError), inner():
                pass
    with store.transaction() as tx:  # the refusals left nothing behind
        tx.meta.set("a", "1")


def test_a_reader_cannot_write(store: Store) -> None:
    with pytest.raises((FlwrError, DBAPIError)), store.reading() as tx:
        tx.meta.set("a", "1")
    with store.reading() as tx:
        assert tx.meta.get("a") is None


def test_a_reader_keeps_its_view_while_others_write(store: Store, place: str) -> None:
    if place.startswith("postgresql"):
        pytest.skip("PostgreSQL readers see each commit; no operation relies on one view")
    reading, written = Event(), Event()

    def read() -> tuple[str | None, str | None]:
        with store.reading() as tx:
            before = tx.meta.get("a")
            reading.set()
            assert written.wait(60)
            return before, tx.meta.get("a")

    with ThreadPoolExecutor(1) as threads:
        seen = threads.submit(read)
        assert reading.wait(60)
        with store.transaction() as tx:  # no writer is held up either
            tx.meta.set("a", "1")
        written.set()
        assert seen.result() == (None, None)


@pytest.mark.slow
def test_many_threads_write_without_losing_an_update(store: Store) -> None:
    run = given.running_run()
    with store.transaction() as tx:
        tx.runs.add(run)

    def work(_: int) -> None:
        for _ in range(20):
            with store.transaction() as tx:
                tx.runs.add_traffic(run.run_id, sent=1)
                tx.events.append(at=given.NOW, kind="a.b", actor="me")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))
    with store.reading() as tx:
        assert tx.runs.require(run.run_id).bytes_sent == 160
        assert len(tx.events.list()) == 160
        tx.events.verify()


def test_state_survives_closing_and_opening(store: Store, place: str, payload_dir: Path) -> None:
    run = given.run()
    with store.transaction() as tx:
        tx.runs.add(run)
    store.close()
    again = open_store(place, payload_dir=payload_dir)
    with again.reading() as tx:
        assert tx.runs.find(run.run_id) == run
    again.close()


def test_a_store_in_memory_vanishes_when_closed() -> None:
    store = open_store(":memory:")
    directory = store._payloads.directory.parent
    with store.transaction() as tx:
        tx.meta.set("a", "1")
    assert directory.exists()
    store.close()
    assert not directory.exists()


@pytest.mark.row("F8")
def test_what_was_left_for_later_is_made_durable_once_when_it_is_asked_for(store: Store) -> None:
    with store.transaction(Durability.LATER) as tx:
        tx.meta.set("later", "written")
    with counted(store) as asked:
        store.settle()
        store.settle()
    assert asked.syncs == 1
    with counted(store) as asked, store.transaction() as tx:
        tx.meta.set("now", "written")
    waited = asked.syncs
    with counted(store) as asked, store.transaction(Durability.LATER) as tx:
        tx.meta.set("later", "again")
    assert (waited, asked.syncs) == (0 if _is_postgres(store) else 1, 0)


@pytest.mark.row("F8")
def test_a_server_waits_for_its_disk_unless_the_transaction_is_for_later(store: Store) -> None:
    if not _is_postgres(store):
        pytest.skip("SQLite is made durable by the store")
    found = []
    for durability in (Durability.TOLD, Durability.LATER, Durability.KEPT, Durability.ANSWERED):
        with store.transaction(durability) as tx:
            shown = tx.meta._connection.execute(text("SHOW synchronous_commit"))
            found.append(shown.scalar_one())
    assert found == ["on", "off", "on", "on"]


def _is_postgres(store: Store) -> bool:
    return store._engines.writing.dialect.name == "postgresql"
