"""Every port, asked from every place: by address, because a name that is unknown proves little."""

import hashlib
import itertools
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from images.inputs import local_image
from python_on_whales import Container

from tests.compose.deployment import Deployment
from tests.compose.project import Project
from tests.compose.reach import NO_NAME, NO_ROUTE, OPEN, ask_all, identify
from tests.harness.toolset import ROOT

# As docs/adr/0008 has it.  9094-N: ClientAppIo of node N.  host: what is published, at the host's
# address in the engine's default network.
TABLE: Final = """
from          9091 9092 9093 9094-1 9094-2 host:9092 host:9093
cli           no   yes  yes  no     no     yes       no
supernode-1   no   yes  no   own    no     yes       no
supernode-2   no   yes  no   no     own    yes       no
serverapp     yes  yes  no   no     no     no        no
clientapp-1   no   no   no   yes    no     no        no
clientapp-2   no   no   no   no     yes    no        no
stranger      no   no   no   no     no     yes       no
"""
OWNERS: Final = {"9094-1": "supernode-1", "9094-2": "supernode-2"}
OUTSIDE: Final = "203.0.113.80"  # reserved for documentation
APPS: Final = ("serverapp", "clientapp-1", "clientapp-2")
_WAIT: Final = "import time; time.sleep(600)"

_header, *_rows = (line.split() for line in TABLE.strip().splitlines())
COLUMNS: Final = _header[1:]
EXPECTED: Final = {
    (row[0], column): word for row in _rows for column, word in zip(COLUMNS, row[1:], strict=True)
}


class Stranger(Project):
    """A container that has nothing to do with the federation, on the engine's default network."""

    def __init__(self, root: Path, container: Container) -> None:
        super().__init__(root)
        self._container = container

    def container(self, name: str) -> Container:
        """Return the only one, whatever it is called."""
        return self._container


@pytest.fixture(scope="module")
def places(deployment: Deployment) -> Iterator[dict[str, Project]]:
    """Who may be asked to reach something, running: also a cli and a stranger."""
    project, docker = deployment.project, deployment.project.docker
    cli = docker.compose.run(
        "cli", ["-c", _WAIT], entrypoint="python3", detach=True, tty=False, dependencies=False
    )
    stranger = docker.run(
        local_image(ROOT, "cli"), ["-c", _WAIT], entrypoint="python3", detach=True
    )
    assert isinstance(cli, Container)
    assert isinstance(stranger, Container)
    known = dict.fromkeys(project.services(), project)
    yield {**known, "stranger": Stranger(deployment.root, stranger)}
    docker.remove([cli, stranger], force=True)


@pytest.fixture(scope="module")
def shown(deployment: Deployment) -> dict[str, str]:
    """The certificate that answers at each column's port."""
    server, link = (deployment.certs / "superlink" / f for f in ("server.crt", "appio.crt"))
    nodes = {c: deployment.certs / owner / "appio.crt" for c, owner in OWNERS.items()}
    publicly = dict.fromkeys(("9092", "9093", "host:9092", "host:9093"), server)
    return {c: digest_of(file) for c, file in {**publicly, **nodes, "9091": link}.items()}


def digest_of(certificate: Path) -> str:
    pem = certificate.read_text().split("-----END")[0] + "-----END CERTIFICATE-----\n"
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()


@pytest.fixture(scope="module")
def met(deployment: Deployment, places: dict[str, Project]) -> dict[tuple[str, str], set[str]]:
    """What each place meets at every address of a column's port."""
    targets = list(addresses_of(deployment))
    found: dict[tuple[str, str], set[str]] = {}
    for place in {place for place, _ in EXPECTED}:
        answers = places[place].identify_all(place, [address for _, address in targets])
        for (column, _), answer in zip(targets, answers, strict=True):
            found.setdefault((place, column), set()).add(answer)
    return found


