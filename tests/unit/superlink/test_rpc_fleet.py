import asyncio
from typing import Any

import grpc
import pytest

from flwr.auth.accounts import NO_LOGIN
from flwr.auth.node_keys import new_node_key, sign_call
from flwr.core.clock import SystemClock
from flwr.core.ids import MessageId, NodeId, ObjectId, RunId
from flwr.proto import fab_pb2, fleet_pb2, heartbeat_pb2, message_pb2, node_pb2, run_pb2
from flwr.proto.compose.v1 import logs_pb2
from flwr.shell.in_thread import in_thread
from flwr.wire import metadata
from flwr.wire.codec.messages import encode_deliveries
from tests.unit.superlink.federation import Link, Sent
from tests.unit.superlink.served import (
    SOON_S,
    Served,
    SignedNode,
    on_a_served_link,
    refusal,
)


def node_field(node: SignedNode) -> dict[str, Any]:
    return {"node": node_pb2.Node(node_id=node.node_id)}


async def push_reply(node: SignedNode, reply: Sent) -> fleet_pb2.PushMessagesResponse:
    messages, trees = encode_deliveries([reply.delivery])
    request = fleet_pb2.PushMessagesRequest(
        **node_field(node),
        messages_list=messages,
        message_object_trees=trees,
        clientapp_runtime_list=[0.5],
    )
    response: fleet_pb2.PushMessagesResponse = await node.call("PushMessages", request)
    return response


@pytest.mark.row("S3", "S12", "S18")
def test_a_node_takes_an_instruction_and_answers_it(link: Link) -> None:
    async def body(served: Served) -> None:
        node = await served.node()
        run, _ = link.running()
        sent = link.send(run, NodeId(node.node_id))

        pulled = await node.pull()
        (message,), (tree,) = pulled.messages_list, pulled.message_object_trees
        assert message.metadata.message_id == sent.message_id
        assert message.HasField("content")
        got = await node.call(
            "GetRun", run_pb2.GetRunRequest(run_id=run.run_id, **node_field(node))
        )
        assert got.run.fab_hash == run.fab_hash
        fab = await node.call(
            "GetFab",
            fab_pb2.GetFabRequest(run_id=run.run_id, hash_str=run.fab_hash, **node_field(node)),
        )
        assert fab.fab.content == link.fab
        for object_id, content in sent.objects.items():
            pull = message_pb2.PullObjectRequest(
                run_id=run.run_id, object_id=object_id, **node_field(node)
            )
            found = await node.call("PullObject", pull)
            assert (found.object_found, found.object_available) == (True, True)
            assert found.object_content == content
        confirm = message_pb2.ConfirmMessageReceivedRequest(
            run_id=run.run_id, message_object_id=tree.object_id, **node_field(node)
        )
        await node.call("ConfirmMessageReceived", confirm)

        reply = link.reply_to(sent, group_id="1")
        answered = await push_reply(node, reply)
        assert dict(answered.results) == {reply.message_id: 0}
        for object_id in map(ObjectId, answered.objects_to_push):
            push = message_pb2.PushObjectRequest(
                run_id=run.run_id,
                object_id=object_id,
                object_content=reply.objects[object_id],
                **node_field(node),
            )
            assert (await node.call("PushObject", push)).stored
        assert link.messages.collect(run.run_id, [sent.message_id]) == [reply.delivery]

        beat = heartbeat_pb2.SendNodeHeartbeatRequest(heartbeat_interval=30, **node_field(node))
        assert (await node.call("SendNodeHeartbeat", beat)).success
        await node.call("DeactivateNode", fleet_pb2.DeactivateNodeRequest(node_id=node.node_id))
        await node.call(
            "UnregisterNode", fleet_pb2.UnregisterNodeFleetRequest(node_id=node.node_id)
        )
        assert (await refusal(node.pull()))[0] is grpc.StatusCode.UNAUTHENTICATED

    on_a_served_link(link, body)


def test_a_pull_is_held_until_there_is_an_instruction(link: Link) -> None:
    async def body(served: Served) -> None:
        node = await served.node()
        run, _ = link.running()
        held = node.pull()
        assert await served.is_held(held)

        sent = await in_thread(link.send, run, NodeId(node.node_id))

        async with asyncio.timeout(SOON_S):
            (message,) = (await held).messages_list
        assert message.metadata.message_id == sent.message_id

    on_a_served_link(link, body)


@pytest.mark.row("F2", "F20")
def test_an_instruction_is_not_lost_with_a_pull_that_went_away(link: Link) -> None:
    async def body(served: Served) -> None:
        node = await served.node()
        run, _ = link.running()
        held = node.pull()
        assert await served.is_held(held)
        held.cancel()
        assert await served.is_held()  # the SuperLink has heard of it
        sent = link.send(run, NodeId(node.node_id))
        async with asyncio.timeout(SOON_S):
            (message,) = (await node.pull()).messages_list
        assert message.metadata.message_id == sent.message_id

    on_a_served_link(link, body)


