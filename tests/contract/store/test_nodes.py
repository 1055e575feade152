from dataclasses import replace
from datetime import timedelta

import pytest

from flwr.core.errors import AlreadyExistsError, ConflictError
from flwr.core.ids import AccountId, NodeId
from flwr.core.node import NodeNotFoundError, NodeStatus, heard, unregister, went_offline
from flwr.store.store import Store
from tests import given
from tests.fakes.statements import counted

MINUTE = timedelta(minutes=1)


def test_a_node_comes_back_as_it_was_stored(store: Store) -> None:
    node = given.online_node(node_id=NodeId(2**64 - 1))
    with store.transaction() as tx:
        tx.nodes.add(node)
    with store.reading() as tx:
        assert tx.nodes.require(node.node_id) == node
        assert tx.nodes.find_by_key(node.public_key) == node
        assert tx.nodes.find_by_key(b"other") is None
        assert tx.nodes.find(NodeId(2)) is None
        with pytest.raises(NodeNotFoundError):
            tx.nodes.require(NodeId(2))


def test_the_key_of_an_unregistered_node_stays_taken(store: Store) -> None:
    node = given.node()
    with store.transaction() as tx:
        tx.nodes.add(node)
        tx.nodes.save(unregister(node, at=given.NOW), was=NodeStatus.REGISTERED)
        with pytest.raises(AlreadyExistsError):
            tx.nodes.add(given.node(public_key=node.public_key))


def test_saving_needs_the_status_that_was_read(store: Store) -> None:
    node = given.online_node()
    with store.transaction() as tx:
        tx.nodes.add(node)
        tx.nodes.save(went_offline(node, at=given.NOW), was=NodeStatus.ONLINE)
        late = heard(node, at=given.NOW, interval_s=30)
        with pytest.raises(ConflictError):
            tx.nodes.save(late, was=NodeStatus.ONLINE)


def test_a_silent_node_lapses_at_its_deadline(store: Store) -> None:
    first = given.online_node(online_until=given.NOW + MINUTE)
    second = given.online_node(online_until=given.NOW + 2 * MINUTE)
    with store.transaction() as tx:
        assert tx.nodes.next_lapse() is None
        for node in (second, first, given.node()):
            tx.nodes.add(node)
        assert tx.nodes.next_lapse() == given.NOW + MINUTE
        assert tx.nodes.lapsed(given.NOW + MINUTE) == [first]
        assert tx.nodes.online(given.NOW + MINUTE) == [second.node_id]
        assert set(tx.nodes.online(given.NOW)) == {first.node_id, second.node_id}


def test_nodes_are_listed_in_the_order_they_came(store: Store) -> None:
    late = given.node(registered_at=given.NOW + MINUTE, owner_id=AccountId("a"))
    early = given.node(owner_id=AccountId("b"))
    gone = replace(given.node(owner_id=AccountId("b")), registered_at=given.NOW - MINUTE)
    with store.transaction() as tx:
        for node in (late, early, gone):
            tx.nodes.add(node)
        assert tx.nodes.list() == [gone, early, late]
        assert tx.nodes.list(owner_id=AccountId("a")) == [late]


def test_the_terms_of_online_nodes_are_prolonged_and_those_are_counted(store: Store) -> None:
    nodes = [given.node(status=status) for status in NodeStatus]
    until = nodes[0].registered_at + timedelta(minutes=1)
    with store.transaction() as tx:
        for node in nodes:
            tx.nodes.add(node)
        terms = {node.node_id: (until, 12.5) for node in nodes}
        assert tx.nodes.prolong({}) == 0
        assert tx.nodes.prolong({**terms, NodeId(99): (until, 12.5)}) == 1
        assert tx.nodes.statuses([*terms, NodeId(99)]) == {n.node_id: n.status for n in nodes}
        for node in nodes:
            is_online = node.status is NodeStatus.ONLINE
            expected = (until, 12.5) if is_online else (None, node.heartbeat_interval_s)
            found = tx.nodes.require(node.node_id)
            assert (found.online_until, found.heartbeat_interval_s) == expected


def test_many_terms_are_one_statement(store: Store) -> None:
    nodes = [given.node(status=NodeStatus.ONLINE) for _ in range(39)]
    with store.transaction() as tx:
        for node in nodes:
            tx.nodes.add(node)
    with counted(store) as asked, store.transaction() as tx:
        until = nodes[0].registered_at + timedelta(minutes=1)
        assert tx.nodes.prolong({node.node_id: (until, 30.0) for node in nodes}) == len(nodes)
    assert len([text for text in asked.statements if text.startswith("UPDATE")]) == 1
