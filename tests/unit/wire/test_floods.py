"""What one connection can send to keep a server busy, frame by frame (RFC 9113)."""

import asyncio
import struct
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from flwr.wire.channel import open_aio_channel
from tests.fakes.rpc import byte_service, serving, unary

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADERS, RST_STREAM, SETTINGS, PING = 1, 3, 4, 6
END_HEADERS = 4
CANCEL = 8
MANY = 20_000


async def echo(request: bytes, _rpc: Any) -> bytes:
    return request


ECHO = byte_service("test.Test", {"Echo": echo})


class Counting(grpc.aio.ServerInterceptor):
    """Counts the calls that a server's Python hears of."""

    def __init__(self) -> None:
        self.calls = 0

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        self.calls += 1
        return await continuation(details)


def frame(kind: int, payload: bytes = b"", *, flags: int = 0, stream: int = 0) -> bytes:
    return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, flags, stream) + payload


def literal(name: bytes, value: bytes) -> bytes:
    """Write a header as HPACK does that is never indexed (RFC 7541, 6.2.2)."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


HEAD = b"".join(
    literal(name, value)
    for name, value in {
        b":method": b"POST",
        b":scheme": b"http",
        b":path": b"/test.Test/Echo",
        b":authority": b"localhost",
        b"te": b"trailers",
        b"content-type": b"application/grpc",
    }.items()
)


def ping(number: int) -> bytes:
    return frame(PING, struct.pack("!Q", number))


def begun_and_reset(number: int) -> bytes:
    stream = 2 * number + 1
    begin = frame(HEADERS, HEAD, flags=END_HEADERS, stream=stream)
    return begin + frame(RST_STREAM, struct.pack("!I", CANCEL), stream=stream)


async def flood(port: int, piece: Callable[[int], bytes]) -> int:
    """Send pieces until there were many or the server hung up; return how many."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    end = asyncio.create_task(reader.read())
    sent = 0
    try:
        writer.write(PREFACE + frame(SETTINGS))
        while sent < MANY and not end.done():
            writer.write(piece(sent))
            sent += 1
            await writer.drain()
    except OSError:  # it hung up
        pass
    finally:
        writer.close()
        await asyncio.gather(end, return_exceptions=True)
    return sent


async def flooded(piece: Callable[[int], bytes], counting: Counting) -> tuple[int, bytes]:
    """Flood a server; return how much it took, and what it answered to somebody else meanwhile."""
    async with serving(ECHO, interceptors=(counting,)) as server, asyncio.timeout(60):
        flooding = asyncio.create_task(flood(server.port, piece))
        async with open_aio_channel(server.address, None) as channel:
            served = bytes(await unary(channel, "/test.Test/Echo")(b"hello", timeout=30))
        return await flooding, served


@pytest.mark.row("F39")
def test_a_flood_of_pings_ends_its_connection() -> None:
    sent, served = asyncio.run(flooded(ping, Counting()))
    assert sent < MANY
    assert served == b"hello"


@pytest.mark.row("F39")
def test_calls_that_are_begun_and_reset_are_refused_before_they_cost_much() -> None:
    counting = Counting()
    sent, served = asyncio.run(flooded(begun_and_reset, counting))
    assert served == b"hello"
    assert sent == MANY, "gRPC reads on, at microseconds each"
    assert counting.calls < MANY // 2
