import pytest

from flwr.auth.accounts import NO_LOGIN, Account
from flwr.auth.node_keys import PublicKeyError, new_node_key
from flwr.core.errors import FailedPreconditionError, InvalidError
from flwr.core.ids import AccountId, NodeId
from flwr.core.node import NodeNotFoundError, NodeStatus, NodeTransitionError
from flwr.superlink.nodes import KeyInUseError, NodeUnknownError, RegistrationClosedError
from tests.unit.superlink.federation import INTERVAL_S, Link


def status(link: Link, node_id: NodeId) -> NodeStatus:
    with link.store.reading() as tx:
        return tx.nodes.require(node_id).status


def test_a_node_registers_activates_and_leaves(link: Link) -> None:
    key = new_node_key().public_pem
    node = link.nodes.register_self(key)
    assert status(link, node.node_id) is NodeStatus.REGISTERED

    assert link.nodes.activate(key, INTERVAL_S, is_durable=False).node_id == node.node_id
    assert status(link, node.node_id) is NodeStatus.ONLINE
    link.nodes.deactivate(node.node_id)
    assert status(link, node.node_id) is NodeStatus.OFFLINE
    with pytest.raises(NodeTransitionError):
        link.nodes.deactivate(node.node_id)
    link.nodes.unregister_self(node.node_id)
    assert status(link, node.node_id) is NodeStatus.UNREGISTERED
    assert not link.beat(node.node_id)


def test_a_key_is_taken_for_ever(link: Link) -> None:
    key = new_node_key().public_pem
    node = link.nodes.register(NO_LOGIN, key)
    with pytest.raises(KeyInUseError, match="Public key already in use"):
        link.nodes.register_self(key)
    link.nodes.unregister(NO_LOGIN, node.node_id)
    with pytest.raises(KeyInUseError):
        link.nodes.register(NO_LOGIN, key)


def test_what_is_no_key_is_refused_in_the_contracts_words(link: Link) -> None:
    with pytest.raises(PublicKeyError, match="The provided public key is not valid"):
        link.nodes.register(NO_LOGIN, b"no key")


def test_an_unknown_or_unregistered_key_cannot_activate(link: Link) -> None:
    key = new_node_key().public_pem
    with pytest.raises(NodeUnknownError, match="SHA256:"):
        link.nodes.activate(key, INTERVAL_S, is_durable=False)
    node = link.nodes.register(NO_LOGIN, key)
    link.nodes.unregister(NO_LOGIN, node.node_id)
    with pytest.raises(NodeUnknownError):
        link.nodes.activate(key, INTERVAL_S, is_durable=False)


@pytest.mark.row("F4")
def test_a_node_that_crashed_comes_back_at_once_as_itself(link: Link) -> None:
    key = new_node_key()
    first = link.online(key)
    link.pass_time(1)
    again = link.online(key)
    assert again.node_id == first.node_id
    assert again.status is NodeStatus.ONLINE
    assert "node.renewed" in link.kinds()


@pytest.mark.parametrize("interval_s", [9.9, 1800.1, float("nan")])
def test_an_interval_outside_the_contract_is_refused(link: Link, interval_s: float) -> None:
    node = link.online()
    with pytest.raises(InvalidError):
        link.beat(node.node_id, interval_s)


def test_a_silent_node_is_offline_after_two_intervals_and_back_with_a_heartbeat(
    link: Link,
) -> None:
    node = link.online()
    due = link.reaper.sweep()
    assert due == node.online_until
    link.pass_time(2 * INTERVAL_S)

    link.reaper.sweep()

    assert status(link, node.node_id) is NodeStatus.OFFLINE
    assert link.beat(node.node_id)
    assert status(link, node.node_id) is NodeStatus.ONLINE


def test_only_online_nodes_are_offered_to_a_run(link: Link) -> None:
    run, _ = link.running()
    here, gone = link.online(), link.online()
    link.nodes.register(NO_LOGIN, new_node_key().public_pem)
    link.nodes.deactivate(gone.node_id)
    assert link.nodes.online(run.run_id) == [here.node_id]


@pytest.mark.row("F27")
def test_a_foreign_node_looks_like_a_missing_one(link: Link) -> None:
    stranger = Account(AccountId("s"), "s")
    node = link.online()
    for node_id in (node.node_id, NodeId(4)):
        with pytest.raises(NodeNotFoundError, match="Node ID not found for account"):
            link.nodes.unregister(stranger, node_id)
    assert link.nodes.list(stranger) == []
    assert [n.node_id for n in link.nodes.list(NO_LOGIN)] == [node.node_id]


@pytest.mark.row("S33")
def test_with_node_authentication_nobody_registers_itself(link: Link, fab: bytes) -> None:
    closed = Link(link.store, link.clock, fab, is_open=False)
    key = new_node_key().public_pem
    with pytest.raises(RegistrationClosedError):
        closed.nodes.register_self(key)
    node = closed.nodes.register(NO_LOGIN, key)
    closed.nodes.activate(key, INTERVAL_S, is_durable=False)
    with pytest.raises(FailedPreconditionError):
        closed.nodes.unregister_self(node.node_id)


@pytest.mark.row("S33", "S36")
def test_the_key_list_is_the_registry(link: Link) -> None:
    listed = [new_node_key().public_pem for _ in range(2)]
    by_cli = link.nodes.register(NO_LOGIN, new_node_key().public_pem)

    link.nodes.seed(listed)
    link.nodes.seed(listed)  # a restart
    nodes = {node.public_key: node for node in link.nodes.list(NO_LOGIN)}
    assert set(listed) < set(nodes)
    assert len(nodes) == 3

    link.nodes.seed(listed[:1])  # one was struck off
    assert status(link, nodes[listed[1]].node_id) is NodeStatus.UNREGISTERED
    assert status(link, nodes[listed[0]].node_id) is NodeStatus.REGISTERED
    assert status(link, by_cli.node_id) is NodeStatus.REGISTERED

    link.nodes.seed(listed)  # a struck key is never taken back
    assert status(link, nodes[listed[1]].node_id) is NodeStatus.UNREGISTERED


def test_a_registered_node_is_looked_up_once_until_it_is_unregistered(link: Link) -> None:
    key = new_node_key().public_pem
    assert link.nodes.ids.find(key) is None
    node = link.nodes.register(NO_LOGIN, key)
    assert link.nodes.ids.recall(key) is None
    assert link.nodes.ids.find(key) == node.node_id
    link.nodes.activate(key, INTERVAL_S, is_durable=False)
    link.nodes.deactivate(node.node_id)
    assert link.nodes.ids.recall(key) == node.node_id
    link.nodes.unregister(NO_LOGIN, node.node_id)
    assert link.nodes.ids.recall(key) is None
    assert link.nodes.ids.find(key) is None


def test_a_key_that_the_operators_list_lost_is_forgotten(link: Link) -> None:
    key = new_node_key().public_pem
    link.nodes.seed([key])
    assert link.nodes.ids.find(key) is not None
    link.nodes.seed([])
    assert link.nodes.ids.find(key) is None
