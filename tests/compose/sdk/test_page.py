"""The federation of docs/sdk.md, deployed by the page's own lines."""

import contextlib
import io
import json
import re
import socket
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from python_on_whales import Container, DockerClient

from flwr.sdk import DeploymentNotFoundError, RunStatus, Server, Site
from tests.compose.project import new_name
from tests.harness.pages import Page
from tests.harness.ports import free_port

PAGE: Final = Page("sdk.md")
DEPLOY, STOP = 1, 2  # examples of the page
NAMES: Final = ("hub", "clinic-a", "clinic-b")
SECRET: Final = "s3cret-of-the-server"
MEBIBYTE: Final = 1024**2
ACCURACY: Final = re.compile(r"Round 1: loss [\d.]+, accuracy ([\d.]+)")
PROJECT: Final = "com.docker.compose.project"
SERVICE: Final = "com.docker.compose.service"
DOCKER: Final = DockerClient()

pytestmark = [pytest.mark.timeout(420), pytest.mark.row("S59")]


@dataclass(frozen=True)
class Federation:
    """What the page's lines made."""

    names: dict[str, str]  # of the test, by the page's
    fleet: int
    variables: dict[str, Any]  # of the example
    said: str

    @property
    def hub(self) -> Server:
        return Server.attach(self.names["hub"])

    def container(self, name: str, service: str) -> Container:
        labels = [f"{PROJECT}={self.names[name]}", f"{SERVICE}={service}"]
        (found,) = DOCKER.container.list(filters=[("label", label) for label in labels])
        return found

    def volumes(self) -> list[str]:
        prefixes = tuple(f"{name}_" for name in self.names.values())
        return [each.name for each in DOCKER.volume.list() if each.name.startswith(prefixes)]

    def containers(self) -> list[str]:
        prefixes = tuple(f"{name}-" for name in self.names.values())
        listing = ["docker", "ps", "--all", "--format", "{{.Names}}"]  # any may go meanwhile
        every = subprocess.run(listing, check=True, capture_output=True, text=True).stdout
        return [name for name in every.splitlines() if name.startswith(prefixes)]


@pytest.fixture(scope="module")
def federation(folder: Path) -> Iterator[Federation]:
    (folder / "token.txt").write_text(SECRET)
    names, fleet, control = {name: new_name() for name in NAMES}, free_port(), free_port()
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            ports = {"9092": str(fleet), "9093": str(control)}
            brief = {'"num-server-rounds": 2': '"num-server-rounds": 1'}
            made = PAGE.run(DEPLOY, {**quoted(names), **ports, **brief})
        yield Federation(names, fleet, made, said.getvalue())
    finally:
        forget(names)


def quoted(names: dict[str, str]) -> dict[str, str]:
    return {f'"{page}"': f'"{test}"' for page, test in names.items()}


def forget(names: dict[str, str]) -> None:
    for page, name in names.items():
        side = Server if page == "hub" else Site
        with contextlib.suppress(DeploymentNotFoundError):
            side.attach(name).down(forget=True, timeout=3)


@pytest.mark.row("S53", "S57")
def test_the_sites_train_together(federation: Federation) -> None:
    result = federation.variables["result"]
    found = ACCURACY.search(result.log)
    assert found, result.log
    assert float(found[1]) > 0.5
    assert result.info.status is RunStatus.COMPLETED
    assert result.log.strip() in federation.said


@pytest.mark.row("S52")
def test_every_endpoint_of_the_status_answers(federation: Federation) -> None:
    status = json.loads(json.dumps(federation.hub.status()))
    endpoints = status["endpoints"]

    assert set(endpoints) == {"fleet", "control", "serverappio"}
    assert endpoints["fleet"]["address"] == f"0.0.0.0:{federation.fleet}"
    trust = ssl.create_default_context(cafile=federation.variables["keys"].root_certificates)
    trust.set_alpn_protocols(["h2"])
    with (
        socket.create_connection(("127.0.0.1", federation.fleet), timeout=10) as plain,
        trust.wrap_socket(plain, server_hostname="127.0.0.1") as secured,
    ):
        assert secured.selected_alpn_protocol() == "h2"
    with federation.hub.connect() as link:
        assert [node.status for node in link.nodes()] == ["online", "online"]
    host, port = endpoints["serverappio"]["address"].split(":")
    network = endpoints["serverappio"]["network"]
    executor = federation.container("hub", "serverapp")
    assert network in (executor.network_settings.networks or {})
    reach = f"import socket; print(socket.create_connection(('{host}', {port}), 5).fileno() > 0)"
    assert DOCKER.execute(executor, ["python3", "-c", reach]) == "True"


@pytest.mark.row("S54")
def test_limits_are_the_engine_s(federation: Federation) -> None:
    wanted = {
        ("hub", "superlink"): (512, 1.0),
        ("hub", "serverapp"): (1024, 1.0),  # processors: the default
        ("clinic-a", "clientapp-1"): (1024, 1.0),
        ("clinic-b", "supernode-1"): (256, 0.5),  # both: the default
    }
    for (name, service), (memory, cpus) in wanted.items():
        limits = federation.container(name, service).host_config
        assert (limits.memory, limits.nano_cpus) == (memory * MEBIBYTE, cpus * 1e9), service


@pytest.mark.row("S54")
def test_a_secret_is_in_its_container_and_nowhere_else(federation: Federation) -> None:
    executor = federation.container("hub", "serverapp")
    read = ["python3", "-c", "print(open('/run/app-secrets/token').read())"]
    assert DOCKER.execute(executor, read) == SECRET
    (mount,) = [m for m in executor.mounts if str(m.destination).startswith("/run/app-secrets")]
    assert mount.rw is False
    for name, service in (
        *(("hub", "superlink"), ("clinic-a", "supernode-1"), ("clinic-a", "clientapp-1")),
        ("hub", "serverapp"),
    ):
        container = federation.container(name, service)
        assert SECRET not in str(container.config), service
        assert SECRET not in str(DOCKER.container.logs(container)), service
        has_it = any("/run/app-secrets" in str(m.destination) for m in container.mounts)
        assert has_it == (service == "serverapp"), service
    settings = Path("home", "deployments", federation.names["hub"])
    assert not [f for f in settings.iterdir() if SECRET in f.read_text()]


def test_stopping_keeps_the_state_and_forgetting_does_not(federation: Federation) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        PAGE.run(STOP, quoted(federation.names))
    assert federation.containers() == []
    assert len(federation.volumes()) >= 3, "the SuperLink's and two nodes' state"

    forget(federation.names)

    assert federation.volumes() == []
    with pytest.raises(DeploymentNotFoundError):
        Server.attach(federation.names["hub"])
