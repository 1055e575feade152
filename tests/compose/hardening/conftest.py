"""What every container of the shared federation says of itself, asked once."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from python_on_whales import Container

from tests.compose.apps import PROBE, met_by
from tests.compose.deployment import Deployment
from tests.compose.hardening import inside
from tests.harness.apps import config
from tests.harness.program import apps_among, eventually

TMP: Final = "/tmp"  # noqa: S108  inside a container, where it is its own
SHM: Final = "/dev/shm"  # noqa: S108
# Where a file might be put; what is writable of these is in test_confinement.py.
FOLDERS: Final = (
    *("/", TMP, SHM, "/app", "/bin", "/data", "/dev", "/etc", "/home", "/mnt/data", "/opt"),
    *("/opt/flwr", "/opt/venv", "/proc/sys/kernel", "/root", "/run", "/run/secrets", "/sys"),
    *("/usr/lib", "/var", "/var/lib"),
)


@dataclass(frozen=True)
class Confined:
    """A container of the federation: what it sees, and what the engine was told."""

    role: str
    facts: dict[str, Any]
    inspected: dict[str, Any]

    @property
    def host_config(self) -> dict[str, Any]:
        """What confines it, as ``docker inspect`` has it."""
        found = self.inspected["HostConfig"]
        assert isinstance(found, dict)
        return found


@pytest.fixture(scope="session")
def cli_container(deployment: Deployment) -> Iterator[str]:
    """The one container that does not stay: kept while the others are looked at."""
    docker = deployment.project.docker
    waiting = docker.compose.run(
        "cli",
        ["-c", "import time; time.sleep(600)"],
        entrypoint="python3",
        detach=True,
        tty=False,
        dependencies=False,
    )
    assert isinstance(waiting, Container)
    yield "cli"
    docker.remove(waiting, force=True)


@pytest.fixture(scope="session")
def containers(deployment: Deployment, cli_container: str) -> dict[str, Confined]:
    """Every container of the federation, by its service."""
    project = deployment.project
    script = Path(inside.__file__).read_text("utf-8")
    return {
        name: Confined(
            role=name.split("-")[0],
            facts=json.loads(project.python(name, script, *FOLDERS)),
            inspected=project.inspect(name),
        )
        for name in project.services()
    }


@dataclass(frozen=True)
class Watched:
    """A run that was looked at from outside while its apps were at work."""

    run_id: str
    seen: list[tuple[str, str]]  # container; an argument list or an environment
    met: dict[str, Any]  # what the apps themselves saw


@pytest.fixture(scope="session")
def watched(deployment: Deployment) -> Watched:
    """A run of the probe on every node, and every process of the federation meanwhile."""
    project = deployment.project
    folders = f"/mnt/data /data {TMP}"
    run = deployment.submit(PROBE, *config(deed="look", argument=folders, pause=3.0, nodes=3))

    eventually(lambda: apps_among(project.pids("clientapp-1")), timeout=60, step=0.2)
    seen = [
        (name, shown_by(what, pid))
        for name in project.services()
        for pid in project.pids(name)
        for what in ("cmdline", "environ")
    ]
    assert deployment.await_end(run)["status"] == "finished:completed"
    return Watched(run, seen, met_by(deployment, run))


def shown_by(what: str, pid: int) -> str:
    """Return the argument list or environment of a process as this host's root sees it."""
    try:
        return (
            Path(f"/proc/{pid}/{what}").read_bytes().replace(b"\0", b"\n").decode(errors="replace")
        )
    except PermissionError:
        pytest.skip("reading other users' processes needs root")
    except (FileNotFoundError, ProcessLookupError):
        return ""
