"""Opening ports."""

import asyncio
import socket
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from flwr.auth.certificate_watch import CertificateWatch
from flwr.auth.certificates import self_signed
from flwr.core.clock import SystemClock
from flwr.wire.channel import open_aio_channel
from flwr.wire.listening import CannotListenError
from flwr.wire.server import PortInUseError, chain, make_server
from tests.fakes.certificates import Authority, write_files
from tests.fakes.rpc import byte_service, connected, serving, unary

AUTHORITY = Authority()


async def echo(request: bytes, _rpc: Any) -> bytes:
    return request


ECHO = byte_service("test.Test", {"Echo": echo})


def test_port_zero_is_replaced_by_the_real_one() -> None:
    async def call() -> bytes:
        async with serving(ECHO) as server:
            assert server.port > 0
            assert server.address == f"127.0.0.1:{server.port}"
            async with open_aio_channel(server.address, None) as channel:
                return bytes(await unary(channel, "/test.Test/Echo")(b"hello"))

    assert asyncio.run(call()) == b"hello"


@pytest.mark.parametrize("holder", ["grpc", "other"])
def test_a_taken_port_is_named(holder: str) -> None:
    async def bind_again() -> None:
        async with serving(ECHO) as server:
            with socket.create_server(("127.0.0.1", 0)) as other:
                taken = server.port if holder == "grpc" else other.getsockname()[1]
                with pytest.raises(PortInUseError, match=f"127.0.0.1:{taken}"):
                    make_server(f"127.0.0.1:{taken}", services=[ECHO], tls=None)

    asyncio.run(bind_again())


def test_an_address_of_another_machine_cannot_be_bound() -> None:
    async def bind() -> None:
        with pytest.raises(CannotListenError, match=r"203\.0\.113\.1:0"):
            make_server("203.0.113.1:0", services=[ECHO], tls=None)

    asyncio.run(bind())


@pytest.mark.row("S29")
def test_tls_works_with_the_right_authority() -> None:
    async def call() -> bytes:
        tls, trust = AUTHORITY.issue(), AUTHORITY.client_tls
        async with connected(ECHO, tls=tls, trust=trust, interceptors=chain()) as channel:
            return bytes(await unary(channel, "/test.Test/Echo")(b"hello"))

    assert asyncio.run(call()) == b"hello"


def test_a_self_signed_certificate_is_trusted_by_whoever_is_given_it() -> None:
    from flwr.auth.tls import ClientTls

    made = self_signed(
        ["localhost", "127.0.0.1"], valid_for=timedelta(days=1), now=SystemClock().now()
    )

    async def call() -> bytes:
        async with connected(ECHO, tls=made, trust=ClientTls(made.ca)) as channel:
            return bytes(await unary(channel, "/test.Test/Echo")(b"hello"))

    assert asyncio.run(call()) == b"hello"


@pytest.mark.row("S29")
def test_a_wrong_authority_is_refused_by_the_client() -> None:
    async def call() -> grpc.aio.AioRpcError:
        trust = Authority("Stranger").client_tls
        async with connected(ECHO, tls=AUTHORITY.issue(), trust=trust) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await unary(channel, "/test.Test/Echo")(b"hello")
            return caught.value

    assert asyncio.run(call()).code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.row("F37")
def test_connections_that_say_no_more_are_dropped_while_others_are_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("flwr.wire.server.HANDSHAKE_DEADLINE", timedelta(seconds=1))

    async def is_dropped(port: int) -> bool:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(b"\x16")  # how a TLS handshake begins
            return await reader.read() == b""
        except ConnectionResetError:
            return True
        finally:
            writer.close()

    async def call() -> tuple[list[bool], bytes]:
        async with serving(ECHO, tls=AUTHORITY.issue()) as server, asyncio.timeout(60):
            idle = [asyncio.create_task(is_dropped(server.port)) for _ in range(50)]
            async with open_aio_channel(server.address, AUTHORITY.client_tls) as channel:
                echo = unary(channel, "/test.Test/Echo")
                served = bytes(await echo(b"hello", wait_for_ready=True))
            return await asyncio.gather(*idle), served

    assert asyncio.run(call()) == ([True] * 50, b"hello")


@pytest.mark.row("F19", "F43")
def test_replaced_files_are_shown_to_new_connections_without_a_restart(tmp_path: Path) -> None:
    first, second = Authority("First"), Authority("Second")
    paths = write_files(first.issue(), tmp_path)
    files = CertificateWatch(paths, SystemClock())

    async def reaches(address: str, authority: Authority) -> bool:
        async with open_aio_channel(address, authority.client_tls) as channel:
            try:
                await unary(channel, "/test.Test/Echo")(b"hello", timeout=60)
            except grpc.aio.AioRpcError:
                return False
            return True

    async def rotate() -> list[bool]:
        async with (
            serving(ECHO, tls=files.load(), renewed_tls=files.renewed) as server,
            open_aio_channel(server.address, first.client_tls) as old,
        ):
            await unary(old, "/test.Test/Echo")(b"hello")
            paths.certificate.write_text("not a certificate", encoding="utf-8")
            seen = [await reaches(server.address, first)]  # a bad file changes nothing
            write_files(second.issue(), tmp_path)
            seen += [await reaches(server.address, second), await reaches(server.address, first)]
            await unary(old, "/test.Test/Echo")(b"hello")  # lives on
        return seen

    assert asyncio.run(rotate()) == [True, True, False]
