"""A node's line of which every byte is the test's, and what goes over it."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import grpc

from flwr.auth.line_seal import LineKey, LineSeal
from flwr.auth.node_binding import sign_bound_call
from flwr.auth.node_keys import NodeKey
from flwr.core.clock import SystemClock
from flwr.core.ids import NodeId
from flwr.core.message import Delivery
from flwr.core.run import Run
from flwr.proto import appio_pb2
from flwr.proto.compose.v1 import line_pb2
from flwr.wire.codec.deliveries import write_deliveries
from flwr.wire.codec.lines import (
    OPEN,
    LinkSays,
    NodeSays,
    decode_link_frame,
    encode_node_frame,
)
from tests.unit.superlink.federation import INTERVAL_S, Link, Sent
from tests.unit.superlink.served import SOON_S, Served, on_a_served_link, with_token

Pairs = tuple[tuple[str, str | bytes], ...]


def whole(sent: Sent) -> Delivery:
    return replace(sent.delivery, contents=sent.objects)


@dataclass
class RawLine:
    """A line of which every byte is the test's."""

    call: Any
    seal: LineSeal
    headers: Pairs
    opening: bytes

    async def say(self, said: NodeSays) -> None:
        await self.call.write(self.seal.seal(encode_node_frame(said)))

    async def hear(self) -> LinkSays:
        async with asyncio.timeout(SOON_S):
            frame = await self.call.read()
        assert isinstance(frame, bytes), "the line has ended"
        return decode_link_frame(frame)

    async def end(self) -> tuple[grpc.StatusCode, str]:
        async with asyncio.timeout(SOON_S):
            with suppress(grpc.RpcError):
                while isinstance(await self.call.read(), bytes):
                    pass
            return await self.call.code(), await self.call.details()


def sign(key: NodeKey, body: bytes) -> Pairs:
    return sign_bound_call(key, OPEN, body, at=SystemClock().now())


async def raw_line(served: Served, node_id: int, signer: NodeKey, **fields: Any) -> RawLine:
    line_key = LineKey()
    wanted: dict[str, Any] = {"heartbeat_interval": INTERVAL_S, "key": line_key.public}
    frame = line_pb2.NodeFrame(**{**wanted, **fields})
    frame.node.node_id = node_id
    opening = frame.SerializeToString()
    headers = sign(signer, opening)
    call: Any = served.fleet_channel.stream_stream(OPEN)(metadata=headers)
    await call.write(opening)
    hello = None
    with suppress(grpc.RpcError):
        hello = await call.read()
    link_key = line_pb2.LinkFrame.FromString(hello).key if isinstance(hello, bytes) else b""
    seal = line_key.seal_of_node(link_key) if link_key else LineSeal(b"")
    return RawLine(call, seal, headers, opening)


def on_a_raw_line(
    link: Link, body: Callable[[Served, RawLine, NodeId], Awaitable[None]], **fields: Any
) -> None:
    async def opened(served: Served) -> None:
        node = await served.node()
        line = await raw_line(served, node.node_id, node.key, **fields)
        try:
            await body(served, line, NodeId(node.node_id))
        finally:
            line.call.cancel()

    on_a_served_link(link, opened)


async def pushed(served: Served, token: str, run: Run, sent: list[Sent]) -> None:
    request = appio_pb2.PushAppMessagesRequest(run_id=run.run_id)
    write_deliveries(request, [whole(one) for one in sent])
    done = await served.appio.PushMessages(request, metadata=with_token(token))
    assert list(done.message_ids) == [one.message_id for one in sent]


async def looked(served: Served, line: RawLine) -> None:
    """Return once the SuperLink knows that nothing waits for the node of a line."""
    while not served.takers._takers or not all(
        map(served.link.messages.knows_none, served.takers._takers)
    ):
        await line.say(NodeSays(asks=True))
        assert (await line.hear()).heard
