"""Programs that share one PostgreSQL database hear of each other's commits."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url

from flwr.core.topics import EVERY_TOPIC
from flwr.store.notify import Notifications
from flwr.store.store import Store, open_store
from tests.harness.postgres import PostgresServer, why_no_postgres
from tests.harness.program import eventually

SOON_S = 30.0
pytestmark = pytest.mark.postgres


@pytest.fixture
def shared(postgres_place: str, tmp_path: Path) -> Iterator[tuple[Store, Store]]:
    stores = [open_store(postgres_place, payload_dir=tmp_path / name) for name in ("one", "two")]
    eventually(lambda: all(store.hears_all for store in stores), timeout=SOON_S)
    yield stores[0], stores[1]
    for store in stores:
        store.close()


class Ear:
    """Remembers what a store tells."""

    def __init__(self, store: Store) -> None:
        self.heard: list[str] = []
        self.threads: set[str] = set()
        store.subscribe(self._hear)

    def _hear(self, topics: frozenset[str]) -> None:
        self.heard += sorted(topics)
        self.threads.add(threading.current_thread().name)

    def until(self, *topics: str) -> None:
        eventually(lambda: set(topics) <= set(self.heard), timeout=SOON_S)


def notify(store: Store, *topics: str) -> None:
    with store.transaction() as tx:
        for topic in topics:
            tx.notify(topic)


def test_the_topics_of_a_commit_reach_the_other_program_once(shared: tuple[Store, Store]) -> None:
    one, two = shared
    ours, theirs = Ear(one), Ear(two)
    notify(one, "apps", "run:1")
    theirs.until("apps", "run:1")
    notify(two, "apps:again")
    ours.until("apps:again")
    assert ours.heard == ["apps", "run:1", "apps:again"]
    assert theirs.heard == ["apps", "run:1", "apps:again"]


def test_what_was_rolled_back_is_not_told(shared: tuple[Store, Store]) -> None:
    one, two = shared
    theirs = Ear(two)

    def fail() -> None:
        with one.transaction() as tx:
            tx.notify("never")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    notify(one, "then")
    theirs.until("then")
    assert theirs.heard == ["then"]


def test_many_long_topics_arrive_whole(shared: tuple[Store, Store]) -> None:
    one, two = shared
    theirs = Ear(two)
    topics = [f"node:{number}:{'é' * 100}" for number in range(300)]
    notify(one, *topics)
    theirs.until(*topics)
    assert sorted(theirs.heard) == sorted(topics)


def test_an_announcement_without_a_change_is_told_too(shared: tuple[Store, Store]) -> None:
    one, two = shared
    theirs = Ear(two)
    one.announce(["run:1"])
    theirs.until("run:1")


def test_what_others_commit_before_a_program_hears_them_wakes_everybody(
    postgres_place: str,
) -> None:
    engine, heard = create_engine(make_url(postgres_place)), list[frozenset[str]]()
    notifications = Notifications(engine, heard.append)
    eventually(lambda: notifications.is_hearing, timeout=SOON_S)
    assert heard == [frozenset({EVERY_TOPIC})]
    notifications.close()
    engine.dispose()


@pytest.mark.row("F10")
def test_a_program_that_may_have_missed_something_wakes_everybody(
    tmp_path: Path,
) -> None:
    if why := why_no_postgres():
        pytest.skip(why)
    with PostgresServer() as server:
        store = open_store(server.url, payload_dir=tmp_path)
        eventually(lambda: store.hears_all, timeout=SOON_S)
        ear = Ear(store)
        server.stop()
        server.start()
        ear.until(EVERY_TOPIC)
        notify(store, "works")
        assert "works" in ear.heard
        store.close()