@pytest.mark.row("S63")
def test_a_held_pull_tells_at_once_which_of_the_nodes_runs_have_ended(link: Link) -> None:
    async def body(served: Served) -> None:
        node = await served.node()
        (run, _), (other, _) = link.running(), link.running()
        held = node.pull((metadata.ACTIVE_RUNS, f"{run.run_id},{other.run_id}"))
        assert await served.is_held(held)

        await in_thread(link.runs.stop, NO_LOGIN, run.run_id)

        async with asyncio.timeout(SOON_S):
            assert not (await held).messages_list
            trailers = dict(await held.trailing_metadata())
        assert trailers[metadata.ENDED_RUNS] == str(run.run_id)

    on_a_served_link(link, body)


@pytest.mark.row("S36", "F26")
def test_a_held_pull_of_a_node_that_is_unregistered_ends_as_unauthenticated(link: Link) -> None:
    async def body(served: Served) -> None:
        node = await served.node()
        held = node.pull()
        assert await served.is_held(held)
        await in_thread(link.nodes.unregister, NO_LOGIN, NodeId(node.node_id))
        async with asyncio.timeout(SOON_S):
            code, details = await refusal(held)
        assert (code, details) == (grpc.StatusCode.UNAUTHENTICATED, "Invalid node ID")

    on_a_served_link(link, body)


def test_a_refused_reply_is_answered_as_upstream_does(link: Link) -> None:
    async def body(served: Served) -> None:
        node = await served.node()
        run, _ = link.running()
        sent = link.send(run, NodeId(node.node_id))
        reply = link.reply_to(sent, reply_to=MessageId("a" * 64))
        answered = await push_reply(node, reply)
        assert dict(answered.results) == {"None": 0}
        assert list(answered.objects_to_push) == []
        assert answered.reconnect.reconnect == 5

    on_a_served_link(link, body)


def test_a_run_that_is_not_running_is_permission_denied_to_a_node(link: Link) -> None:
    async def body(served: Served) -> None:
        node = await served.node()
        pending = link.submit()
        for run_id, text in ((pending.run_id, "Run is pending."), (RunId(4), "Run is finished.")):
            request = run_pb2.GetRunRequest(run_id=run_id, **node_field(node))
            assert await refusal(node.call("GetRun", request)) == (
                grpc.StatusCode.PERMISSION_DENIED,
                text,
            )

    on_a_served_link(link, body)


@pytest.mark.row("S35", "F25", "F26")
def test_calls_without_the_right_signature_are_refused(link: Link) -> None:
    async def body(served: Served) -> None:
        node, other = await served.node(), await served.node()
        request = fleet_pb2.PullMessagesRequest()
        request.node.node_id = node.node_id
        unauthenticated = grpc.StatusCode.UNAUTHENTICATED

        assert (await refusal(served.fleet.PullMessages(request)))[0] is unauthenticated
        code, details = await refusal(other.call("PullMessages", request))
        assert (code, details) == (unauthenticated, "Invalid node ID")
        headers = sign_call(new_node_key(), at=SystemClock().now())
        call = served.fleet.ActivateNode(
            fleet_pb2.ActivateNodeRequest(public_key=node.key.public_pem, heartbeat_interval=30),
            metadata=headers,
        )
        assert (await refusal(call))[0] is unauthenticated

    on_a_served_link(link, body)


def test_a_second_registration_and_a_bad_interval_have_the_contracts_status(link: Link) -> None:
    async def body(served: Served) -> None:
        node = await served.node()
        again = fleet_pb2.RegisterNodeFleetRequest(public_key=node.key.public_pem)
        assert await refusal(node.call("RegisterNode", again)) == (
            grpc.StatusCode.FAILED_PRECONDITION,
            "Public key already in use",
        )
        beat = heartbeat_pb2.SendNodeHeartbeatRequest(heartbeat_interval=1, **node_field(node))
        code, _ = await refusal(node.call("SendNodeHeartbeat", beat))
        assert code is grpc.StatusCode.INVALID_ARGUMENT

    on_a_served_link(link, body)


def test_a_pulled_object_is_waited_for(link: Link) -> None:
    async def body(served: Served) -> None:
        node = await served.node()
        run, _ = link.running()
        sent = link.instruction(run, NodeId(node.node_id))
        link.messages.enqueue(run.run_id, [sent.delivery])
        object_id, content = next(iter(sent.objects.items()))
        request = message_pb2.PullObjectRequest(
            run_id=run.run_id, object_id=object_id, **node_field(node)
        )
        held = node.call("PullObject", request)
        assert await served.is_held(held)
        await in_thread(link.objects.put, run.run_id, object_id, content)
        async with asyncio.timeout(SOON_S):
            assert (await held).object_content == content

    on_a_served_link(link, body)


def test_a_site_may_share_the_output_of_its_clientapps(link: Link) -> None:
    async def body(served: Served) -> None:
        node = await served.node()
        run, _ = link.running()
        request = logs_pb2.PushNodeLogsRequest(run_id=run.run_id, logs=["hi\n"], **node_field(node))
        headers = sign_call(node.key, at=SystemClock().now())
        await served.node_logs.PushNodeLogs(request, metadata=headers)
        (chunk,) = link.logs.read(NO_LOGIN, run.run_id, 0.0).chunks
        assert chunk.text == f"[node {node.node_id}] hi\n"

    on_a_served_link(link, body)
