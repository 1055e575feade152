"""Who opens connections: nodes, and never the SuperLink."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import pytest

from tests.compose.deployment import Deployment
from tests.compose.project import Project
from tests.compose.reach import REFUSED, SILENT, reach
from tests.harness.apps import TINY, config

TABLE: Final = """
import ipaddress, pathlib, struct
for name in ("tcp", "tcp6"):
    for line in pathlib.Path("/proc/net", name).read_text().splitlines()[1:]:
        fields = line.split()
        def address(text):
            host, port = text.split(":")
            words = bytes.fromhex(host)
            packed = b"".join(words[i:i+4][::-1] for i in range(0, len(words), 4))
            return ipaddress.ip_address(packed), int(port, 16)
        (local, port), (remote, other) = address(fields[1]), address(fields[2])
        mapped = getattr(local, "ipv4_mapped", None) or local
        if not mapped.is_loopback:
            print(fields[3], port, other)
"""
LISTENING: Final = "0A"
OUR_PORTS: Final = {9091, 9092, 9093}


@dataclass(frozen=True)
class Walled:
    """A run behind firewalls, and what they counted."""

    run: dict[str, object]
    answers: dict[str, str]  # of the nodes' Fleet addresses, to a caller from outside
    dialled: int  # packets by which the SuperLink tried to open a connection


@pytest.fixture(scope="module")
def walled(server: Deployment, sites: dict[int, Project]) -> Iterator[Walled]:
    """No node lets a connection in; the SuperLink may open none; the SuperLink starts anew."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("nsenter", "iptables", "ip"))):
        pytest.skip("firewalls in containers need root, nsenter, ip and iptables")
    for site in sites.values():
        assert reach(site.addresses("supernode-1")["fleet"], 9094) == REFUSED
        interface = interface_of(site, "supernode-1", "fleet")
        for kind in (["tcp", "--syn"], ["udp"], ["icmp"]):
            rule(site, "supernode-1", "-A", "INPUT", "-i", interface, "-p", *kind, "-j", "DROP")
    answers = {n: reach(s.addresses("supernode-1")["fleet"], 9094) for n, s in sites.items()}
    link = server.project
    before = link.container("superlink").restart_count or 0
    link.crash("superlink")
    link.await_restart("superlink", before)
    out = ["OUTPUT", "!", "-o", "lo", "-p", "tcp", "--syn", "-j", "DROP"]
    rule(link, "superlink", "-A", *out)
    server.await_nodes(2)
    run = server.await_end(server.submit(TINY, *config(num_rounds=1, evaluate=False)))
    dialled = dropped(link)
    link.reach("superlink", "203.0.113.80", 9)
    assert dropped(link) > dialled, "the rule counts"
    yield Walled(run, {str(n): a for n, a in answers.items()}, dialled)
    rule(link, "superlink", "-D", *out)
    for site in sites.values():
        rule(site, "supernode-1", "-F", "INPUT")


def rule(project: Project, name: str, *words: str) -> None:
    try:
        project.in_network_of(name, "iptables", *words)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"this kernel refuses the rule: {error.stderr}")


def dropped(project: Project) -> int:
    """Return how many packets met the SuperLink's rule."""
    table = project.in_network_of("superlink", "iptables", "-nvxL", "OUTPUT")
    return int(table.splitlines()[2].split()[0])


def interface_of(project: Project, name: str, network: str) -> str:
    wanted = project.addresses(name)[network]
    for line in project.in_network_of(name, "ip", "-o", "-4", "addr").splitlines():
        _, interface, _, address, *_ = line.split()
        if address.split("/")[0] == wanted:
            return interface
    raise AssertionError(f"{name} has no {wanted}")


@pytest.mark.row("S17")
def test_nodes_that_nobody_can_call_find_their_superlink_again_and_work(walled: Walled) -> None:
    assert set(walled.answers.values()) == {SILENT}, "the wall stands"
    assert walled.run["status"] == "finished:completed"


@pytest.mark.row("S18")
def test_the_superlink_does_not_even_try_to_open_a_connection(walled: Walled) -> None:
    assert walled.run["status"] == "finished:completed"
    assert walled.dialled == 0


@pytest.mark.row("S18")
def test_every_connection_of_the_superlink_is_at_a_port_it_listens_on(
    server: Deployment, sites: dict[int, Project]
) -> None:
    rows = [line.split() for line in server.project.python("superlink", TABLE).splitlines()]
    assert {int(port) for state, port, _ in rows if state == LISTENING} == OUR_PORTS
    connected = [(int(port), int(other)) for state, port, other in rows if state != LISTENING]
    assert sum(port == 9092 for port, _ in connected) >= len(sites)
    assert {port for port, _ in connected} <= OUR_PORTS


@pytest.mark.row("S17", "S1")
def test_nodes_publish_nothing_and_listen_for_their_apps_alone(
    sites: dict[int, Project],
) -> None:
    for site in sites.values():
        for name in site.services():
            assert not site.inspect(name)["HostConfig"]["PortBindings"]
        rows = [line.split() for line in site.python("supernode-1", TABLE).splitlines()]
        assert {int(port) for state, port, _ in rows if state == LISTENING} == {9094}
        assert site.reach("supernode-1", site.addresses("supernode-1")["fleet"], 9094) == REFUSED
        assert site.reach("clientapp-1", "clientappio", 9094) == "open"
