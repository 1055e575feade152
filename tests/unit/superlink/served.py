"""A SuperLink's three ports on loopback, over the operations of a test."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc

from flwr.auth.app_tokens import token_headers
from flwr.auth.node_keys import NodeKey, new_node_key, sign_call
from flwr.core.clock import SystemClock
from flwr.proto import control_pb2_grpc, fleet_pb2, fleet_pb2_grpc, serverappio_pb2_grpc
from flwr.proto.compose.v1 import launches_pb2_grpc, logs_pb2_grpc
from flwr.shell.executors import Executors
from flwr.shell.in_thread import AtOnce
from flwr.superlink.objects import Objects
from flwr.superlink.ports import Operations, make_appio, make_control, make_fleet
from flwr.superlink.presence import Presence
from flwr.superlink.takers import Takers
from tests.fakes.wakeups import WatchedWakeups
from tests.unit.superlink.federation import INTERVAL_S, Link

SOON_S = 15.0  # below the hold of 20 s


@dataclass
class Served:
    """Stubs of every service."""

    link: Link
    wakeups: WatchedWakeups
    presence: Presence
    takers: Takers
    fleet: "fleet_pb2_grpc.FleetAsyncStub"
    node_logs: "logs_pb2_grpc.NodeLogsAsyncStub"
    appio: "serverappio_pb2_grpc.ServerAppIoAsyncStub"
    launches: "launches_pb2_grpc.LaunchesAsyncStub"
    control: "control_pb2_grpc.ControlAsyncStub"
    fleet_channel: grpc.aio.Channel

    async def node(self) -> "SignedNode":
        key = new_node_key()
        signed = SignedNode(self, key, 0)
        request = fleet_pb2.RegisterNodeFleetRequest(public_key=key.public_pem)
        signed.node_id = (await signed.call("RegisterNode", request)).node_id
        await signed.activate()
        return signed

    async def is_held(self, *calls: Any) -> bool:
        """Tell whether calls are open when the SuperLink, which holds no others, looked in vain."""
        await self.wakeups.until_asleep(len(calls), within_s=SOON_S)
        return not any(call.done() for call in calls)


@dataclass
class SignedNode:
    """A node that signs its calls."""

    served: Served
    key: NodeKey
    node_id: int

    def call(self, method: str, request: Any, *extra: tuple[str, str]) -> Any:
        headers = (*sign_call(self.key, at=SystemClock().now()), *extra)
        return getattr(self.served.fleet, method)(request, metadata=headers)

    async def activate(self, *extra: tuple[str, str]) -> None:
        public_key = self.key.public_pem
        request = fleet_pb2.ActivateNodeRequest(
            public_key=public_key, heartbeat_interval=INTERVAL_S
        )
        assert (await self.call("ActivateNode", request, *extra)).node_id == self.node_id

    def pull(self, *extra: tuple[str, str]) -> Any:
        request = fleet_pb2.PullMessagesRequest()
        request.node.node_id = self.node_id
        return self.call("PullMessages", request, *extra)


def with_token(token: str, *extra: tuple[str, str]) -> Any:
    return (*token_headers(token), *extra)


@asynccontextmanager
async def serving(link: Link) -> AsyncIterator[Served]:
    wakeups = WatchedWakeups()
    link.store.subscribe(wakeups.ring)
    objects = Objects(link.store, link.traffic, link.uploads)
    operations = Operations(
        runs=link.runs,
        launches=link.launches,
        executors=Executors(link.clock),
        nodes=link.nodes,
        messages=link.messages,
        objects=objects,
        logs=link.logs,
        presence=Presence(link.nodes, link.clock),
        wakeups=wakeups,
        clock=link.clock,
        at_once=AtOnce(link.store),
    )
    clock, local = SystemClock(), "127.0.0.1:0"
    servers = (
        make_appio(local, operations, tls=None, clock=clock),
        make_fleet(local, operations, tls=None, clock=clock),
        make_control(local, operations, tls=None),
    )
    for server in servers:
        await server.start()
    channels = [grpc.aio.insecure_channel(server.address) for server in servers]
    try:
        yield Served(
            link,
            wakeups,
            operations.presence,
            operations.takers,
            fleet=fleet_pb2_grpc.FleetStub(channels[1]),
            node_logs=logs_pb2_grpc.NodeLogsStub(channels[1]),
            appio=serverappio_pb2_grpc.ServerAppIoStub(channels[0]),
            launches=launches_pb2_grpc.LaunchesStub(channels[0]),
            control=control_pb2_grpc.ControlStub(channels[2]),
            fleet_channel=channels[1],
        )
    finally:
        wakeups.close()
        for channel in channels:
            await channel.close()
        for server in servers:
            await server.stop()


def on_a_served_link(link: Link, body: Callable[[Served], Awaitable[None]]) -> None:
    """Run ``body`` against the ports of ``link``."""

    async def whole() -> None:
        async with serving(link) as served, asyncio.timeout(60):
            await body(served)

    asyncio.run(whole())


async def refusal(call: Awaitable[Any]) -> tuple[grpc.StatusCode, str]:
    """Return status and details of a call that must fail."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code(), error.details() or ""
    raise AssertionError("the call should have been refused")
