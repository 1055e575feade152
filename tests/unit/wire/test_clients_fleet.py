"""The node's client against a guarded server over TLS."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.message import Message

from flwr.auth import node_keys
from flwr.core.errors import UnavailableError
from flwr.core.ids import SUPERLINK_NODE, FabHash, MessageId, NodeId, ObjectId, RunId
from flwr.core.message import Delivery, Envelope, ErrorCode, ObjectTree
from flwr.core.run import RunNotRunningError, RunStatus
from flwr.proto import fab_pb2, fleet_pb2, heartbeat_pb2, message_pb2, run_pb2
from flwr.proto.compose.v1 import logs_pb2
from flwr.wire.channel import open_aio_channel
from flwr.wire.clients.fleet import FleetClient, NotActivatedError, Pulled, PulledObject
from flwr.wire.codec.deliveries import read_deliveries, read_received, write_deliveries
from flwr.wire.codec.messages import encode_deliveries
from flwr.wire.interceptors.node import NodeInterceptor, calling_node
from flwr.wire.object_format import error_reply, object_id_of
from flwr.wire.server import chain
from flwr.wire.transport import PeerNotRunningError
from tests.fakes.certificates import Authority
from tests.fakes.clock import FakeClock
from tests.fakes.rpc import message_service, serving

AUTHORITY = Authority()
CLOCK = FakeClock()
KEY = node_keys.new_node_key()
NODE, RUN = NodeId(2**63 + 5), RunId(2**64 - 1)
OBJECT, CHILD = ObjectId("ab" * 32), ObjectId("cd" * 32)
DELIVERY = Delivery(
    Envelope(
        message_id=MessageId("ab" * 32),
        run_id=RUN,
        src_node_id=SUPERLINK_NODE,
        dst_node_id=NODE,
        message_type="train",
        created_at=1_772_366_400.123456,
        ttl=43_200.0,
    ),
    ObjectTree(OBJECT, (ObjectTree(CHILD),)),
)


class Fleet:
    """A SuperLink of one node; keeps requests and headers."""

    def __init__(self) -> None:
        self.requests: dict[str, Any] = {}
        self.headers: dict[str, dict[str, Any]] = {}
        self.ended: str | None = None
        self.brings: Delivery | None = None  # with what it encloses
        self.secured = 0
        self.fails_to_secure: set[int] = set()

    def answering(self, name: str, answer: Message | Exception) -> Any:
        async def answered(request: Any, rpc: Any) -> Message:
            self.requests[name] = request
            self.headers[name] = dict(rpc.invocation_metadata())
            if name == "PullMessages":
                assert calling_node(rpc) == NODE
                if self.ended is not None:
                    rpc.set_trailing_metadata((("flwr-compose-ended-runs", self.ended),))
                if self.brings is not None:
                    whole = fleet_pb2.PullMessagesResponse()
                    write_deliveries(whole, [self.brings])
                    return whole
            if isinstance(answer, Exception):
                raise answer
            return answer

        return answered

    async def note_secured(self) -> None:
        self.secured += 1
        if self.secured in self.fails_to_secure:
            raise UnavailableError("the disk failed")

    def services(self) -> Any:
        messages, trees = encode_deliveries([DELIVERY])
        fab = fab_pb2.Fab(hash_str="ef" * 32, content=b"zip", verifications={"a": "b"})
        rows: list[tuple[str, type[Message], Message | Exception]] = [
            (
                "RegisterNode",
                fleet_pb2.RegisterNodeFleetRequest,
                fleet_pb2.RegisterNodeFleetResponse(node_id=NODE),
            ),
            (
                "ActivateNode",
                fleet_pb2.ActivateNodeRequest,
                fleet_pb2.ActivateNodeResponse(node_id=NODE),
            ),
            ("DeactivateNode", fleet_pb2.DeactivateNodeRequest, fleet_pb2.DeactivateNodeResponse()),
            (
                "UnregisterNode",
                fleet_pb2.UnregisterNodeFleetRequest,
                fleet_pb2.UnregisterNodeFleetResponse(),
            ),
            (
                "SendNodeHeartbeat",
                heartbeat_pb2.SendNodeHeartbeatRequest,
                heartbeat_pb2.SendNodeHeartbeatResponse(success=True),
            ),
            (
                "PullMessages",
                fleet_pb2.PullMessagesRequest,
                fleet_pb2.PullMessagesResponse(messages_list=messages, message_object_trees=trees),
            ),
            (
                "PushMessages",
                fleet_pb2.PushMessagesRequest,
                fleet_pb2.PushMessagesResponse(objects_to_push=[CHILD, OBJECT]),
            ),
            (
                "PushObject",
                message_pb2.PushObjectRequest,
                message_pb2.PushObjectResponse(stored=True),
            ),
            (
                "PullObject",
                message_pb2.PullObjectRequest,
                message_pb2.PullObjectResponse(
                    object_found=True, object_available=True, object_content=b"bytes"
                ),
            ),
            (
                "ConfirmMessageReceived",
                message_pb2.ConfirmMessageReceivedRequest,
                message_pb2.ConfirmMessageReceivedResponse(),
            ),
            ("GetRun", run_pb2.GetRunRequest, RunNotRunningError(RunStatus.STOPPED)),
            ("GetFab", fab_pb2.GetFabRequest, fab_pb2.GetFabResponse(fab=fab)),
        ]
        fleet = {name: (request, self.answering(name, answer)) for name, request, answer in rows}
        push_logs = self.answering("PushNodeLogs", logs_pb2.PushNodeLogsResponse())
        logs = {"PushNodeLogs": (logs_pb2.PushNodeLogsRequest, push_logs)}
        return (
            message_service("flwr.proto.Fleet", fleet),
            message_service("flwr.compose.v1.NodeLogs", logs),
        )


def small_reply() -> tuple[Delivery, bytes]:
    """Return an error reply, which is one object, with it."""
    envelope, content = error_reply(
        DELIVERY.envelope, ErrorCode.CLIENT_APP_CRASHED, "crashed", now=CLOCK.now()
    )
    object_id = object_id_of(content)
    return Delivery(envelope, ObjectTree(object_id), {object_id: content}), content


def played(
    scenario: Callable[[FleetClient, Fleet], Awaitable[Any]], *, clock: FakeClock = CLOCK
) -> tuple[Any, Fleet]:
    fleet = Fleet()

    async def find_node(_public_key: bytes) -> NodeId | None:
        return NODE

    async def play() -> Any:
        guard = chain(NodeInterceptor(find_node, clock=clock))
        async with (
            serving(*fleet.services(), interceptors=guard, tls=AUTHORITY.issue()) as server,
            open_aio_channel(server.address, AUTHORITY.client_tls) as channel,
        ):
            client = FleetClient(
                channel, KEY, clock=clock, is_durable=True, secure=fleet.note_secured
            )
            return await scenario(client, fleet)

    return asyncio.run(play()), fleet


def test_a_node_registers_activates_and_leaves_under_its_own_key_and_id() -> None:
    async def life(client: FleetClient, _fleet: Fleet) -> Any:
        assert await client.register() == NODE
        assert await client.activate(timedelta(seconds=30), remembers=True) == NODE
        assert await client.heartbeat(timedelta(seconds=30))
        await client.deactivate()
        await client.unregister()

    _, fleet = played(life)

    assert fleet.requests["RegisterNode"].public_key == KEY.public_pem
    assert fleet.requests["ActivateNode"].heartbeat_interval == 30
    assert fleet.headers["ActivateNode"]["flwr-compose-durable"] == "1"
    assert fleet.requests["SendNodeHeartbeat"].node.node_id == NODE
    assert fleet.requests["UnregisterNode"].node_id == NODE
    assert fleet.headers["RegisterNode"]["flwr-compose-version"]


def test_a_node_that_lost_its_state_asks_for_what_it_confirmed_and_keeps_from_then_on() -> None:
    async def come_back(client: FleetClient, _fleet: Fleet) -> Any:
        await client.activate(timedelta(seconds=30), remembers=False)
        await client.pull_messages()

    _, fleet = played(come_back)

    assert "flwr-compose-durable" not in fleet.headers["ActivateNode"]
    assert fleet.headers["PullMessages"]["flwr-compose-durable"] == "1"


@pytest.mark.parametrize(
    ("trailer", "ended"), [(None, None), ("", ()), (f"{RUN},7", (RUN, RunId(7)))]
)
def test_a_pull_brings_the_message_and_the_runs_that_ended(
    trailer: str | None, ended: tuple[RunId, ...] | None
) -> None:
    async def pull(client: FleetClient, fleet: Fleet) -> Pulled:
        fleet.ended = trailer
        await client.activate(timedelta(seconds=30), remembers=True)
        return await client.pull_messages([RUN, RunId(7)])

    pulled, fleet = played(pull)

    assert pulled == Pulled((DELIVERY,), ended)
    headers = fleet.headers["PullMessages"]
    assert headers["flwr-compose-active-runs"] == f"{RUN},7"
    assert headers["flwr-compose-durable"] == "1"


def test_what_came_whole_is_confirmed_with_the_next_pull_once_it_is_secured() -> None:
    message_id = DELIVERY.envelope.message_id

    async def pull(client: FleetClient, fleet: Fleet) -> list[list[MessageId]]:
        fleet.fails_to_secure.add(2)
        await client.activate(timedelta(seconds=30), remembers=True)
        said = []
        for received in ([], [message_id], [message_id]):
            await client.pull_messages((), received)
            said.append(read_received(fleet.requests["PullMessages"]))
        return said

    said, fleet = played(pull)

    assert said == [[], [message_id], []], "what cannot be secured is handed out again"
    assert fleet.secured == 2


def test_objects_replies_bundles_and_logs_travel() -> None:
    async def work(client: FleetClient, _fleet: Fleet) -> list[Any]:
        await client.activate(timedelta(seconds=30), remembers=True)
        await client.confirm(RUN, DELIVERY.envelope.message_id)
        await client.push_logs(RUN, ["one", "two"])
        return [
            await client.push_reply(DELIVERY, 1.5),
            await client.push_object(RUN, OBJECT, b"content"),
            await client.pull_object(RUN, OBJECT),
            await client.get_fab(RUN, FabHash("ef" * 32)),
        ]

    (wanted, stored, pulled, fab), fleet = played(work)

    assert wanted == [CHILD, OBJECT]
    assert stored is True
    assert pulled == PulledObject(is_known=True, content=b"bytes")
    assert (fab.hash, fab.content, fab.verifications) == ("ef" * 32, b"zip", {"a": "b"})
    assert list(fleet.requests["PushMessages"].clientapp_runtime_list) == [1.5]
    assert fleet.requests["GetFab"].run_id == RUN
    assert fleet.requests["ConfirmMessageReceived"].message_object_id == "ab" * 32
    assert list(fleet.requests["PushNodeLogs"].logs) == ["one", "two"]


def test_a_stopped_run_comes_out_as_not_running_with_its_words() -> None:
    async def ask(client: FleetClient, _fleet: Fleet) -> Any:
        await client.activate(timedelta(seconds=30), remembers=True)
        with pytest.raises(PeerNotRunningError) as caught:
            await client.get_run(RUN)
        return caught.value.message

    assert played(ask)[0] == "Run is finished. Stopped by user."


def test_every_call_is_signed_at_its_own_time() -> None:
    async def twice(client: FleetClient, fleet: Fleet) -> list[str]:
        await client.activate(timedelta(seconds=30), remembers=True)
        first = fleet.headers["ActivateNode"]["flwr-timestamp"]
        CLOCK.advance(timedelta(seconds=1))
        await client.heartbeat(timedelta(seconds=30))
        return [first, fleet.headers["SendNodeHeartbeat"]["flwr-timestamp"]]

    (first, second), _ = played(twice)

    assert first != second


def test_a_call_in_a_nodes_name_needs_activation_first() -> None:
    async def early(client: FleetClient, _fleet: Fleet) -> Any:
        with pytest.raises(NotActivatedError):
            await client.pull_messages()

    played(early)


def test_nobody_there_is_unavailable() -> None:
    async def call() -> None:
        async with open_aio_channel("127.0.0.1:1", None) as channel:
            client = FleetClient(
                channel, KEY, clock=CLOCK, is_durable=False, secure=Fleet().note_secured
            )
            with pytest.raises(UnavailableError):
                await client.register()

    asyncio.run(call())


def test_calls_of_one_second_share_the_contracts_signature_and_each_has_its_own_binding() -> None:
    clock = FakeClock()

    async def calls(client: FleetClient, fleet: Fleet) -> list[dict[str, Any]]:
        await client.activate(timedelta(seconds=30), remembers=True)
        made = []
        for step_s in (0.0, 0.9, 0.2):
            clock.advance(timedelta(seconds=step_s))
            await client.confirm(RUN, DELIVERY.envelope.message_id)
            made.append(fleet.headers["ConfirmMessageReceived"])
        return made

    (first, second, third), _ = played(calls, clock=clock)
    stated = ("flwr-timestamp", "flwr-signature-bin")
    assert [first[name] for name in stated] == [second[name] for name in stated]
    assert all(first[name] != third[name] for name in stated)
    assert len({one["flwr-compose-signature-bin"] for one in (first, second, third)}) == 3


def test_small_messages_travel_whole() -> None:
    reply, content = small_reply()

    async def push_and_pull(client: FleetClient, fleet: Fleet) -> Pulled:
        await client.activate(timedelta(seconds=30), remembers=True)
        await client.push_reply(reply, 1.5)
        fleet.brings = reply
        return await client.pull_messages((), [DELIVERY.envelope.message_id])

    pulled, fleet = played(push_and_pull)
    (pushed,) = read_deliveries(fleet.requests["PushMessages"])
    assert pushed.contents == {object_id_of(content): content}
    assert fleet.headers["PullMessages"]["flwr-compose-enclose"] == "1"
    assert read_received(fleet.requests["PullMessages"]) == [DELIVERY.envelope.message_id]
    assert [one.contents for one in pulled.deliveries] == [pushed.contents]
