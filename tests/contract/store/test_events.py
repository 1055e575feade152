import pytest
from sqlalchemy import Executable, delete, insert, select, update

from flwr.core.ids import MessageId, NodeId, RunId
from flwr.store.errors import EventChainError
from flwr.store.schema import event
from flwr.store.store import Store, Tx
from tests import given

ODD = {"cause": "ü\0", "n": 2**64, "list": [1.5, None, True]}


def append_three(tx: Tx) -> None:
    tx.events.append(at=given.NOW, kind="run.started", actor="account", run_id=RunId(1))
    tx.events.append(
        at=given.NOW,
        kind="message.claimed",
        actor="node",
        run_id=RunId(1),
        node_id=NodeId(2**64 - 1),
        message_id=MessageId("a" * 64),
        details=ODD,
    )
    tx.events.append(at=given.NOW, kind="node.lapsed", actor="reaper", node_id=NodeId(5))


def test_events_come_back_in_order_by_run_by_node_and_from_a_cursor(store: Store) -> None:
    with store.transaction() as tx:
        append_three(tx)
    with store.reading() as tx:
        tx.events.verify()
        everything = tx.events.list()
        assert [e.seq for e in everything] == [1, 2, 3]
        assert everything[1].details == ODD
        assert everything[1].message_id == "a" * 64
        assert tx.events.list(run_id=RunId(1)) == everything[:2]
        assert tx.events.list(node_id=NodeId(2**64 - 1)) == [everything[1]]
        assert tx.events.list(after=1, limit=1) == [everything[1]]


def test_an_appended_event_is_returned_with_its_number_and_hash(store: Store) -> None:
    with store.transaction() as tx:
        told = tx.events.append(at=given.NOW, kind="a.b", actor="me", details={"x": 1})
        assert tx.events.list() == [told]


@pytest.mark.row("F29")
@pytest.mark.parametrize(
    ("tampering", "broken_at"),
    [
        (update(event).where(event.c.seq == 2).values(actor="somebody else"), 2),
        (update(event).where(event.c.seq == 2).values(details={}), 2),
        (update(event).where(event.c.seq == 3).values(node_id=NodeId(6)), 3),
        (delete(event).where(event.c.seq == 1), 1),
        (delete(event).where(event.c.seq == 2), 2),
        (
            insert(event).values(seq=4, at=given.NOW, kind="k", actor="a", details={}, hash="0"),
            4,
        ),
    ],
    ids=["actor", "details", "node", "first removed", "removed", "put in"],
)
def test_tampering_is_found_at_the_event_it_touched(
    store: Store,
    tampering: Executable,
    broken_at: int,
) -> None:
    with store.transaction() as tx:
        append_three(tx)
    with store.transaction() as tx:
        tx.events._connection.execute(tampering)
    with store.reading() as tx, pytest.raises(EventChainError) as caught:
        tx.events.verify()
    assert caught.value.seq == broken_at


def test_a_long_chain_holds(store: Store) -> None:
    with store.transaction() as tx:
        for n in range(1200):  # more than one page of the check
            tx.events.append(at=given.NOW, kind="a.b", actor="me", details={"n": n})
        tx.events.verify()
        last = select(event.c.seq).order_by(event.c.seq.desc()).limit(1)
        assert tx.events._connection.execute(last).scalar_one() == 1200
