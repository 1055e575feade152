"""What calls cost the store: counted in statements and commits, never in seconds."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from flwr.auth.accounts import NO_LOGIN
from flwr.core.ids import NodeId
from flwr.core.node import NodeStatus
from flwr.proto import run_pb2, serverappio_pb2
from flwr.shell.in_thread import in_thread
from flwr.wire import metadata
from tests.fakes.statements import counted
from tests.unit.superlink.federation import Link
from tests.unit.superlink.served import (
    SOON_S,
    Served,
    on_a_served_link,
    refusal,
    with_token,
)

ALIVE = (metadata.HEARTBEAT_S, "30")


@pytest.fixture
def short_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flwr.superlink.rpc.fleet.LONG_POLL", timedelta(milliseconds=50))
    monkeypatch.setattr("flwr.superlink.rpc.fleet.PULL_AGAIN_BEFORE", timedelta(seconds=29.95))


@pytest.mark.usefixtures("short_holds")
@pytest.mark.parametrize("extra", [(), (ALIVE,)], ids=["upstream's", "ours"])
def test_an_idle_node_that_asks_again_costs_no_statement(link: Link, extra: Any) -> None:
    async def body(served: Served) -> None:
        node = await served.node()
        assert not (await node.pull(*extra)).messages_list
        with counted(link.store) as asked:
            for _ in range(3):
                assert not (await node.pull(*extra)).messages_list
        assert asked.statements == []

        run, _ = link.running()
        sent = await in_thread(link.send, run, NodeId(node.node_id))
        (message,) = (await node.pull(*extra)).messages_list
        assert message.metadata.message_id == sent.message_id

    on_a_served_link(link, body)


def test_a_held_pull_of_an_idle_node_is_woken_by_a_message(link: Link) -> None:
    async def body(served: Served) -> None:
        node = await served.node()
        run, _ = link.running()
        for _ in range(3):
            held = node.pull(ALIVE)
            assert await served.is_held(held)
            assert link.messages.knows_none(NodeId(node.node_id))
            link.pass_time(1)  # so that it is another message
            sent = await in_thread(link.send, run, NodeId(node.node_id))
            async with asyncio.timeout(SOON_S):
                (message,) = (await held).messages_list
            assert message.metadata.message_id == sent.message_id
            await in_thread(
                link.messages.confirm_instruction,
                NodeId(node.node_id),
                run.run_id,
                sent.message_id,
            )

    on_a_served_link(link, body)


def test_a_node_that_has_something_unconfirmed_is_not_idle(link: Link) -> None:
    run, _ = link.running()
    node_id = link.online().node_id
    sent = link.send(run, node_id)
    assert link.messages.deliver(node_id) is not None
    assert link.messages.deliver(node_id) is None
    assert not link.messages.knows_none(node_id)
    link.pass_time(10)
    again = link.messages.deliver(node_id)  # the answer may have been lost on its way
    assert again is not None

    link.messages.confirm_instruction(node_id, run.run_id, sent.message_id)
    assert link.messages.deliver(node_id) is None
    assert link.messages.knows_none(node_id)
    link.nodes.activate(node_public_key(link, node_id), 30.0, is_durable=False)  # it lost all
    assert link.messages.deliver(node_id) is not None


def node_public_key(link: Link, node_id: NodeId) -> bytes:
    with link.store.reading() as tx:
        return tx.nodes.require(node_id).public_key


def test_an_idle_node_that_is_unregistered_is_refused_at_once(link: Link) -> None:
    async def body(served: Served) -> None:
        node = await served.node()
        held = node.pull(ALIVE)
        assert await served.is_held(held)
        await in_thread(link.nodes.unregister_self, NodeId(node.node_id))
        async with asyncio.timeout(SOON_S):
            assert (await refusal(held))[1] == "Invalid node ID"
            assert (await refusal(node.pull()))[1] == "Invalid node ID"

    on_a_served_link(link, body)


@pytest.mark.usefixtures("short_holds")
def test_a_pull_that_says_so_is_a_heartbeat_and_one_that_does_not_is_none(link: Link) -> None:
    async def body(served: Served) -> None:
        ours, theirs, third = [await served.node() for _ in range(3)]
        link.pass_time(50)
        pulls = [ours.pull(ALIVE), theirs.pull()]
        await asyncio.gather(*pulls)
        heard = [dict(await pull.trailing_metadata()).get(metadata.HEARD) for pull in pulls]
        assert heard == ["1", None]
        await served.presence.heard(NodeId(third.node_id), 30.0)  # takes along what is gathered
        link.pass_time(10)
        link.reaper.sweep()
        with link.store.reading() as tx:
            found = [tx.nodes.require(NodeId(n.node_id)).status for n in (ours, theirs)]
        assert found == [NodeStatus.ONLINE, NodeStatus.OFFLINE]

    on_a_served_link(link, body)


def test_a_call_asks_who_makes_it_only_once(link: Link) -> None:
    async def body(served: Served) -> None:
        node = await served.node()
        run, token = link.running()
        get_run = run_pb2.GetRunRequest(run_id=run.run_id)
        get_run.node.node_id = node.node_id
        get_nodes = serverappio_pb2.GetNodesRequest(run_id=run.run_id)

        async def calls() -> list[str]:
            with counted(link.store) as asked:
                await node.call("GetRun", get_run)
                await served.appio.GetNodes(get_nodes, metadata=with_token(token))
            return [
                text
                for text in asked.statements
                if "FROM lease" in text or "node.public_key" in text
            ]

        assert len(await calls()) == 2  # the key, the token
        assert await calls() == []

    on_a_served_link(link, body)


@pytest.mark.row("S40")
def test_a_token_that_was_used_before_is_refused_once_its_run_was_stopped(link: Link) -> None:
    async def body(served: Served) -> None:
        run, token = link.running()
        get_nodes = serverappio_pb2.GetNodesRequest(run_id=run.run_id)
        for _ in range(2):
            await served.appio.GetNodes(get_nodes, metadata=with_token(token))
        await in_thread(link.runs.stop, NO_LOGIN, run.run_id)
        call = served.appio.GetNodes(get_nodes, metadata=with_token(token))
        assert (await refusal(call))[1] == "Authentication failed."

    on_a_served_link(link, body)
