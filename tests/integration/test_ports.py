"""Who listens where, who calls whom, and which API a port answers."""

import grpc
import pytest

from tests.harness.apps import TINY, quick
from tests.harness.federation import Federation
from tests.harness.ports import free_address
from tests.harness.program import Program, descendants
from tests.harness.sockets import Socket, sockets
from tests.harness.toolset import OURS

NO_REQUEST = b"\xff"  # of no method: whoever knows it refuses at once, and holds nothing
ONE_CALL = {
    "ServerAppIo": "/flwr.proto.ServerAppIo/ListAppsToLaunch",
    "ClientAppIo": "/flwr.proto.ClientAppIo/ListAppsToLaunch",
    "Fleet": "/flwr.proto.Fleet/PullMessages",
    "Control": "/flwr.proto.Control/ListRuns",
}


def answers(address: str) -> set[str]:
    """Return the services that ``address`` knows."""
    with grpc.insecure_channel(address) as channel:
        return {service for service, method in ONE_CALL.items() if is_known(channel, method)}


def is_known(channel: grpc.Channel, method: str) -> bool:
    call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
    code: grpc.StatusCode = call.future(NO_REQUEST, timeout=60).code()
    return code is not grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.row("S11", "S12", "S13", "S14")
def test_each_port_answers_its_own_api_only(federation: Federation) -> None:
    federation.start_superlink()
    clientappio = free_address()
    node = federation.start_node(1, OURS, "--clientappio-api-address", clientappio)
    node.await_port(clientappio)

    assert answers(federation.serverappio) == {"ServerAppIo"}
    assert answers(federation.fleet) == {"Fleet"}
    assert answers(federation.control) == {"Control"}
    assert answers(clientappio) == {"ClientAppIo"}


def of(programs: list[Program]) -> list[Socket]:
    return sockets([pid for p in programs for pid in (p.pid, *descendants(p.pid))])


@pytest.mark.row("S1", "S16", "S17", "S18")
def test_nodes_only_dial_out_and_never_to_each_other(federation: Federation) -> None:
    superlink = federation.start_superlink()
    nodes = [federation.start_node(n, of=3) for n in (1, 2, 3)]
    federation.await_nodes(3)
    federation.await_end(federation.submit(TINY, *quick()))
    fleet_port = int(federation.fleet.split(":")[1])

    owned = {n.name: of([n]) for n in nodes}
    for name, mine in owned.items():
        listening = {s.local[1] for s in mine if s.state == "listening"}
        assert all(s.local[0] == "127.0.0.1" for s in mine if s.state == "listening")
        dialled = [s for s in mine if s.state == "established" and s.local[1] not in listening]
        assert {s.remote[1] for s in dialled} <= {fleet_port, *listening}, name
    mine = of([superlink])
    listening = {s.local[1] for s in mine if s.state == "listening"}
    dialled = [s for s in mine if s.state == "established" and s.local[1] not in listening]
    assert {s.remote[1] for s in dialled} <= listening, "the link must never dial out"


@pytest.mark.row("S15")
def test_a_taken_port_is_a_clear_exit(federation: Federation) -> None:
    federation.start_superlink()
    address = free_address()
    federation.start_node(1, OURS, "--clientappio-api-address", address).await_port(address)

    second = federation.start_node(2, OURS, "--clientappio-api-address", address)
    assert second.wait() == 3, second.output
    assert address in second.output
    assert "--clientappio-api-address" in second.output
    link = federation.start(
        "second-link",
        OURS,
        "flower-superlink",
        "--insecure",
        "--state-dir",
        str(federation.root / "other"),
        "--fleet-api-address",
        federation.fleet,
        "--control-api-address",
        free_address(),
        "--serverappio-api-address",
        free_address(),
    )
    assert link.wait() == 3, link.output
    assert federation.fleet in link.output


@pytest.mark.row("S15")
def test_two_nodes_on_one_host_both_serve(federation: Federation) -> None:
    federation.start_superlink()
    for number in (1, 2):
        federation.start_node(number)
    federation.await_nodes(2)
    run = federation.await_end(federation.submit(TINY, *quick()))
    assert "partitions: [0, 1]" in federation.log_of(run["run-id"])
