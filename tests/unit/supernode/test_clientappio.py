"""The ClientAppIo port over loopback, as SuperExecs and runners of either make see it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

import grpc
import pytest

from flwr.auth.app_tokens import hash_token, token_headers
from flwr.auth.superexec_auth import SuperExecSecret, SuperExecVerifier, sign_call
from flwr.core.clock import SystemClock
from flwr.core.ids import ObjectId
from flwr.core.limits import APP_PATIENCE
from flwr.core.message import ErrorCode
from flwr.proto import (
    appio_pb2,
    clientappio_pb2_grpc,
    heartbeat_pb2,
    message_pb2,
    recorddict_pb2,
    run_pb2,
)
from flwr.proto.compose.v1 import launches_pb2, launches_pb2_grpc, logs_pb2, logs_pb2_grpc
from flwr.shell.executors import Executors
from flwr.shell.wakeups import Wakeups
from flwr.supernode.app_logs import AppLogs
from flwr.supernode.handover import Handover
from flwr.supernode.port import AppIoPortTakenError, make_clientappio
from flwr.wire import metadata
from flwr.wire.codec.messages import encode_envelope, encode_tree
from flwr.wire.server import RpcServer
from tests.unit.supernode import given
from tests.unit.supernode.given import NODE, OTHER_RUN, RUN, Sent, Site, scenario

SERVICE = "/flwr.proto.ClientAppIo"


class Port:
    """A serving port and a channel to it."""

    def __init__(self, site: Site, server: RpcServer, channel: grpc.aio.Channel) -> None:
        self.site, self.server = site, server
        self.appio = clientappio_pb2_grpc.ClientAppIoStub(channel)
        self.launches = launches_pb2_grpc.LaunchesStub(channel)
        self.logs = logs_pb2_grpc.AppLogsStub(channel)

    async def launch(self, run_id: int = RUN) -> tuple[tuple[str, str], ...]:
        request = appio_pb2.RequestTokenRequest(run_id=run_id)
        return token_headers((await self.appio.RequestToken(request)).token)

    async def push_reply(self, asked: Sent, headers: tuple[tuple[str, str], ...]) -> Sent:
        sent = given.reply(asked.delivery.envelope, self.site.clock)
        announced = await self.appio.PushMessage(
            appio_pb2.PushAppMessagesRequest(
                messages_list=[encode_envelope(sent.delivery.envelope)],
                message_object_trees=[encode_tree(sent.delivery.tree)],
                run_id=RUN,
            ),
            metadata=headers,
        )
        assert list(announced.message_ids) == [sent.message_id]
        for object_id in announced.objects_to_push:
            pushed = await self.appio.PushObject(
                message_pb2.PushObjectRequest(
                    run_id=RUN,
                    object_id=object_id,
                    object_content=sent.contents[ObjectId(object_id)],
                ),
                metadata=headers,
            )
            assert pushed.stored
        return sent


@asynccontextmanager
async def serving(
    site: Site, logs_dir: Path, *, old_apps: bool = False, secret: bytes | None = None
) -> AsyncIterator[Port]:
    wakeups = Wakeups()
    site.store.subscribe(wakeups.ring)
    verifier = SuperExecVerifier(SuperExecSecret.derive(secret)) if secret else None
    server = make_clientappio(
        "127.0.0.1:0",
        leases=site.leases,
        apps=site.apps,
        launches=site.launches,
        handover=Handover(site.launches, wakeups, Executors(SystemClock())),
        logs=AppLogs(logs_dir),
        wakeups=wakeups,
        clock=SystemClock(),
        superexec=verifier,
        accepts_old_apps=old_apps,
    )
    await server.start()
    try:
        async with grpc.aio.insecure_channel(server.address) as channel:
            yield Port(site, server, channel)
    finally:
        wakeups.close()
        await server.stop()


@pytest.mark.row("S14", "S20", "S21")
def test_one_launch_from_listing_to_outputs(tmp_path: Path) -> None:
    async def body() -> None:
        site = Site()
        async with serving(site, tmp_path) as port:
            listing = asyncio.ensure_future(
                port.appio.ListAppsToLaunch(appio_pb2.ListAppsToLaunchRequest())
            )
            await asyncio.sleep(0.1)
            assert not listing.done()  # held until there is something
            site.admit(rounds=9)
            asked = site.take_in()
            with site.store.transaction() as tx:
                tx.notify("apps")  # what the intake does
            assert list((await listing).run_ids) == [RUN]

            headers = await port.launch()
            beat = await port.appio.SendAppHeartbeat(
                heartbeat_pb2.SendAppHeartbeatRequest(),
                metadata=(*headers, (metadata.HEARTBEAT_S, "3")),
            )
            assert beat.success
            inputs = await port.appio.PullAppInputs(
                appio_pb2.PullAppInputsRequest(), metadata=headers
            )
            assert inputs.context.node_id == NODE
            assert inputs.context.HasField("state")
            assert inputs.context.node_config["partition-id"].sint64 == 3
            assert inputs.context.run_config["rounds"].sint64 == 9
            assert inputs.fab.content == given.fab().content
            assert inputs.run.run_id == RUN

            pulled = await port.appio.PullMessage(
                appio_pb2.PullAppMessagesRequest(), metadata=headers
            )
            assert pulled.messages_list[0].metadata.message_id == asked.message_id
            for object_id in asked.delivery.tree.walk():
                found = await port.appio.PullObject(
                    message_pb2.PullObjectRequest(run_id=RUN, object_id=object_id),
                    metadata=headers,
                )
                assert found.object_content == asked.contents[object_id]
            await port.appio.ConfirmMessageReceived(
                message_pb2.ConfirmMessageReceivedRequest(
                    run_id=RUN, message_object_id=asked.message_id
                ),
                metadata=headers,
            )
            sent = await port.push_reply(asked, headers)
            context = inputs.context
            context.state.items.append(recorddict_pb2.RecordDict.Item(key="count"))
            await port.appio.PushAppOutputs(
                appio_pb2.PushAppOutputsRequest(context=context), metadata=headers
            )

        reply = site.reply_to(asked.message_id)
        assert reply == sent.delivery.envelope
        site.take_in(text="next")
        _, lease = site.launch()
        assert b"count" in (site.apps.inputs(lease).context or b"")

    scenario(body)


@pytest.mark.row("S63")
def test_a_token_dies_with_its_run(tmp_path: Path) -> None:
    async def body() -> None:
        site = Site()
        site.take_in()
        async with serving(site, tmp_path) as port:
            headers = await port.launch()
            site.runs.end([RUN], why="stopped")
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await port.appio.SendAppHeartbeat(
                    heartbeat_pb2.SendAppHeartbeatRequest(), metadata=headers
                )
            assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED

    scenario(body)


@pytest.mark.row("F21", "F23")
def test_nothing_is_served_without_a_token_or_for_another_run(tmp_path: Path) -> None:
    async def body() -> None:
        site = Site()
        site.take_in()
        foreign = site.take_in(OTHER_RUN, text="secret")
        async with serving(site, tmp_path) as port:
            headers = await port.launch()
            for call in (
                port.appio.PullAppInputs(appio_pb2.PullAppInputsRequest()),
                port.appio.PullMessage(appio_pb2.PullAppMessagesRequest()),
                port.appio.PushObject(message_pb2.PushObjectRequest()),
                port.logs.PushAppLogs(logs_pb2.PushAppLogsRequest()),
            ):
                with pytest.raises(grpc.aio.AioRpcError) as raised:
                    await call
                assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED
            stolen = await port.appio.PullObject(
                message_pb2.PullObjectRequest(object_id=foreign.message_id), metadata=headers
            )
            assert not stolen.object_found
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await port.appio.PullObject(
                    message_pb2.PullObjectRequest(run_id=OTHER_RUN, object_id=foreign.message_id),
                    metadata=headers,
                )
            assert raised.value.code() is grpc.StatusCode.PERMISSION_DENIED

    scenario(body)


@pytest.mark.row("F22")
def test_launches_are_granted_to_the_proven_superexec_only(tmp_path: Path) -> None:
    async def body() -> None:
        site = Site()
        site.take_in()
        request = appio_pb2.RequestTokenRequest(run_id=RUN)
        async with serving(site, tmp_path, secret=b"shared") as port:
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await port.appio.RequestToken(request)
            assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED
            proof = sign_call(
                SuperExecSecret.derive(b"shared"),
                f"{SERVICE}/RequestToken",
                request.SerializeToString(deterministic=True),
                at=_now(),
            )
            assert (await port.appio.RequestToken(request, metadata=proof)).token

    scenario(body)


@pytest.mark.row("F5")
def test_a_reported_exit_becomes_an_error_reply(tmp_path: Path) -> None:
    async def body() -> None:
        site = Site()
        asked = site.take_in()
        async with serving(site, tmp_path) as port:
            headers = await port.launch()
            await port.appio.PullMessage(appio_pb2.PullAppMessagesRequest(), metadata=headers)
            await port.launches.ReportExit(
                launches_pb2.ReportExitRequest(
                    token=headers[0][1], exit_code=-9, cause="was killed by SIGKILL"
                )
            )
        reply = site.reply_to(asked.message_id)
        assert reply is not None
        assert reply.error is not None
        assert reply.error.code == ErrorCode.CLIENT_APP_CRASHED

    scenario(body)


def test_app_processes_of_1_24_are_served_where_that_is_allowed(tmp_path: Path) -> None:
    async def body() -> None:
        site = Site()
        asked = site.take_in()
        async with serving(site, tmp_path, old_apps=True) as port:
            token = (await port.launch())[0][1]
            inputs = await port.appio.PullClientAppInputs(
                appio_pb2.PullAppInputsRequest(token=token)
            )
            assert inputs.run.run_id == RUN
            await port.appio.PullMessage(appio_pb2.PullAppMessagesRequest(token=token))
            found = await port.appio.PullObject(
                message_pb2.PullObjectRequest(run_id=RUN, object_id=asked.message_id)
            )
            assert found.object_available
            await port.appio.PushClientAppOutputs(
                appio_pb2.PushAppOutputsRequest(token=token, context=inputs.context)
            )
            assert site.leases.find(hash_token(token)) is None

    scenario(body)


def test_an_unknown_run_is_an_empty_answer_and_a_taken_launch_an_empty_token(
    tmp_path: Path,
) -> None:
    async def body() -> None:
        site = Site()
        async with serving(site, tmp_path) as port:
            answer = await port.appio.GetRun(run_pb2.GetRunRequest(run_id=1))
            assert not answer.HasField("run")
            assert (await port.launch())[0][1] == ""

    scenario(body)


def test_an_announced_heartbeat_shortens_the_patience(tmp_path: Path) -> None:
    async def body() -> None:
        site = Site()
        site.take_in()
        async with serving(site, tmp_path) as port:
            headers = await port.launch()
            for said in ("3", "nonsense"):
                await port.appio.SendAppHeartbeat(
                    heartbeat_pb2.SendAppHeartbeatRequest(),
                    metadata=(*headers, (metadata.HEARTBEAT_S, said)),
                )
                if said == "3":
                    lease = site.leases.require(headers[0][1])
                    assert lease.until == site.clock.now() + APP_PATIENCE

    scenario(body)


@pytest.mark.row("S62")
def test_what_apps_print_is_kept_with_their_run(tmp_path: Path) -> None:
    async def body() -> None:
        site = Site()
        site.take_in()
        async with serving(site, tmp_path) as port:
            headers = await port.launch()
            await port.logs.PushAppLogs(
                logs_pb2.PushAppLogsRequest(logs=["epoch ", "1\n"]), metadata=headers
            )
        assert AppLogs(tmp_path).read(RUN) == "epoch 1\n"

    scenario(body)


@pytest.mark.row("S15")
def test_two_nodes_have_two_ports_and_a_taken_one_is_told(tmp_path: Path) -> None:
    async def body() -> None:
        first, second = Site(), Site()
        async with serving(first, tmp_path) as one, serving(second, tmp_path) as other:
            assert one.server.port != other.server.port
            with pytest.raises(AppIoPortTakenError):
                make_clientappio(
                    one.server.address,
                    leases=first.leases,
                    apps=first.apps,
                    launches=first.launches,
                    handover=Handover(first.launches, Wakeups(), Executors(SystemClock())),
                    logs=AppLogs(tmp_path),
                    wakeups=Wakeups(),
                    clock=SystemClock(),
                )

    scenario(body)


def _now() -> datetime:
    return SystemClock().now()
