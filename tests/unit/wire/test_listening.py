"""Listening on names."""

import asyncio
import socket
from datetime import timedelta
from typing import Any

import pytest

from flwr.wire.channel import open_aio_channel
from flwr.wire.listening import CannotListenError, literal_addresses, until_resolvable
from flwr.wire.server import make_server
from tests.fakes.rpc import byte_service, unary


class Names:
    """Stands in for the resolver."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.known: dict[str, list[str]] = {}
        self.asked = 0
        monkeypatch.setattr(socket, "getaddrinfo", self._find)

    def _find(self, host: str, port: int, **_: Any) -> list[Any]:
        self.asked += 1
        if host not in self.known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in self.known[host]]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    return Names(monkeypatch)


def test_addresses_are_taken_as_they_are(names: Names) -> None:
    assert literal_addresses("0.0.0.0:9092") == ["0.0.0.0:9092"]
    assert literal_addresses("[::1]:0") == ["[::1]:0"]
    assert names.asked == 0


def test_a_name_stands_for_its_addresses_once_each(names: Names) -> None:
    names.known["control"] = ["127.0.0.2", "127.0.0.2", "127.0.0.3"]
    assert literal_addresses("control:9093") == ["127.0.0.2:9093", "127.0.0.3:9093"]
    assert literal_addresses("control:0") == ["127.0.0.2:0"]


@pytest.mark.row("S28")
def test_a_server_on_a_name_is_reached_at_its_address_only(names: Names) -> None:
    names.known["serverappio"] = ["127.0.0.2", "203.0.113.7"]  # the second is not ours

    async def echo(request: bytes, _rpc: Any) -> bytes:
        return request

    async def body() -> None:
        with socket.create_server(("127.0.0.3", 0)) as probe:
            port = probe.getsockname()[1]
        server = make_server(
            f"serverappio:{port}", services=[byte_service("test.Test", {"Echo": echo})], tls=None
        )
        await server.start()
        try:
            assert server.address == f"serverappio:{port}"
            async with open_aio_channel(f"127.0.0.2:{port}", None) as channel:
                assert await unary(channel, "/test.Test/Echo")(b"hello") == b"hello"
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.3", port)
        finally:
            await server.stop()

    asyncio.run(body())


def test_a_name_that_appears_soon_is_waited_for(names: Names) -> None:
    async def body() -> None:
        waiting = asyncio.create_task(until_resolvable(["127.0.0.1:1", "control:9093"]))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        names.known["control"] = ["127.0.0.2"]
        await waiting

    asyncio.run(body())


def test_a_name_nobody_knows_is_said(names: Names) -> None:
    with pytest.raises(CannotListenError, match="'control' is not known") as caught:
        asyncio.run(until_resolvable(["control:9093"], patience=timedelta(seconds=0.1)))
    assert "name of this machine" in caught.value.hint


def test_a_name_of_another_machine_is_said_with_its_address(names: Names) -> None:
    async def bind() -> None:
        names.known["fleet"] = ["203.0.113.1"]
        with pytest.raises(CannotListenError, match=r"fleet:9092 \(203\.0\.113\.1:9092\)"):
            make_server("fleet:9092", services=[], tls=None)

    asyncio.run(bind())
