"""Answers kept in memory: never older than the commits this program has heard of."""

from pathlib import Path

import pytest

from flwr.auth.app_tokens import hash_token
from flwr.core.topics import EVERY_TOPIC, lease_ended, node_gone
from flwr.store.remembered import Remembered
from flwr.store.store import Store, open_store
from tests.contract.store.conftest import OpenStore
from tests.harness.postgres import PostgresServer, why_no_postgres
from tests.harness.program import eventually

SOON_S = 30.0


class Looks:
    """Answers from a dictionary, and notes what it was asked."""

    def __init__(self, store: Store, *, most: int = 10) -> None:
        self.store = store
        self.answers = {"a": 1, "b": 2, "c": 3}
        self.asked: list[str] = []
        self.memory: Remembered[str, int] = Remembered(store, "topic:{}".format, self, most=most)
        eventually(lambda: store.hears_all, timeout=SOON_S)

    def __call__(self, key: str) -> int | None:
        self.asked.append(key)
        return self.answers.get(key)

    def tell(self, *topics: str) -> None:
        with self.store.transaction() as tx:
            tx.topics.update(topics)


@pytest.fixture
def looks(store: Store) -> Looks:
    return Looks(store)


def test_an_answer_is_asked_for_once(looks: Looks) -> None:
    assert looks.memory.recall("a") is None
    assert [looks.memory.find("a") for _ in range(3)] == [1, 1, 1]
    assert looks.memory.recall("a") == 1
    assert looks.asked == ["a"]


def test_what_was_not_found_is_looked_for_again(looks: Looks) -> None:
    assert [looks.memory.find("x") for _ in range(2)] == [None, None]
    assert looks.asked == ["x", "x"]


@pytest.mark.parametrize("topic", ["topic:a", EVERY_TOPIC])
def test_an_answer_is_forgotten_when_its_topic_is_told(looks: Looks, topic: str) -> None:
    looks.memory.find("a")
    looks.tell("topic:b")
    assert looks.memory.recall("a") == 1
    looks.tell(topic)
    assert looks.memory.recall("a") is None
    assert looks.memory.find("a") == 1


@pytest.mark.parametrize("topic", ["topic:a", EVERY_TOPIC])
def test_an_answer_that_a_commit_overtook_is_not_remembered(looks: Looks, topic: str) -> None:
    ticket = looks.memory.begin("a")
    looks.tell(topic)
    looks.memory.keep(ticket, 1)
    assert looks.memory.recall("a") is None


def test_of_two_looks_at_once_the_later_one_counts(looks: Looks) -> None:
    first, second = looks.memory.begin("a"), looks.memory.begin("a")
    looks.memory.keep(first, 7)
    assert looks.memory.recall("a") is None
    looks.memory.keep(second, 8)
    assert looks.memory.recall("a") == 8


def test_who_is_woken_finds_it_forgotten(store: Store) -> None:
    found: list[int | None] = []
    store.subscribe(lambda _topics: found.append(known.memory.recall("a")))
    known = Looks(store)
    known.memory.find("a")
    known.tell("topic:a")
    assert found == [None]


def test_the_oldest_makes_room(store: Store) -> None:
    looks = Looks(store, most=2)
    for key in "abc":
        looks.memory.find(key)
    assert [looks.memory.recall(key) for key in "abc"] == [None, 2, 3]
    for number in range(5):
        looks.memory.begin(str(number))
    assert len(looks.memory._looking) <= 2


@pytest.mark.postgres
def test_another_programs_commit_makes_it_forgotten(opened: OpenStore, place: str) -> None:
    if "://" not in place:
        pytest.skip("SQLite has one program")
    ours, theirs = Looks(opened()), Looks(opened())
    ours.memory.find("a")
    theirs.tell("topic:a")
    eventually(lambda: ours.memory.recall("a") is None, timeout=SOON_S)


@pytest.mark.row("F10")
@pytest.mark.postgres
def test_a_program_that_may_miss_commits_remembers_nothing(tmp_path: Path) -> None:
    if why := why_no_postgres():
        pytest.skip(why)
    with PostgresServer() as server:
        store = open_store(server.url, payload_dir=tmp_path)
        looks = Looks(store)
        looks.memory.find("a")
        begun = looks.memory.begin("b")
        server.stop()
        eventually(lambda: not store.hears_all, timeout=SOON_S)
        assert looks.memory.recall("a") is None
        deaf = looks.memory.begin("c")
        server.start()
        eventually(lambda: store.hears_all, timeout=2 * SOON_S)
        for ticket in (begun, deaf):
            looks.memory.keep(ticket, 9)
        assert [looks.memory.recall(key) for key in "abc"] == [None, None, None]
        store.close()


def test_the_end_of_a_lease_and_of_a_node_are_told(store: Store) -> None:
    """Whichever way it ends: the statements themselves tell."""
    told: set[str] = set()
    store.subscribe(told.update)
    with store.transaction() as tx:
        tx.leases.end(hash_token("token"))
    assert told == {lease_ended(hash_token("token"))}
    assert node_gone(b"key") != node_gone(b"other")
