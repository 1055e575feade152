"""The health service and its probe."""

import asyncio
import socket
from typing import Any

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from flwr.wire.channel import open_aio_channel
from flwr.wire.health import Health, make_health_server, run_probe

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


def probed(*changes: str, argv: tuple[str, ...] = ()) -> int:
    """Return the probe's exit status after ``changes`` (method names of Health)."""

    async def ask() -> int:
        health = Health()
        for change in changes:
            getattr(health, change)()
        health.set_serving("fleet")
        server = make_health_server("127.0.0.1:0", health)
        await server.start()
        try:
            return await asyncio.to_thread(run_probe, [server.address, *argv])
        finally:
            await server.stop()

    return asyncio.run(ask())


def test_a_daemon_serves_only_when_it_says_so() -> None:
    assert probed() == 1
    assert probed("set_serving") == 0
    assert probed("set_serving", "set_not_serving") == 1


def test_one_service_can_be_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert probed(argv=("--service", "fleet")) == 0
    assert probed(argv=("--service", "nonsense")) == 1
    assert "no service 'nonsense'" in capsys.readouterr().err


def test_nobody_there_is_not_healthy(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"

        assert run_probe([address]) == 1

    assert address in capsys.readouterr().err


def test_a_watcher_is_told_the_state_and_every_change() -> None:
    async def watch() -> list[int]:
        health = Health()
        server = make_health_server("127.0.0.1:0", health)
        await server.start()
        async with open_aio_channel(server.address, None) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            call = stub.Watch(health_pb2.HealthCheckRequest(service="fleet"))
            told = [(await call.read()).status]
            for change in (health.set_not_serving, health.set_serving, health.set_not_serving):
                change("other")
                change("fleet")
                told.append((await call.read()).status)
            call.cancel()
        await server.stop()
        return told

    assert asyncio.run(watch()) == [UNKNOWN, NOT_SERVING, SERVING, NOT_SERVING]
