import asyncio
from typing import Any

import grpc
import pytest

from flwr.auth.accounts import NO_LOGIN
from flwr.core.ids import RunId
from flwr.core.run import RunStatus
from flwr.proto import (
    appio_pb2,
    heartbeat_pb2,
    log_pb2,
    message_pb2,
    node_pb2,
    run_pb2,
    serverappio_pb2,
)
from flwr.proto.compose.v1 import launches_pb2
from flwr.shell.in_thread import in_thread
from flwr.wire import metadata
from flwr.wire.codec.messages import encode_deliveries
from tests.unit.superlink.federation import Link
from tests.unit.superlink.served import (
    SOON_S,
    Served,
    on_a_served_link,
    refusal,
    with_token,
)

SUPERLINK = node_pb2.Node(node_id=1)


@pytest.mark.row("S11", "S20", "S60")
def test_a_serverapp_lives_its_life(link: Link) -> None:
    async def body(served: Served) -> None:
        appio = served.appio
        waiting = appio.ListAppsToLaunch(appio_pb2.ListAppsToLaunchRequest())
        assert await served.is_held(waiting)
        run = await in_thread(link.submit)
        async with asyncio.timeout(SOON_S):
            assert list((await waiting).run_ids) == [run.run_id]
        run_id = run.run_id
        token = (await appio.RequestToken(appio_pb2.RequestTokenRequest(run_id=run_id))).token
        again = await appio.RequestToken(appio_pb2.RequestTokenRequest(run_id=run_id))
        assert again.token == ""
        shown = await appio.GetRun(run_pb2.GetRunRequest(run_id=run_id))
        assert (shown.run.status.status, shown.run.run_type) == ("starting", "serverapp")

        proof = with_token(token)
        beat = heartbeat_pb2.SendAppHeartbeatRequest(token=token)
        assert (await appio.SendAppHeartbeat(beat, metadata=proof)).success
        inputs = await appio.PullAppInputs(
            appio_pb2.PullAppInputsRequest(token=token), metadata=proof
        )
        assert (inputs.context.run_id, inputs.context.node_id) == (run_id, 1)
        assert inputs.context.HasField("state")
        assert inputs.fab.content == link.fab
        assert inputs.run.status.status == "running"
        second = appio.PullAppInputs(appio_pb2.PullAppInputsRequest(token=token), metadata=proof)
        assert (await refusal(second))[0] is grpc.StatusCode.FAILED_PRECONDITION

        logs = log_pb2.PushLogsRequest(run_id=run_id, logs=["a", "b"])
        await appio.PushLogs(logs, metadata=proof)
        outputs = appio_pb2.PushAppOutputsRequest(
            token=token, run_id=run_id, context=inputs.context
        )
        await appio.PushAppOutputs(outputs, metadata=proof)
        done = run_pb2.RunStatus(status="finished", sub_status="completed")
        update = run_pb2.UpdateRunStatusRequest(run_id=run_id, run_status=done)
        await appio.UpdateRunStatus(update, metadata=proof)
        assert link.run(run_id).status is RunStatus.COMPLETED
        code, _ = await refusal(appio.SendAppHeartbeat(beat, metadata=proof))
        assert code is grpc.StatusCode.UNAUTHENTICATED

    on_a_served_link(link, body)


def test_an_unknown_run_is_an_empty_answer_to_a_superexec(link: Link) -> None:
    async def body(served: Served) -> None:
        answer = await served.appio.GetRun(run_pb2.GetRunRequest(run_id=77))
        assert not answer.HasField("run")

    on_a_served_link(link, body)


def test_messages_go_out_and_answers_come_back(link: Link) -> None:
    async def body(served: Served) -> None:
        node = link.online()
        run, token = link.running()
        proof = with_token(token)
        found = await served.appio.GetNodes(
            serverappio_pb2.GetNodesRequest(run_id=run.run_id), metadata=proof
        )
        assert [n.node_id for n in found.nodes] == [node.node_id]
        sent = [link.instruction(run, node.node_id, group_id=g) for g in "ab"]
        messages, trees = encode_deliveries([s.delivery for s in sent])
        pushed = await served.appio.PushMessages(
            appio_pb2.PushAppMessagesRequest(
                run_id=run.run_id, messages_list=messages, message_object_trees=trees
            ),
            metadata=proof,
        )
        assert list(pushed.message_ids) == [s.message_id for s in sent]
        known = sent[0].objects | sent[1].objects
        for object_id in pushed.objects_to_push:
            push = message_pb2.PushObjectRequest(
                node=SUPERLINK,
                run_id=run.run_id,
                object_id=object_id,
                object_content=known[object_id],  # type: ignore[index]
            )
            assert (await served.appio.PushObject(push, metadata=proof)).stored

        asked = appio_pb2.PullAppMessagesRequest(
            run_id=run.run_id, message_ids=[s.message_id for s in sent]
        )
        for_all = served.appio.PullMessages(asked, metadata=proof)
        any_header = with_token(token, (metadata.WAIT, metadata.WAIT_ANY))
        for_any = served.appio.PullMessages(asked, metadata=any_header)
        assert await served.is_held(for_all, for_any)
        first = await in_thread(link.answer, sent[0])
        async with asyncio.timeout(SOON_S):
            answers = (await for_any).messages_list
        assert [m.metadata.message_id for m in answers] == [first.message_id]
        assert await served.is_held(for_all)
        second = await in_thread(link.answer, sent[1])
        async with asyncio.timeout(SOON_S):
            everything = await for_all
        got = {
            m.metadata.reply_to_message_id: m.metadata.message_id for m in everything.messages_list
        }
        assert got == {
            sent[0].message_id: first.message_id,
            sent[1].message_id: second.message_id,
        }
        assert len(everything.message_object_trees) == 2
        confirm = message_pb2.ConfirmMessageReceivedRequest(
            node=SUPERLINK, run_id=run.run_id, message_object_id=first.message_id
        )
        await served.appio.ConfirmMessageReceived(confirm, metadata=proof)

    on_a_served_link(link, body)