def addresses_of(deployment: Deployment) -> Iterator[tuple[str, tuple[str, int]]]:
    """Yield each column of the table with every address where its port could answer."""
    project = deployment.project
    for column, port in itertools.product(("superlink", "serverapp"), (9091, 9092, 9093)):
        for address in project.addresses(column).values():
            yield str(port), (address, port)
    for column, owner in OWNERS.items():
        for name in (owner, owner.replace("supernode", "clientapp")):
            for address in project.addresses(name).values():
                yield column, (address, 9094)
    yield "host:9092", (deployment.bridge, int(deployment.fleet.split(":")[1]))
    yield "host:9093", (deployment.bridge, int(deployment.control.split(":")[1]))


@pytest.mark.row("S16", "S28", "S69")
@pytest.mark.parametrize(("place", "column"), EXPECTED)
def test_a_port_is_reached_by_whom_the_table_names(
    met: dict[tuple[str, str], set[str]], shown: dict[str, str], place: str, column: str
) -> None:
    expected = EXPECTED[place, column]
    if expected != "own":
        is_reached = shown[column] in met[place, column]
        assert is_reached is (expected == "yes"), met[place, column]


@pytest.mark.row("S28", "S69")
@pytest.mark.parametrize("name", APPS)
def test_apps_have_no_way_out_and_learn_it_at_once(deployment: Deployment, name: str) -> None:
    begun = time.monotonic()
    outside, by_name, resolver = deployment.project.reach_all(
        name, [(OUTSIDE, 443), ("example.com", 443), (OUTSIDE, 53)]
    )
    assert (outside, by_name, resolver) == (NO_ROUTE, NO_NAME, NO_ROUTE)
    assert time.monotonic() - begun < 9  # two questions that a resolver does not answer take 10


@pytest.mark.row("S69")
def test_a_node_has_the_way_out_that_apps_lack(deployment: Deployment) -> None:
    """Nobody lives at that address; the engine's network lets the packets go all the same."""
    assert deployment.project.reach("supernode-1", OUTSIDE, 443) != NO_ROUTE


@pytest.mark.row("S16", "S28")
@pytest.mark.parametrize(
    ("name", "known", "unknown"),
    [
        ("clientapp-1", ["clientappio", "supernode-1"], ["superlink", "serverapp", "control"]),
        ("clientapp-1", [], ["supernode-2", "clientapp-2", "serverappio", "fleet"]),
        ("clientapp-2", ["clientappio", "supernode-2"], ["supernode-1", "clientapp-1"]),
        ("serverapp", ["serverappio", "superlink"], ["control", "supernode-1", "clientapp-1"]),
        ("supernode-1", ["superlink"], ["control", "serverappio", "serverapp", "clientapp-2"]),
    ],
)
def test_names_of_others_do_not_resolve(
    deployment: Deployment, name: str, known: list[str], unknown: list[str]
) -> None:
    answers = deployment.project.reach_all(name, [(host, 1) for host in (*known, *unknown)])
    by_name = dict(zip((*known, *unknown), answers, strict=True))
    assert {host for host, answer in by_name.items() if answer == NO_NAME} == set(unknown)


@pytest.mark.row("S52", "S16")
def test_the_host_reaches_control_on_loopback_only_and_fleet_everywhere(
    deployment: Deployment,
) -> None:
    fleet, control = (int(a.split(":")[1]) for a in (deployment.fleet, deployment.control))
    own = own_addresses(deployment)
    assert ask_all([("127.0.0.1", fleet), ("127.0.0.1", control)]) == [OPEN, OPEN]
    assert set(ask_all([(address, fleet) for address in own])) == {OPEN}
    assert OPEN not in ask_all([(address, control) for address in own])


@pytest.mark.row("S28")
@pytest.mark.parametrize("port", [9091, 9094])
def test_appio_ports_answer_at_no_address_of_the_host(deployment: Deployment, port: int) -> None:
    """Another program of this host may own the number: only our certificates count."""
    ours = {digest_of(file) for file in deployment.certs.glob("*/appio.crt")}
    assert len(ours) == 4
    own = [("127.0.0.1", port), *((address, port) for address in own_addresses(deployment))]
    assert not ours & set(ask_all(own, identify))


def own_addresses(deployment: Deployment) -> list[str]:
    """Return addresses by which others call this host."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((OUTSIDE, 9))  # sends nothing; chooses the address to send from
        except OSError:
            return [deployment.bridge]
        return [deployment.bridge, str(probe.getsockname()[0])]
