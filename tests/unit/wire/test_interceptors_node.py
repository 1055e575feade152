"""Fleet's guard, over real gRPC: who may call what in whose name."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message

from flwr.auth import node_keys
from flwr.auth.node_binding import sign_bound_call
from flwr.auth.node_keys import NodeKey, sign_call
from flwr.core.errors import ErrorKind, FlwrError
from flwr.core.ids import NodeId
from flwr.crypto import ecdsa
from flwr.proto import fleet_pb2, message_pb2, node_pb2
from flwr.proto.compose.v1 import logs_pb2
from flwr.wire.errors import from_rpc_error
from flwr.wire.interceptors.node import NodeInterceptor, calling_key, calling_node
from flwr.wire.server import Register, chain
from tests.fakes.clock import FakeClock
from tests.fakes.rpc import connected, message_service

CLOCK = FakeClock()
OURS, OTHERS, UNKNOWN = (node_keys.new_node_key() for _ in range(3))
OUR_ID, OTHER_ID = NodeId(2**64 - 7), NodeId(11)
FLEET = "/flwr.proto.Fleet/"
PULL, CONFIRM = FLEET + "PullMessages", FLEET + "ConfirmMessageReceived"
DEACTIVATE, ACTIVATE, REGISTER = (
    FLEET + m for m in ("DeactivateNode", "ActivateNode", "RegisterNode")
)
PUSH_LOGS = "/flwr.compose.v1.NodeLogs/PushNodeLogs"
Headers = tuple[tuple[str, str | bytes], ...]


class Servicer:
    """Notes for whom it was called."""

    def __init__(self) -> None:
        self.callers: list[NodeId] = []
        self.keys: list[bytes] = []

    async def register_node(self, request: Any, context: Any) -> Any:
        self.keys.append(calling_key(context))
        return fleet_pb2.RegisterNodeFleetResponse(node_id=OUR_ID)

    async def activate_node(self, request: Any, context: Any) -> Any:
        self.keys.append(calling_key())
        return fleet_pb2.ActivateNodeResponse(node_id=OUR_ID)

    async def deactivate_node(self, request: Any, context: Any) -> Any:
        self.callers.append(calling_node(context))
        return fleet_pb2.DeactivateNodeResponse()

    async def pull_messages(self, request: Any, context: Any) -> Any:
        self.callers.append(await asyncio.to_thread(calling_node))
        return fleet_pb2.PullMessagesResponse()

    async def push_node_logs(self, request: Any, context: Any) -> Any:
        return logs_pb2.PushNodeLogsResponse()

    def services(self) -> tuple[Register, Register]:
        fleet: dict[str, tuple[type[Message], Any]] = {
            "RegisterNode": (fleet_pb2.RegisterNodeFleetRequest, self.register_node),
            "ActivateNode": (fleet_pb2.ActivateNodeRequest, self.activate_node),
            "DeactivateNode": (fleet_pb2.DeactivateNodeRequest, self.deactivate_node),
            "PullMessages": (fleet_pb2.PullMessagesRequest, self.pull_messages),
            "ConfirmMessageReceived": (
                message_pb2.ConfirmMessageReceivedRequest,
                self.pull_messages,
            ),
        }
        logs = {"PushNodeLogs": (logs_pb2.PushNodeLogsRequest, self.push_node_logs)}
        return (
            message_service("flwr.proto.Fleet", fleet),
            message_service("flwr.compose.v1.NodeLogs", logs),
        )


class Registry:
    """Knows our node and another one."""

    def __init__(self) -> None:
        self.nodes = {OURS.public_pem: OUR_ID, OTHERS.public_pem: OTHER_ID}

    async def find(self, public_key: bytes) -> NodeId | None:
        return self.nodes.get(public_key)


Call = Callable[[str, Any, Headers], Awaitable[Any]]


def run(scenario: Callable[[Call], Awaitable[None]], registry: Registry | None = None) -> Servicer:
    """Run calls against a guarded server."""
    servicer = Servicer()

    async def play() -> None:
        guard = NodeInterceptor((registry or Registry()).find, clock=CLOCK)
        async with connected(*servicer.services(), interceptors=chain(guard)) as channel:

            async def call(method: str, request: Any, headers: Headers) -> Any:
                try:
                    return await channel.unary_unary(method)(
                        request.SerializeToString(), metadata=headers
                    )
                except grpc.aio.AioRpcError as error:
                    raise from_rpc_error(error, method=method) from error

            await scenario(call)

    asyncio.run(play())
    return servicer


def signed(key: NodeKey, age: timedelta = timedelta(0)) -> Headers:
    return sign_call(key, at=CLOCK.now() - age)


def pull(node_id: int) -> fleet_pb2.PullMessagesRequest:
    return fleet_pb2.PullMessagesRequest(node=node_pb2.Node(node_id=node_id))


def refusal(
    method: str, request: Any, headers: Headers, registry: Registry | None = None
) -> FlwrError:
    """Return the refusal of one call; the servicer must not have been reached."""
    caught: list[FlwrError] = []

    async def scenario(call: Call) -> None:
        with pytest.raises(FlwrError) as raised:
            await call(method, request, headers)
        caught.append(raised.value)

    servicer = run(scenario, registry)
    assert not servicer.callers
    assert not servicer.keys
    assert caught[0].kind is ErrorKind.UNAUTHENTICATED
    return caught[0]


@pytest.mark.row("S35")
def test_a_signed_call_reaches_the_servicer_as_the_proven_node() -> None:
    async def scenario(call: Call) -> None:
        await call(PULL, pull(OUR_ID), signed(OURS))
        await call(DEACTIVATE, fleet_pb2.DeactivateNodeRequest(node_id=OUR_ID), signed(OURS))
        request = logs_pb2.PushNodeLogsRequest(node=node_pb2.Node(node_id=OUR_ID), run_id=1)
        await call(PUSH_LOGS, request, signed(OURS))

    assert run(scenario).callers == [OUR_ID, OUR_ID]


@pytest.mark.row("F26")
@pytest.mark.parametrize(
    ("method", "request_"),
    [
        (PULL, pull(OTHER_ID)),
        (PULL, fleet_pb2.PullMessagesRequest()),
        (DEACTIVATE, fleet_pb2.DeactivateNodeRequest(node_id=OTHER_ID)),
        (CONFIRM, message_pb2.ConfirmMessageReceivedRequest(node=node_pb2.Node(node_id=OTHER_ID))),
        (PUSH_LOGS, logs_pb2.PushNodeLogsRequest(node=node_pb2.Node(node_id=OTHER_ID))),
    ],
)
def test_another_nodes_id_is_refused(method: str, request_: Any) -> None:
    assert refusal(method, request_, signed(OURS)).message == "Invalid node ID"


@pytest.mark.row("F26", "S36")
def test_an_unregistered_node_is_refused_at_its_next_call() -> None:
    registry = Registry()
    del registry.nodes[OURS.public_pem]

    assert refusal(PULL, pull(OUR_ID), signed(OURS), registry).message == "Invalid node ID"


@pytest.mark.row("S33")
def test_an_unlisted_key_is_refused_and_logged_with_its_fingerprint(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        error = refusal(PULL, pull(OUR_ID), signed(UNKNOWN))

    assert error.message == "Invalid node ID"
    (line,) = caplog.records
    facts = vars(line)
    assert line.levelno == logging.WARNING
    assert facts["fingerprint"] == UNKNOWN.fingerprint
    assert facts["method"] == PULL
    assert facts["cause"] == "Invalid node ID"
    assert facts["peer"].startswith("ipv4:127.0.0.1:")


@pytest.mark.row("S35", "F25")
@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ((), "Missing authentication metadata"),
        (signed(OURS)[:2], "Missing authentication metadata"),
        ((*signed(OURS), signed(OURS)[1]), "Missing authentication metadata"),
        ((signed(OURS)[0], *signed(OTHERS)[1:]), "Invalid signature"),
        ((("flwr-public-key-bin", b"junk"), *signed(OURS)[1:]), "Invalid signature"),
        (signed(OURS, timedelta(minutes=10)), "Invalid timestamp"),
        (signed(OURS, timedelta(minutes=-1)), "Invalid timestamp"),
    ],
)
def test_a_bad_proof_is_refused_in_the_contracts_words(headers: Headers, text: str) -> None:
    assert refusal(PULL, pull(OUR_ID), headers).message == text


@pytest.mark.row("F25")
def test_a_megabyte_of_key_is_refused_before_it_is_read(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(call: Call) -> None:
        huge = (("flwr-public-key-bin", b"x" * 1_000_000), *signed(OURS)[1:])
        with pytest.raises(FlwrError):
            await call(PULL, pull(OUR_ID), huge)

    assert run(scenario).callers == []
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.row("F18")
def test_a_clock_that_is_off_is_named_to_the_node() -> None:
    error = refusal(PULL, pull(OUR_ID), signed(OURS, timedelta(minutes=10)))

    assert "600 s behind" in error.hint


def test_a_new_node_needs_only_its_own_key() -> None:
    async def scenario(call: Call) -> None:
        key = UNKNOWN.public_pem
        request = fleet_pb2.RegisterNodeFleetRequest(public_key=key)
        await call(REGISTER, request, signed(UNKNOWN))
        activation = fleet_pb2.ActivateNodeRequest(public_key=key, heartbeat_interval=30)
        await call(ACTIVATE, activation, signed(UNKNOWN))

    assert run(scenario).keys == [UNKNOWN.public_pem] * 2


@pytest.mark.row("F26")
@pytest.mark.parametrize("key", [OTHERS.public_pem, b"", b"junk"])
def test_no_key_signs_for_another(key: bytes) -> None:
    activation = fleet_pb2.ActivateNodeRequest(public_key=key, heartbeat_interval=30)
    registration = fleet_pb2.RegisterNodeFleetRequest(public_key=key)

    assert refusal(ACTIVATE, activation, signed(OURS)).message == "Invalid signature"
    assert refusal(REGISTER, registration, signed(OURS)).message == "Invalid signature"


def test_a_method_nobody_wrote_is_unimplemented() -> None:
    async def scenario(call: Call) -> None:
        with pytest.raises(FlwrError) as raised:
            await call(FLEET + "Explode", pull(OUR_ID), signed(OURS))
        assert raised.value.kind is ErrorKind.UNIMPLEMENTED

    run(scenario)


@pytest.mark.row("F24")
@pytest.mark.parametrize(
    "forged", [b"x" * 104, sign_call(OTHERS, at=CLOCK.now())[2][1]], ids=["junk", "others"]
)
def test_a_bound_call_is_proven_by_its_second_signature_alone(forged: bytes) -> None:
    body = pull(OUR_ID).SerializeToString()
    bound = sign_bound_call(OURS, PULL, body, at=CLOCK.now())
    as_forged = [*bound[:2], ("flwr-signature-bin", forged), *bound[3:]]
    swapped = (*sign_call(OURS, at=CLOCK.now()), bound[3], ("flwr-compose-signature-bin", forged))

    async def scenario(call: Call) -> None:
        await call(PULL, pull(OUR_ID), tuple(as_forged))
        with pytest.raises(FlwrError, match="Invalid signature"):
            await call(PULL, pull(OUR_ID), swapped)

    assert run(scenario).callers == [OUR_ID]


def test_one_signature_is_verified_per_call(monkeypatch: pytest.MonkeyPatch) -> None:
    verified: list[bytes] = []

    def count(key: ecdsa.PublicKey, message: bytes, signature: bytes) -> bool:
        verified.append(message)
        return is_signed(key, message, signature)

    is_signed = ecdsa.is_signed
    monkeypatch.setattr(ecdsa, "is_signed", count)
    body = pull(OUR_ID).SerializeToString()

    async def scenario(call: Call) -> None:
        await call(PULL, pull(OUR_ID), sign_bound_call(OURS, PULL, body, at=CLOCK.now()))
        await call(PULL, pull(OTHER_ID), signed(OTHERS))

    assert run(scenario).callers == [OUR_ID, OTHER_ID]
    assert len(verified) == 2


@pytest.mark.row("F24")
def test_a_captured_call_of_our_own_node_is_useless_to_the_thief() -> None:
    body = pull(OUR_ID).SerializeToString()
    captured = sign_bound_call(OURS, PULL, body, at=CLOCK.now())

    async def scenario(call: Call) -> None:
        await call(PULL, pull(OUR_ID), captured)
        deactivation = fleet_pb2.DeactivateNodeRequest(node_id=OUR_ID)
        for method, request, headers in (
            (PULL, pull(OUR_ID), captured),  # the same call
            (DEACTIVATE, deactivation, captured),  # another call
            (PULL, fleet_pb2.PullMessagesRequest(message_ids=["x"]), captured),  # another body
            (DEACTIVATE, deactivation, captured[:3]),  # as an older node would make it
        ):
            with pytest.raises(FlwrError, match="Invalid signature"):
                await call(method, request, headers)

    assert run(scenario).callers == [OUR_ID]


class WatchedClock(FakeClock):
    """Counts how often the server looked at it."""

    looks = 0

    def now(self) -> datetime:
        self.looks += 1
        return super().now()


async def _slow_call(
    channel: grpc.aio.Channel, clock: WatchedClock, headers: Headers, takes: timedelta, looks: int
) -> None:
    """Send the headers at once and the body, after so many looks, ``takes`` later."""

    async def body() -> AsyncIterator[bytes]:
        while clock.looks < looks:  # noqa: ASYNC110 - the server's own state, no event
            await asyncio.sleep(0.01)
        clock.advance(takes)
        yield pull(OUR_ID).SerializeToString()

    call: grpc.aio.StreamUnaryMultiCallable[bytes, bytes] = channel.stream_unary(PULL)
    await call(body(), metadata=headers)


@pytest.mark.row("F15")
def test_a_request_that_takes_longer_than_the_window_to_arrive_is_accepted_once() -> None:
    clock, servicer, slow = WatchedClock(), Servicer(), timedelta(minutes=20)

    async def play() -> None:
        guard = NodeInterceptor(Registry().find, clock=clock)
        async with connected(*servicer.services(), interceptors=chain(guard)) as channel:
            body = pull(OUR_ID).SerializeToString()
            headers = sign_bound_call(OURS, PULL, body, at=clock.now())
            both = clock.looks + 2  # each has sent its headers
            first = _slow_call(channel, clock, headers, slow, both)
            again = _slow_call(channel, clock, headers, timedelta(seconds=1), both)
            ended = await asyncio.gather(first, again, return_exceptions=True)
            assert [type(end) for end in ended].count(type(None)) == 1
            with pytest.raises(grpc.aio.AioRpcError, match="Invalid timestamp"):
                await _slow_call(channel, clock, headers, timedelta(0), clock.looks + 1)

    asyncio.run(play())
    assert servicer.callers == [OUR_ID]


@pytest.mark.row("F35")
def test_bytes_that_are_no_request_are_the_callers_fault(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Junk:
        def SerializeToString(self) -> bytes:  # noqa: N802 - stands in for a protobuf message
            return b"\xff\xff\xff"

    async def scenario(call: Call) -> None:
        with pytest.raises(FlwrError) as caught:
            await call(PULL, Junk(), signed(OURS))
        assert caught.value.kind is ErrorKind.INVALID

    run(scenario)
    assert not [record for record in caplog.records if record.exc_info]