@pytest.mark.row("F21")
def test_calls_without_a_live_token_are_refused(link: Link) -> None:
    async def body(served: Served) -> None:
        run, _ = link.running()
        request = serverappio_pb2.GetNodesRequest(run_id=run.run_id)
        for headers in ((), with_token("0" * 256)):
            code, _ = await refusal(served.appio.GetNodes(request, metadata=headers))
            assert code is grpc.StatusCode.UNAUTHENTICATED

    on_a_served_link(link, body)


@pytest.mark.row("F23", "S40")
def test_a_token_is_good_for_its_own_run_only(link: Link) -> None:
    async def body(served: Served) -> None:
        (_, token), (other, _) = link.running(), link.running()
        proof, run_id = with_token(token), other.run_id
        appio, ended = served.appio, run_pb2.RunStatus(status="finished", sub_status="failed")
        calls: list[Any] = [
            appio.GetNodes(serverappio_pb2.GetNodesRequest(run_id=run_id), metadata=proof),
            appio.PushLogs(log_pb2.PushLogsRequest(run_id=run_id, logs=["x"]), metadata=proof),
            appio.UpdateRunStatus(
                run_pb2.UpdateRunStatusRequest(run_id=run_id, run_status=ended), metadata=proof
            ),
            appio.PullMessages(appio_pb2.PullAppMessagesRequest(run_id=run_id), metadata=proof),
            appio.PullObject(
                message_pb2.PullObjectRequest(node=SUPERLINK, run_id=run_id), metadata=proof
            ),
            appio.PushAppOutputs(appio_pb2.PushAppOutputsRequest(run_id=run_id), metadata=proof),
        ]
        for call in calls:
            assert (await refusal(call))[0] is grpc.StatusCode.PERMISSION_DENIED
        assert link.run(run_id).status is RunStatus.RUNNING

    on_a_served_link(link, body)


def test_objects_are_for_node_one_only(link: Link) -> None:
    async def body(served: Served) -> None:
        run, token = link.running()
        request = message_pb2.PullObjectRequest(
            node=node_pb2.Node(node_id=2), run_id=run.run_id, object_id="a" * 64
        )
        call = served.appio.PullObject(request, metadata=with_token(token))
        assert (await refusal(call))[0] is grpc.StatusCode.FAILED_PRECONDITION

    on_a_served_link(link, body)


@pytest.mark.row("S63")
def test_a_held_pull_ends_when_the_run_is_stopped(link: Link) -> None:
    async def body(served: Served) -> None:
        run, token = link.running()
        sent = link.send(run, link.online().node_id)
        asked = appio_pb2.PullAppMessagesRequest(run_id=run.run_id, message_ids=[sent.message_id])
        held = served.appio.PullMessages(asked, metadata=with_token(token))
        assert await served.is_held(held)
        await in_thread(link.runs.stop, NO_LOGIN, run.run_id)
        async with asyncio.timeout(SOON_S):
            assert await refusal(held) == (
                grpc.StatusCode.PERMISSION_DENIED,
                "Run is finished. Stopped by user.",
            )

    on_a_served_link(link, body)


@pytest.mark.row("F1")
def test_an_announced_heartbeat_and_a_reported_exit_are_heard(link: Link) -> None:
    async def body(served: Served) -> None:
        run, token = link.running()
        beat = heartbeat_pb2.SendAppHeartbeatRequest(token=token)
        often = with_token(token, (metadata.HEARTBEAT_S, "3"))
        assert (await served.appio.SendAppHeartbeat(beat, metadata=often)).success
        lease = link.launches.find_lease(link.hash_of(token))
        assert lease is not None
        assert (lease.until - link.clock.now()).total_seconds() == 15

        gone = launches_pb2.ReportExitRequest(
            token=token, exit_code=-9, cause="was killed by SIGKILL"
        )
        await served.launches.ReportExit(gone)
        assert link.run(run.run_id).status is RunStatus.FAILED
        assert "SIGKILL" in link.run(RunId(run.run_id)).details

    on_a_served_link(link, body)


def test_what_no_client_calls_is_unimplemented(link: Link) -> None:
    async def body(served: Served) -> None:
        run, token = link.running()
        request = run_pb2.GetFederationOptionsRequest(run_id=run.run_id)
        call = served.appio.GetFederationOptions(request, metadata=with_token(token))
        assert (await refusal(call))[0] is grpc.StatusCode.UNIMPLEMENTED

    on_a_served_link(link, body)


@pytest.mark.row("S27")
def test_a_held_poll_of_an_executor_of_other_apps_sleeps_on(link: Link) -> None:
    async def body(served: Served) -> None:
        def asking(apps: str) -> Any:
            only = ((metadata.ONLY_APPS, apps),)
            request = appio_pb2.ListAppsToLaunchRequest()
            return served.appio.ListAppsToLaunch(request, metadata=only)

        others = asking("somebody/else")
        assert await served.is_held(others)
        submitted = await in_thread(link.submit)
        assert await served.is_held(others)
        assert list((await asking(f"somebody/else,{submitted.fab_id}")).run_ids) == [
            submitted.run_id
        ]
        assert (await refusal(asking("nonsense")))[0] is grpc.StatusCode.INVALID_ARGUMENT
        others.cancel()

    on_a_served_link(link, body)
